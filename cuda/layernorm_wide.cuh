// Rows of layernorm that registers do not hold: more than 8192 columns, or more than 512 that are
// no whole packets. A block a row, which it reads two or three times, from L2 after the first; the
// parameters' gradients by lanes that have a column each. Maths and Layout as in layernorm.cu.
#pragma once
#include "common.cuh"

template <class F>
__device__ void each_column(int C, F f) {
  for (int c = static_cast<int>(threadIdx.x); c < C; c += static_cast<int>(blockDim.x)) f(c);
}

template <class T>
__device__ void forward_wide(T* out, float* mean, float* rstd, const T* x, const T* weight,
                             const T* bias, int C, float epsilon) {
  __shared__ float scratch[2][warp_size];
  const int64_t row = blockIdx.x;
  const T* from = x + row * C;
  T* to = out + row * C;
  const float share = 1 / static_cast<float>(C);
  float sum = 0, squares = 0;
  each_column(C, [&](int c) { sum += to_float(from[c]); });
  const float m = block_sum(sum, scratch[0]) * share;
  each_column(C, [&](int c) {
    const float deviation = to_float(from[c]) - m;
    squares = fmaf(deviation, deviation, squares);
  });
  const float s = 1 / sqrtf(fmaf(block_sum(squares, scratch[1]), share, epsilon));
  each_column(C, [&](int c) {
    const float h = (to_float(from[c]) - m) * s;
    to[c] = from_float<T>(fmaf(h, to_float(weight[c]), bias ? to_float(bias[c]) : 0.0f));
  });
  if (mean && threadIdx.x == 0) mean[row] = m, rstd[row] = s;
}

template <class T>
__device__ void backward_wide(T* dx, const T* dout, const T* x, const T* weight, const float* mean,
                              const float* rstd, int C, bool accumulate_dx) {
  __shared__ float scratch[2][warp_size];
  const int64_t row = blockIdx.x, at = row * C;
  const float m = mean[row], s = rstd[row], share = 1 / static_cast<float>(C);
  float sum_g = 0, sum_gh = 0;
  each_column(C, [&](int c) {
    const float g = to_float(dout[at + c]) * to_float(weight[c]);
    sum_g += g;
    sum_gh = fmaf(g, (to_float(x[at + c]) - m) * s, sum_gh);
  });
  const float mean_g = block_sum(sum_g, scratch[0]) * share;
  const float mean_gh = block_sum(sum_gh, scratch[1]) * share;
  each_column(C, [&](int c) {
    const float g = to_float(dout[at + c]) * to_float(weight[c]);
    const float centred = g - mean_g - (to_float(x[at + c]) - m) * s * mean_gh;
    const float before = accumulate_dx ? to_float(dx[at + c]) : 0.0f;
    dx[at + c] = from_float<T>(fmaf(centred, s, before));
  });
}

// Slice blockIdx.y for the columns of block blockIdx.x, a lane each.
template <class T>
__device__ void slices_wide(float* partials, const T* dout, const T* x, const float* mean,
                            const float* rstd, int64_t rows, int C, int slice_rows) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= C) return;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * slice_rows;
  const int64_t end = min(rows, begin + slice_rows);
  float dweight = 0, dbias = 0;
#pragma unroll 4
  for (int64_t row = begin; row < end; row++) {
    const float d = to_float(dout[row * C + c]);
    dweight = fmaf(d, (to_float(x[row * C + c]) - mean[row]) * rstd[row], dweight);
    dbias += d;
  }
  float* slice = partials + static_cast<int64_t>(blockIdx.y) * 2 * C;
  slice[c] = dweight;
  slice[C + c] = dbias;
}
