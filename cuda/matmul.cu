// Matrix products.
//
// Maths: out[M, N] = act(op(a)[M, K] op(b)[K, N] + bias[N]) + residual[M, N], or with `accumulate`
//   out += op(a) op(b); act is the identity or GELU, whose argument may be kept in `pre`. op is the
//   identity or the transpose; a kernel's name says which: n or t for a, then for b. In the backward
//   pass: out (+)= (op(a) op(b)) act'(slope), the gradient of what GELU was applied to; and beside a
//   gradient of weights, sums[N] (+)= the sums of b's columns over K, that of the bias.
// Layout: row-major. bfloat16 operands begin at multiples of 16 bytes and so do their rows
//   (matmul_align makes such copies of others); float32 ones are read 16 bytes at a time where that
//   holds. The output is written 16 bytes a lane where it can be.
// Plan: a block makes a tile of the output over K, or over a part of K when there are too few tiles
//   for the GPU: then matmul_sum adds the parts in order. bfloat16: 16-byte asynchronous copies
//   bring stages of both operands to shared memory as they are stored, some stages ahead of the
//   tensor cores; ldmatrix, transposing or not, makes fragments of them, one slice of 16 k ahead.
//   float32: registers hold the next stage while threads multiply outer products of this one; where
//   tf32 is allowed, the bfloat16 plan at half as many k a stage, on operands rounded to it. Up to
//   16 rows against a transposed b (generation) have kernels of their own. Which kernel, which tile
//   and how many parts is the host's choice (native/cuda/matmul.cc). Columns of b are summed by the
//   blocks of the first row of tiles, from the stages in shared memory: no byte more is moved but
//   the sums themselves.
// Numbers: sums are float32 in one chain over a part of K. bfloat16 products are exact, the result
//   is rounded once. tf32 rounds float32 operands to 10 bits of fraction, to nearest: each product is
//   off by up to 1e-3 of itself, sums by about that over the root of K. Bound by tensor cores or
//   multiply-adds from about 128 rows on, below by the bytes of the weights.
#include "matmul_exact.cuh"
#include "matmul_narrow.cuh"
#include "matmul_tensor.cuh"

using Tensor256x128 = TensorShape<bf16, 256, 128, 64, 64, 3>;
using Tensor128x128 = TensorShape<bf16, 128, 128, 64, 64, 3>;
using Tensor128x64 = TensorShape<bf16, 128, 64, 64, 32, 4>;
using Tensor64x64 = TensorShape<bf16, 64, 64, 32, 32, 4>;
// Warps of 64 x 64 have no registers left for what rounding takes.
using Tf32128x128 = TensorShape<float, 128, 128, 64, 32, 3>;
using Tf32128x64 = TensorShape<float, 128, 64, 64, 32, 4>;
using Tf3264x64 = TensorShape<float, 64, 64, 32, 32, 4>;
using Exact128x64 = ExactShape<4, 1, 2>;
using Exact64x64 = ExactShape<2, 2, 1>;

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define TENSOR(statement) statement
#else
#define TENSOR(statement)  // bfloat16 and tf32 ask for compute capability 8.0
#endif

