// The work of these kernels stands in cuda/reduce.cu.
#include "../cuda/reduce.h"

#include "cuda/kernels.h"
#include "cuda/ops.h"

namespace gptloom::cuda {

namespace {

constexpr unsigned threads = 256;

void total(Context& context, float* out, const std::vector<Array>& tensors, const char* kernel,
           bool root) {
  int64_t chunks = 0;
  for (const Array& x : tensors) chunks += divide_up(x.count(), kReduceChunk);
  Scratch<double> partials(context, std::max<int64_t>(1, chunks));
  ReduceTensors list{};
  int64_t done = 0;
  int32_t queued = 0;
  const auto launch = [&] {
    context.launch(kernel, blocks(queued), threads, 0, partials.data() + done, list);
    done += queued;
    queued = list.count = 0;
  };
  for (const Array& x : tensors) {
    if (x.count() == 0) continue;
    list.tensors[list.count++] = {x.data, x.count(), queued, is_bf16(x)};
    queued += static_cast<int32_t>(divide_up(x.count(), kReduceChunk));
    if (list.count == ReduceTensors::kMost) launch();
  }
  if (queued > 0) launch();
  context.launch("reduce_finish", Grid{}, 1024, 0, out, static_cast<const double*>(partials),
                 chunks, int32_t{root});
}

}  // namespace

void sum(Context& context, Array out, Array x) {
  total(context, out.f32(), {x}, "reduce_sums", false);
}

void norm(Context& context, Array out, const std::vector<Array>& tensors) {
  total(context, out.f32(), tensors, "reduce_squares", true);
}

void bias_backward(Context& context, Array dbias, Array dout, bool accumulate) {
  const int64_t N = dbias.count(), M = N == 0 ? 0 : dout.count() / N;
  const bool vectors = aligned(dout.data) && N % packet(dout) == 0;
  const int64_t tiles = divide_up(N, 32 * (vectors ? packet(dout) : 1));
  // Tiles fill the GPU too: slices can be longer, whose sums are written and read once more.
  const int32_t rows = slice_rows(M * tiles);
  const int64_t slices = divide_up(M, rows);
  Scratch<float> partials(context, std::max<int64_t>(1, slices * N));
  const char* kernel = vectors ? by_type(dout, "reduce_columns_f32", "reduce_columns_bf16")
                               : by_type(dout, "reduce_columns_any_f32", "reduce_columns_any_bf16");
  context.launch(kernel, blocks(slices * tiles), threads, 0, partials.data(), dout.data, M, N,
                 rows);
  add_slices(context, dbias.f32(), partials, slices, N, N, accumulate);
}

void add_slices(Context& context, float* out, const float* partials, int64_t slices,
                int64_t columns, int64_t stride, bool accumulate) {
  context.launch("reduce_totals", blocks(divide_up(columns, 32)), threads, 0, out, partials, slices,
                 columns, stride, int32_t{accumulate});
}

}  // namespace gptloom::cuda
