// What the host tells the matmul kernels. Plain C++ for both sides.
#pragma once
#include <cstdint>

namespace gptloom::cuda {

// out[M, N] = act(op(a)[M, K] op(b)[K, N] + bias[N]) + residual[M, N], or out += with `accumulate`;
// with `slope` out (+)= (op(a) op(b)) act'(slope). a, b, bias, residual, pre and slope are of the
// kernel's dtype, out too unless `wide`. Strides count elements from row to row as stored.
struct MatmulTask {
  void* out;
  void* pre;              // [M, N]: the value before act; null: not wanted
  const void* slope;      // [M, N]: the value before act whose derivative is wanted; null: none
  const void* a;          // [M, K], transposed [K, M]
  const void* b;          // [K, N], transposed [N, K]
  const void* bias;       // null: none
  const void* residual;   // null: none; may be out
  float* partial;         // [splits, M, N]: where sums over parts of K go when there are several
  float* sums;            // [N] (+)= the sums of b's columns; null: not wanted; orders tn only
  float* partial_sums;    // [splits, N]: those of parts of K
  const int32_t* count;   // null, or how much of M (of K with `count_depth`) there is at all
  int64_t lda, ldb, ldo;  // ldo: of out, pre, slope and residual
  int32_t M, N, K;
  int32_t offset;       // `count` less this is what this task has
  int32_t splits;       // parts of K, each in blocks of its own
  int32_t split_depth;  // the length of a part; the last may be shorter
  bool transpose_a, transpose_b;
  bool count_depth;
  int32_t gelu;  // act: 0 the identity, 1 GELU by tanh, 2 exact
  bool accumulate, accumulate_sums;
  bool wide;    // out is float32 and the rest bfloat16
  bool vector;  // out, pre, slope, bias, residual take 16-byte accesses, also behind N up to ldo
  bool vector_a, vector_b;
};

// Blocks of threads go over the tiles of the output in bands of this many rows of tiles, so that
// those at work at one time share rows of a and columns of b in L2.
constexpr int matmul_band = 8;

}  // namespace gptloom::cuda
