// Maths: sum = sum_i x_i; norm = sqrt(sum over tensors of sum_i x_i^2); dbias[N] (+)= the sum of
//   dout[M, N] over rows.
// Layout: tensors of any length and alignment, 16 bytes a lane where aligned; dout is row-major, 16
//   bytes a lane where it is aligned and N is whole packets. Partial sums of rows: [slices, stride]
//   of float, of which a total takes columns.
// Plan: sum and norm: a block sums a chunk of 16384 elements to one double, a second launch adds
//   those up; the tensors' addresses travel as the launch's parameters, so that nothing is copied.
//   bias_backward: a block sums some rows of 32 packets of columns, 8 warps side by side, to one
//   slice of partial sums, and totals adds up the slices; layernorm's parameters end so too.
// Numbers: sum and norm in double from the first element: squares of floats are exact and cannot
//   overflow there. Columns: at most 128 rows in float, the slices in double. No order depends on
//   the device. Bound by bytes: one read of the input, and partial sums: 4 % more for 8192 rows.
#include "common.cuh"
#include "reduce.h"

using gptloom::cuda::kReduceChunk;
using gptloom::cuda::ReduceTensor;
using gptloom::cuda::ReduceTensors;

constexpr int reduce_threads = 256;

// The sum of f over [begin, end) of x by one block: each thread its own part.
template <class T, class F>
__device__ double thread_total(const T* x, int64_t begin, int64_t end, F f) {
  constexpr int N = packet<T>;
  double sums[4] = {};
  if (aligned(x)) {
    int64_t i = begin + static_cast<int64_t>(threadIdx.x) * N;
#pragma unroll 4
    for (; i + N <= end; i += reduce_threads * N) {
      float values[N];
      load(values, x + i);
#pragma unroll
      for (int j = 0; j < N; j++) sums[j % 4] += f(values[j]);
    }
    for (; i < end; i++) {  // whoever has the last packet's beginning; others are past the end
      sums[0] += f(to_float(x[i]));
    }
  } else {
#pragma unroll 4
    for (int64_t i = begin + threadIdx.x; i < end; i += reduce_threads) {
      sums[0] += f(to_float(x[i]));
    }
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <class F>
__device__ void chunk_totals(double* partials, const ReduceTensors& list, F f) {
  __shared__ double scratch[reduce_threads / warp_size];
  const int chunk = static_cast<int>(blockIdx.x);
  int low = 0, high = list.count;  // the last tensor that begins at this chunk or before
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (list.tensors[middle].first_chunk <= chunk ? low : high) = middle;
  }
  const ReduceTensor& tensor = list.tensors[low];
  const int64_t begin = (chunk - tensor.first_chunk) * kReduceChunk;
  const int64_t end = min(tensor.n, begin + kReduceChunk);
  const double mine = tensor.bfloat16
                          ? thread_total(static_cast<const bf16*>(tensor.data), begin, end, f)
                          : thread_total(static_cast<const float*>(tensor.data), begin, end, f);
  const double total = block_sum(mine, scratch);
  if (threadIdx.x == 0) partials[chunk] = total;
}

// out = the sum of `count` doubles, by one block.
__device__ double partial_total(const double* partials, int64_t count) {
  __shared__ double scratch[warp_size];
  double sum = 0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += partials[i];
  return block_sum(sum, scratch);
}

// One slice: rows [slice * rows, + rows) of dout, 32 packets of columns for each block.
template <int N, class T>
__device__ void column_slices(float* partials, const T* dout, int64_t M, int64_t columns,
                              int32_t rows) {
  constexpr int warps = reduce_threads / warp_size, width = N * warp_size;
  __shared__ alignas(16) float sums[warps][width];
  const int64_t tiles = (columns + width - 1) / width;
  const int64_t slice = blockIdx.x / tiles, first = blockIdx.x % tiles * width;
  const int64_t column = first + lane_index() * N, end = min(M, (slice + 1) * rows);
  float sum[N] = {};
  if (column < columns) {
#pragma unroll 4
    for (int64_t row = slice * rows + warp_index(); row < end; row += warps) {
      float values[N];
      load(values, dout + row * columns + column);
#pragma unroll
      for (int j = 0; j < N; j++) sum[j] += values[j];
    }
  }
  store_shared(&sums[warp_index()][lane_index() * N], sum);
  __syncthreads();
  for (int c = static_cast<int>(threadIdx.x); c < width; c += reduce_threads) {
    if (first + c >= columns) break;
    float total = sums[0][c];
#pragma unroll
    for (int w = 1; w < warps; w++) total += sums[w][c];
    partials[slice * columns + first + c] = total;
  }
}

extern "C" {

// Chunks of a launch take its blocks, one each.
__global__ void __launch_bounds__(reduce_threads)
    reduce_sums(double* partials, const __grid_constant__ ReduceTensors list) {
  chunk_totals(partials, list, [](float x) { return static_cast<double>(x); });
}
__global__ void __launch_bounds__(reduce_threads)
    reduce_squares(double* partials, const __grid_constant__ ReduceTensors list) {
  chunk_totals(partials, list, [](float x) {
    const double value = static_cast<double>(x);
    return value * value;
  });
}

// One block.
__global__ void reduce_finish(float* out, const double* partials, int64_t count, int32_t root) {
  const double sum = partial_total(partials, count);
  if (threadIdx.x == 0) *out = static_cast<float>(root ? sqrt(sum) : sum);
}

__global__ void __launch_bounds__(reduce_threads)
    reduce_columns_f32(float* partials, const float* dout, int64_t M, int64_t N, int32_t rows) {
  column_slices<4>(partials, dout, M, N, rows);
}
__global__ void __launch_bounds__(reduce_threads)
    reduce_columns_bf16(float* partials, const bf16* dout, int64_t M, int64_t N, int32_t rows) {
  column_slices<8>(partials, dout, M, N, rows);
}
// For rows that are not whole packets.
__global__ void __launch_bounds__(reduce_threads)
    reduce_columns_any_f32(float* partials, const float* dout, int64_t M, int64_t N, int32_t rows) {
  column_slices<1>(partials, dout, M, N, rows);
}
__global__ void __launch_bounds__(reduce_threads)
    reduce_columns_any_bf16(float* partials, const bf16* dout, int64_t M, int64_t N, int32_t rows) {
  column_slices<1>(partials, dout, M, N, rows);
}

// out[columns] (+)= the sum over slices of partials[slice * stride + column]: a block has 32
// columns, its warps go through the slices side by side.
__global__ void __launch_bounds__(reduce_threads)
    reduce_totals(float* out, const float* partials, int64_t slices, int64_t columns,
                  int64_t stride, int32_t accumulate) {
  constexpr int warps = reduce_threads / warp_size;
  __shared__ double sums[warps][warp_size];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * warp_size + lane_index();
  double sum = 0;
  if (column < columns) {
#pragma unroll 4
    for (int64_t slice = warp_index(); slice < slices; slice += warps) {
      sum += static_cast<double>(partials[slice * stride + column]);
    }
  }
  sums[warp_index()][lane_index()] = sum;
  __syncthreads();
  if (warp_index() > 0 || column >= columns) return;
#pragma unroll
  for (int w = 1; w < warps; w++) sum += sums[w][lane_index()];
  out[column] = accumulate ? static_cast<float>(static_cast<double>(out[column]) + sum)
                           : static_cast<float>(sum);
}

}  // extern "C"
