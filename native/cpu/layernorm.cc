// Maths (Ba, Kiros & Hinton 2016): mean = sum_c x_c / C, rstd = 1 / sqrt(sum_c (x_c - mean)^2 / C +
// epsilon),
//   h = (x - mean) rstd, out = h weight + bias. Backward, with g = dout weight:
//   dx = rstd (g - sum_c g_c / C - h sum_c g_c h_c / C), dweight = sum over rows of dout h, dbias =
//   sum over rows of dout. x, out, dx, dout [rows, C]; weight, bias [C]; mean, rstd [rows].
// Plan: rows are independent but for the two parameter gradients, which are summed for each 64 rows
//   ([2, C] beside the row in L1) in the pass that sums g and g h, and then over those blocks in
//   order. Forward passes over a row three times and backward twice, but over memory once: a row
//   stays in L1 or L2.
// Numbers: float accumulators, four vectors of them; the variance from deviations, never
//   E[x^2] - mean^2. About 1e-6 of the row's size. Parameter sums: 64 rows in float, the rest in
//   double. Bound by bytes: forward 8 an element, backward 12 (16 when accumulating).
#include "cpu/ops.h"
#include "cpu/split.h"

namespace gptloom::cpu {

void layernorm_forward(Context& context, float* out, float* mean, float* rstd, const float* x,
                       const float* weight, const float* bias, int64_t rows, int64_t C,
                       float epsilon) {
  split_rows(context, rows, C, [&](int64_t begin, int64_t end) {
    context.kernels.layernorm.forward(out + begin * C, mean ? mean + begin : nullptr,
                                      mean ? rstd + begin : nullptr, x + begin * C, weight, bias,
                                      end - begin, C, epsilon);
  });
}

void layernorm_backward(Context& context, float* dx, float* dweight, float* dbias,
                        const float* dout, const float* x, const float* weight, const float* mean,
                        const float* rstd, int64_t rows, int64_t C, bool accumulate_dx,
                        bool accumulate_dweight, bool accumulate_dbias) {
  const auto run = [&](int64_t begin, int64_t end, float* dparams) {
    context.kernels.layernorm.backward(dx ? dx + begin * C : nullptr, dparams, dout + begin * C,
                                       x + begin * C, weight, mean + begin, rstd + begin,
                                       end - begin, C, accumulate_dx);
  };
  if (!dweight && !dbias) {
    if (dx) split_rows(context, rows, C, [&](int64_t b, int64_t e) { run(b, e, nullptr); });
    return;
  }
  constexpr int64_t block_rows = 64;
  const int64_t blocks = (rows + block_rows - 1) / block_rows;
  Scratch<float> partials(context, std::max<int64_t>(1, blocks * 2 * C));
  split_pieces(context, blocks, rows * C, [&](int64_t i) {
    run(i * block_rows, std::min(rows, (i + 1) * block_rows), partials + i * 2 * C);
  });
  if (dweight) add_partials(context, dweight, partials, blocks, C, 2 * C, accumulate_dweight);
  if (dbias) add_partials(context, dbias, partials + C, blocks, C, 2 * C, accumulate_dbias);
}

}  // namespace gptloom::cpu
