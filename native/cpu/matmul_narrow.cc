// Matrix products of few rows: what generation is made of.
//
// Maths, numbers: matmul.cc's.
// Plan: each thread takes ranges of columns and reads their weights once, as they lie, without
//   packing. Where that leaves it too short a piece of each row of b, it takes whole rows instead,
//   a block of K at a time; the blocks' sums are then added in order, as they always are.
#include <algorithm>
#include <vector>

#include "cpu/matmul.h"

namespace gptloom::cpu {

namespace {

// Columns of b whose rows are read at memory's rate: what a processor fetches ahead of a row's end,
// a few lines, is another thread's.
constexpr int64_t kLongRow = 1024;

// Columns [begin, end) of a product.
MatmulNarrow columns_of(float* out, const float* a, const float* b, const Matmul& spec,
                        int64_t begin, int64_t end) {
  MatmulNarrow part{a,
                    spec.K,
                    spec.compact ? nullptr : b + (spec.transpose_b ? begin * spec.K : begin),
                    spec.transpose_b ? spec.K : spec.N,
                    spec.M,
                    end - begin,
                    spec.K,
                    block_of(spec.K),
                    out + begin,
                    spec.N};
  part.accumulate = spec.accumulate;
  part.gelu = spec.gelu;
  if (spec.bias) part.bias = spec.bias + begin;
  if (spec.pre) part.pre = spec.pre + begin;
  if (spec.slope) part.slope = spec.slope + begin;
  if (spec.residual) part.residual = spec.residual + begin;
  return part;
}

// The product from sums that each thread makes of whole blocks of K.
void by_blocks(Context& context, float* out, const float* a, const float* b, const Matmul& spec) {
  const MatmulKernels& kernels = context.kernels.matmul;
  const int64_t M = spec.M, N = spec.N, depth = block_of(spec.K), blocks = divide_up(spec.K, depth);
  Scratch<float> sums(context, M * blocks * N);  // [M, blocks, N]
  context.pool.run_near(blocks, [&](int64_t block, int) {
    const int64_t k = block * depth, length = std::min(depth, spec.K - k);
    kernels.narrow(
        {a + k, spec.K, b + k * N, N, M, N, length, length, sums + block * N, blocks * N});
  });
  // 1 s + sum rounds as s + sum does.
  const std::vector<float> ones(static_cast<size_t>(blocks), 1.0f);
  for (int64_t i = 0; i < M; i++) {
    MatmulNarrow row = columns_of(out + i * N, ones.data(), sums + i * blocks * N, spec, 0, N);
    row.rows = 1;
    row.depth = row.block = blocks;
    if (row.pre) row.pre += i * N;
    if (row.slope) row.slope += i * N;
    if (row.residual) row.residual += i * N;
    kernels.narrow(row);
  }
}

}  // namespace

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
  const bool by_rows = !spec.compact && !spec.transpose_b;
  if (by_rows && threads > 1 && N < threads * kLongRow && divide_up(K, block_of(K)) % threads == 0)
    return by_blocks(context, out, a, b, spec);
  // Rows of b as long as can be; else streams that are long enough for memory, and as many for each
  // thread.
  const int64_t parts =
      by_rows ? threads : round_up(std::max<int64_t>(divide_up(N, 512), 2 * threads), threads);
  const int64_t grain = round_up(divide_up(N, parts), CompactWeight::lanes);
  context.pool.run_ranges(N, threads > 1 ? grain : N, [&](int64_t begin, int64_t end, int) {
    const MatmulNarrow part = columns_of(out, a, b, spec, begin, end);
    if (spec.compact)
      context.kernels.compact.narrow(part, spec.compact, begin);
    else
      (spec.transpose_b ? kernels.narrow_transposed : kernels.narrow)(part);
  });
}

}  // namespace gptloom::cpu
