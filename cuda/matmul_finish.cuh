// From sums of products to the output: what all matmul kernels do last, and how they find what
// there is to do.
#pragma once
#include "common.cuh"
#include "matmul.h"

using gptloom::cuda::MatmulTask;

// The task with what is not there cut off.
__device__ inline MatmulTask matmul_present(const MatmulTask& task) {
  MatmulTask p = task;
  if (p.count) {
    const int32_t left = max(*p.count - p.offset, 0);
    if (p.count_depth) {
      p.K = min(p.K, left);
    } else {
      p.M = min(p.M, left);
    }
  }
  return p;
}

// Elements of bias from `column` on, or zeros.
template <class T, int n>
__device__ inline void matmul_bias(const MatmulTask& p, int column, float (&bias)[n]) {
#pragma unroll
  for (int i = 0; i < n; i++) bias[i] = 0;
  if (p.bias && column < p.N) load(bias, static_cast<const T*>(p.bias) + column);
}

// What goes with n elements of the output: what is added to them or, with `slope`, where that is taken.
// Read apart from matmul_finish, so that the reads of many are under way before the first is written.
template <class T, class Out, int n>
__device__ inline void matmul_beside(const MatmulTask& p, int row, int column, float (&y)[n]) {
#pragma unroll
  for (int i = 0; i < n; i++) y[i] = 0;
  if (row >= p.M || column >= p.N) return;
  const int64_t at = row * p.ldo + column;
  if (p.slope) {
    load(y, static_cast<const T*>(p.slope) + at);
  } else if (p.accumulate) {
    load(y, static_cast<const Out*>(p.out) + at);
  } else if (p.residual) {
    load(y, static_cast<const T*>(p.residual) + at);
  }
}

// May several elements be finished at a time? Not with the exact GELU, nor with any where the output is
// of another type: its code, unrolled over them, would be most of a kernel.
template <class T, class Out>
__device__ inline bool matmul_vector(const MatmulTask& p) {
  return p.vector && (p.gelu == 0 || (p.gelu == 1 && sizeof(T) == sizeof(Out)));
}

// Writes n elements of the output from their sums x.
template <class T, class Out, int n>
__device__ inline void matmul_finish(const MatmulTask& p, int row, int column, float (&x)[n],
                                     const float (&bias)[n], const float (&y)[n]) {
  if (row >= p.M || column >= p.N) return;
  constexpr bool curves = n == 1 || sizeof(T) == sizeof(Out);
  const int64_t at = row * p.ldo + column;
  const int form = n == 1 ? p.gelu : 1;
  if (curves && p.slope) {
    float sum[n] = {};
    if (p.accumulate) load(sum, static_cast<const Out*>(p.out) + at);
#pragma unroll
    for (int i = 0; i < n; i++) x[i] = fmaf(x[i], gelu_slope(y[i], form), sum[i]);
  } else {
#pragma unroll
    for (int i = 0; i < n; i++) x[i] += bias[i];
    if (p.pre) store(static_cast<T*>(p.pre) + at, x);
    if (curves && p.gelu) {
#pragma unroll
      for (int i = 0; i < n; i++) x[i] = gelu(x[i], form);
    }
#pragma unroll
    for (int i = 0; i < n; i++) x[i] += y[i];
  }
  store(static_cast<Out*>(p.out) + at, x);
}

// The same for one element where nothing is known of alignment.
template <class T, class Out>
__device__ inline void matmul_finish_one(const MatmulTask& p, int row, int column, float sum) {
  float x[1] = {sum}, bias[1], y[1];
  matmul_bias<T>(p, column, bias);
  matmul_beside<T, Out>(p, row, column, y);
  matmul_finish<T, Out>(p, row, column, x, bias, y);
}

// The sum of a column of b over this block's part of K goes to the output or waits for other parts.
__device__ inline void matmul_column_sum(const MatmulTask& p, int split, int column, float sum) {
  if (column >= p.N) return;
  if (p.splits > 1) {
    p.partial_sums[static_cast<int64_t>(split) * p.N + column] = sum;
  } else {
    p.sums[column] = p.accumulate_sums ? p.sums[column] + sum : sum;
  }
}

// Which tile of the output this block makes: bands of tile rows, down each band's columns.
struct MatmulTile {
  int row, column;
};
__device__ inline MatmulTile matmul_tile(int rows_of_tiles, int columns_of_tiles) {
  const int band = gptloom::cuda::matmul_band * columns_of_tiles;
  const int first = static_cast<int>(blockIdx.x) / band * gptloom::cuda::matmul_band;
  const int height = min(gptloom::cuda::matmul_band, rows_of_tiles - first);
  const int at = static_cast<int>(blockIdx.x) % band;
  return {first + at % height, at / height};
}

// What a block of part `split` of K writes in place of the output where there are several.
__device__ inline MatmulTask matmul_part(const MatmulTask& task, int split) {
  MatmulTask p = task;
  p.out = task.partial + static_cast<int64_t>(split) * task.M * task.N;
  p.bias = p.residual = p.slope = p.pre = nullptr;
  p.gelu = 0;
  p.accumulate = false;
  p.ldo = task.N;
  p.vector = task.N % packet<float> == 0;
  p.wide = true;
  return p;
}
