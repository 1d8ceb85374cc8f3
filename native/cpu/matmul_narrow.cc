// Matrix products of few rows: what generation is made of.
//
// Maths, numbers: matmul.cc's.
// Plan: each thread takes ranges of columns and reads their weights once, as they lie, without
//   packing.
#include <algorithm>

#include "cpu/matmul.h"

namespace gptloom::cpu {

void matmul_narrow(Context& context, float* out, const float* a, const float* b,
                   const Matmul& spec) {
  const MatmulKernels& kernels = context.kernels.matmul;
  const int64_t M = spec.M, N = spec.N, K = spec.K;
  const bool gather = spec.transpose_a && M > 1;
  Scratch<float> rows(context, gather ? M * K : 0);
  if (gather) {
    for (int64_t k = 0; k < K; k++) {
      for (int64_t i = 0; i < M; i++) rows[i * K + k] = a[k * M + i];
    }
    a = rows;
  }
  const int64_t threads = M * N * K <= kAlone ? 1 : context.pool.threads();
  // Long enough streams for memory, and as many for each thread.
  const int64_t parts = round_up(std::max<int64_t>(divide_up(N, 512), 2 * threads), threads);
  const int64_t grain = round_up(divide_up(N, parts), CompactWeight::lanes);
  context.pool.run_ranges(N, threads > 1 ? grain : N, [&](int64_t begin, int64_t end, int) {
    MatmulNarrow part{a,
                      spec.compact ? nullptr : b + (spec.transpose_b ? begin * K : begin),
                      spec.transpose_b ? K : N,
                      M,
                      end - begin,
                      K,
                      block_of(K),
                      out + begin,
                      N};
    part.accumulate = spec.accumulate;
    part.gelu = spec.gelu;
    if (spec.bias) part.bias = spec.bias + begin;
    if (spec.pre) part.pre = spec.pre + begin;
    if (spec.slope) part.slope = spec.slope + begin;
    if (spec.residual) part.residual = spec.residual + begin;
    if (spec.compact)
      context.kernels.compact.narrow(part, spec.compact, begin);
    else
      (spec.transpose_b ? kernels.narrow_transposed : kernels.narrow)(part);
  });
}

}  // namespace gptloom::cpu