#define MATMUL_TENSOR(name, blocks, order, transpose_a, transpose_b)          \
  extern "C" __global__ void __launch_bounds__(Tensor##name::threads, blocks) \
      matmul_##name##_##order##_bf16(const MatmulTask task) {                 \
    TENSOR((tensor_matmul<Tensor##name, transpose_a, transpose_b>(task)));    \
  }
#define MATMUL_TF32(name, blocks, order, transpose_a, transpose_b)          \
  extern "C" __global__ void __launch_bounds__(Tf32##name::threads, blocks) \
      matmul_##name##_##order##_tf32(const MatmulTask task) {               \
    TENSOR((tensor_matmul<Tf32##name, transpose_a, transpose_b>(task)));    \
  }
#define MATMUL_EXACT(name, blocks, order, transpose_a, transpose_b)          \
  extern "C" __global__ void __launch_bounds__(Exact##name::threads, blocks) \
      matmul_##name##_##order##_f32(const MatmulTask task) {                 \
    exact_matmul<Exact##name, transpose_a, transpose_b>(task);               \
  }
#define MATMUL_ORDERS(kind, name, blocks)                                  \
  kind(name, blocks, nn, false, false) kind(name, blocks, nt, false, true) \
      kind(name, blocks, tn, true, false)

MATMUL_ORDERS(MATMUL_TENSOR, 256x128, 1)
MATMUL_ORDERS(MATMUL_TENSOR, 128x128, 2)
MATMUL_ORDERS(MATMUL_TENSOR, 128x64, 3)
MATMUL_ORDERS(MATMUL_TENSOR, 64x64, 4)
MATMUL_ORDERS(MATMUL_TF32, 128x128, 1)
MATMUL_ORDERS(MATMUL_TF32, 128x64, 3)
MATMUL_ORDERS(MATMUL_TF32, 64x64, 4)
MATMUL_ORDERS(MATMUL_EXACT, 128x64, 3)
MATMUL_ORDERS(MATMUL_EXACT, 64x64, 4)
// Nothing in a model's training has this order.
MATMUL_TENSOR(64x64, 4, tt, true, true)
MATMUL_EXACT(64x64, 4, tt, true, true)

extern "C" __global__ void __launch_bounds__(narrow_threads)
    matmul_narrow_8_bf16(const MatmulTask task) {
  TENSOR(narrow_matmul_bf16<8>(task));
}
extern "C" __global__ void __launch_bounds__(narrow_threads)
    matmul_narrow_16_bf16(const MatmulTask task) {
  TENSOR(narrow_matmul_bf16<16>(task));
}
extern "C" __global__ void __launch_bounds__(narrow_threads)
    matmul_narrow_1_f32(const MatmulTask task) {
  narrow_matmul_f32<1, 1>(task);
}
extern "C" __global__ void __launch_bounds__(narrow_threads)
    matmul_narrow_4_f32(const MatmulTask task) {
  narrow_matmul_f32<4, 1>(task);
}
extern "C" __global__ void __launch_bounds__(narrow_threads)
    matmul_narrow_16_f32(const MatmulTask task) {
  narrow_matmul_f32<16, 2>(task);
}

// out from the parts of K, added in order. A thread has 4 elements, 16 bytes of a part. What is row M
// of the output is the sums of b's columns.
template <class T, class Out>
__device__ void sum_parts(const MatmulTask& p) {
  constexpr int group = 4;
  const uint32_t across = (p.N + group - 1) / group;
  const uint32_t index = blockIdx.x * blockDim.x + threadIdx.x;
  const int row = static_cast<int>(index / across),
            column = static_cast<int>(index % across) * group;
  if (row == p.M && p.sums) {
    for (int j = column; j < min(column + group, p.N); j++) {
      float sum = p.accumulate_sums ? p.sums[j] : 0;
      for (int i = 0; i < p.splits; i++) sum += p.partial_sums[static_cast<int64_t>(i) * p.N + j];
      p.sums[j] = sum;
    }
  }
  if (row >= p.M) return;
  const float* const parts = p.partial + static_cast<int64_t>(row) * p.N + column;
  const int64_t stride = static_cast<int64_t>(p.M) * p.N;
  if (matmul_vector<T, Out>(p) && p.N % group == 0) {
    float x[group] = {}, part[group], bias[group], y[group];
    for (int i = 0; i < p.splits; i++) {
      load(part, parts + i * stride);
#pragma unroll
      for (int j = 0; j < group; j++) x[j] += part[j];
    }
    matmul_bias<T>(p, column, bias);
    matmul_beside<T, Out>(p, row, column, y);
    matmul_finish<T, Out>(p, row, column, x, bias, y);
  } else {
    for (int j = 0; j < group && column + j < p.N; j++) {
      float x = 0;
      for (int i = 0; i < p.splits; i++) x += parts[i * stride + j];
      matmul_finish_one<T, Out>(p, row, column + j, x);
    }
  }
}

extern "C" __global__ void matmul_sum_f32(const MatmulTask task) {
  sum_parts<float, float>(matmul_present(task));
}
extern "C" __global__ void matmul_sum_bf16(const MatmulTask task) {
  const MatmulTask p = matmul_present(task);
  if (p.wide) {
    sum_parts<bf16, float>(p);
  } else {
    sum_parts<bf16, bf16>(p);
  }
}

// out[rows, columns] = x[rows, columns], their rows `wide` and `stride` apart, so that those of out
// begin at multiples of 16 bytes. What lies behind the columns is left alone.
extern "C" __global__ void matmul_align_bf16(bf16* out, const bf16* x, int64_t rows,
                                             int64_t columns, int64_t stride, int64_t wide) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t row = i / columns, column = i % columns;
  if (row < rows) out[row * wide + column] = x[row * stride + column];
}
