// Maths (Ba, Kiros & Hinton 2016): mean = sum_c x_c / C, rstd = 1 / sqrt(sum_c (x_c - mean)^2 / C +
//   epsilon), h = (x - mean) rstd, out = h weight + bias. Backward, with g = dout weight:
//   dx (+)= rstd (g - sum_c g_c / C - h sum_c g_c h_c / C), dweight = sum over rows of dout h,
//   dbias = sum over rows of dout.
// Layout: x, out, dx, dout [rows, C]; weight, bias [C]; mean, rstd [rows], float32. Packets of 16
//   bytes where everything is aligned and C is whole packets, else element by element. A slice of
//   the parameters' gradients is [2, C] floats: weight's, then bias's.
// Plan: a row stays in registers, so that memory is read once: by one warp up to 1024 columns
//   (weight and bias in shared memory, once for all rows of a block), by a block up to 8192. Rows
//   that are wider, or wider than 512 and no whole packets, are read again, from L2. Forward: a
//   warp or block has rows that follow each other, so that their means are written together.
//   Backward: a block has some rows that follow each other, each lane keeps the sums of its columns
//   in registers, and a block's sums make one slice; reduce_totals adds the slices up. The residual
//   is added by the product before: there out and the residual pass once (2 C elements a row) and
//   here once more (2 C), 4 C in all; added here, the product's output, the residual, their sum and
//   this output would pass, 5 C.
// Numbers: float32; the variance from deviations, never E[x^2] - mean^2. About 1e-6 of the row's
//   size. Slices hold at most 128 rows. No order depends on the device. Bound by bytes: forward
//   2 C elements a row, backward 3 C (4 C when accumulating).
#include "common.cuh"
#include "layernorm_wide.cuh"

constexpr int forward_threads = 512;  // with one warp a row; 16 warps else, everywhere
constexpr int backward_threads = 256;
constexpr int many = 16;  // the warps of a row of more than 1024 columns

// ---- a row in registers ----

// What a group of `warps` warps has of a row: packet k of lane l is number k * 32 warps + l.
template <int N, int packets, int warps>
struct Row {
  static constexpr int lanes = warps * warp_size;
  float values[packets][N];
  // Calls f(k, the packet's column) for the packets that a row of C columns has.
  template <class F>
  __device__ static void each_packet(int C, F f) {
    const int lane = static_cast<int>(threadIdx.x) % lanes;
#pragma unroll
    for (int k = 0; k < packets; k++) {
      const int column = (k * lanes + lane) * N;
      if (column < C) f(k, column);
    }
  }
  template <class F>
  __device__ void each(int C, F f) {
    each_packet(C, [&](int k, int column) { f(values[k], column); });
  }
  template <class F>
  __device__ void each(int C, F f) const {
    each_packet(C, [&](int k, int column) { f(values[k], column); });
  }
};

// Over the lanes of a row. scratch: one float for each warp; a barrier between two uses.
template <int warps>
__device__ float row_sum(float x, float* scratch) {
  if constexpr (warps == 1) {
    return warp_sum(x);
  } else {
    return block_sum(x, scratch);
  }
}

// The elements of a row in shared memory, in whole packets.
template <class T>
__device__ inline int padded(int C) {
  return (C + packet<T> - 1) / packet<T> * packet<T>;
}

// Copies C elements to shared memory, or zeros where there are none.
template <class T>
__device__ void stage(T* to, const T* from, int C) {
  for (int c = static_cast<int>(threadIdx.x); c < C; c += static_cast<int>(blockDim.x)) {
    to[c] = from ? from[c] : from_float<T>(0);
  }
}

// With one warp a row, dynamic shared memory holds weight and bias, each in whole packets.
template <int N, int packets, int warps, class T>
__device__ void forward_rows(T* out, float* mean, float* rstd, const T* x, const T* weight,
                             const T* bias, int64_t rows, int C, float epsilon) {
  constexpr int side_by_side = forward_threads / (warps * warp_size);
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float scratch[2][warp_size];
  if constexpr (warps == 1) {
    T* kept = reinterpret_cast<T*>(shared);
    stage(kept, weight, C);
    stage(kept + padded<T>(C), bias, C);
    weight = kept;
    bias = kept + padded<T>(C);
    __syncthreads();
  }
  const float share = 1 / static_cast<float>(C);
  const int64_t walkers = static_cast<int64_t>(gridDim.x) * side_by_side;
  const int64_t walker =
      static_cast<int64_t>(blockIdx.x) * side_by_side + (warps == 1 ? warp_index() : 0);
  const int64_t begin = rows * walker / walkers, end = rows * (walker + 1) / walkers;
  float kept_mean = 0, kept_rstd = 0;  // lane l's are of the l-th row since the last were written
  for (int64_t row = begin; row < end; row++) {
    Row<N, packets, warps> r;
    const T* from = x + row * C;
    T* to = out + row * C;
    float sum = 0, squares = 0;
    r.each(C, [&](float(&v)[N], int column) { load(v, from + column); });
    r.each(C, [&](float(&v)[N], int) {
#pragma unroll
      for (int j = 0; j < N; j++) sum += v[j];
    });
    const float m = row_sum<warps>(sum, scratch[0]) * share;
    r.each(C, [&](float(&v)[N], int) {
#pragma unroll
      for (int j = 0; j < N; j++) {
        v[j] -= m;
        squares = fmaf(v[j], v[j], squares);
      }
    });
    const float s = 1 / sqrtf(fmaf(row_sum<warps>(squares, scratch[1]), share, epsilon));
    r.each(C, [&](float(&v)[N], int column) {
      float w[N], b[N] = {};
      load(w, weight + column);
      if (warps == 1 || bias) load(b, bias + column);
#pragma unroll
      for (int j = 0; j < N; j++) v[j] = fmaf(v[j] * s, w[j], b[j]);
      store(to + column, v);
    });
    const int turn = static_cast<int>((row - begin) % warp_size);
    if (lane_index() == turn) kept_mean = m, kept_rstd = s;
    if (mean && (turn == warp_size - 1 || row == end - 1) && lane_index() <= turn &&
        (warps == 1 || warp_index() == 0)) {
      mean[row - turn + lane_index()] = kept_mean;
      rstd[row - turn + lane_index()] = kept_rstd;
    }
    // Between the uses of each scratch stands the barrier of the other.
  }
}

// ---- backward ----

// Of a row of x in h and of dout in g: makes them h and g = dout weight, adds dout h and dout to
// the sums of the parameters' gradients, and returns the lane's sums of g and of g h.
template <int N, int packets, int warps, class T>
__device__ float2 gradient_sums(Row<N, packets, warps>& h, Row<N, packets, warps>& g,
                                Row<N, packets, warps>& dweight, Row<N, packets, warps>& dbias,
                                const T* weight, int C, float mean, float rstd) {
  float sum_g = 0, sum_gh = 0;
  h.each_packet(C, [&](int k, int column) {
    float w[N];
    load(w, weight + column);
#pragma unroll
    for (int j = 0; j < N; j++) {
      const float d = g.values[k][j], value = (h.values[k][j] - mean) * rstd;
      dweight.values[k][j] = fmaf(d, value, dweight.values[k][j]);
      dbias.values[k][j] += d;
      h.values[k][j] = value;
      g.values[k][j] = d * w[j];
      sum_g += g.values[k][j];
      sum_gh = fmaf(g.values[k][j], value, sum_gh);
    }
  });
  return make_float2(sum_g, sum_gh);
}

template <int N, int packets, int warps, class T>
__device__ void write_dx(T* dx, const Row<N, packets, warps>& h, const Row<N, packets, warps>& g,
                         int C, float mean_g, float mean_gh, float rstd, bool accumulate) {
  h.each_packet(C, [&](int k, int column) {
    float sum[N] = {};
    if (accumulate) load(sum, dx + column);
#pragma unroll
    for (int j = 0; j < N; j++) {
      const float centred = g.values[k][j] - mean_g - h.values[k][j] * mean_gh;
      sum[j] = fmaf(centred, rstd, sum[j]);
    }
    store(dx + column, sum);
  });
}

// The sums of a block, whose warps add theirs to `shared` one after the other where each of them
// has rows of its own.
template <int N, int packets, int warps>
__device__ void write_slice(float* slice, float* shared, const Row<N, packets, warps>& dweight,
                            const Row<N, packets, warps>& dbias, int C) {
  if constexpr (warps > 1) {
    dweight.each(C, [&](const float(&v)[N], int column) { store(slice + column, v); });
    dbias.each(C, [&](const float(&v)[N], int column) { store(slice + C + column, v); });
  } else {
    const auto add = [&](float* to, const float(&v)[N]) { store_shared(to, v, warp_index() > 0); };
    for (int w = 0; w < backward_threads / warp_size; w++) {
      if (warp_index() == w) {
        dweight.each(C, [&](const float(&v)[N], int column) { add(shared + column, v); });
        dbias.each(C, [&](const float(&v)[N], int column) { add(shared + C + column, v); });
      }
      __syncthreads();
    }
    for (int c = static_cast<int>(threadIdx.x); c < 2 * C; c += backward_threads) {
      slice[c] = shared[c];
    }
  }
}

// Slice blockIdx.x: rows [blockIdx.x * slice_rows, + slice_rows). With one warp a row, dynamic
// shared memory holds weight, rounded up to whole packets of T, and then a slice.
template <int N, int packets, int warps, class T>
__device__ void backward_rows(T* dx, float* partials, const T* dout, const T* x, const T* weight,
                              const float* mean, const float* rstd, int64_t rows, int C,
                              int slice_rows, bool accumulate_dx) {
  constexpr int side_by_side = warps == 1 ? backward_threads / warp_size : 1;
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float scratch[2][warp_size];
  if constexpr (warps == 1) {
    T* kept = reinterpret_cast<T*>(shared);
    stage(kept, weight, C);
    weight = kept;
    __syncthreads();
  }
  const float share = 1 / static_cast<float>(C);
  Row<N, packets, warps> dweight = {}, dbias = {};
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * slice_rows;
  const int count = static_cast<int>(min(rows - begin, static_cast<int64_t>(slice_rows)));
  for (int i = warps == 1 ? warp_index() : 0; i < count; i += side_by_side) {
    Row<N, packets, warps> h, g;
    const int64_t row = begin + i, at = row * C;
    h.each(C, [&](float(&v)[N], int column) { load(v, x + at + column); });
    g.each(C, [&](float(&v)[N], int column) { load(v, dout + at + column); });
    const float s = rstd[row];
    const float2 sums = gradient_sums(h, g, dweight, dbias, weight, C, mean[row], s);
    if (!dx) continue;
    const float mean_g = row_sum<warps>(sums.x, scratch[0]) * share;
    const float mean_gh = row_sum<warps>(sums.y, scratch[1]) * share;
    write_dx(dx + at, h, g, C, mean_g, mean_gh, s, accumulate_dx);
  }
  if (!partials) return;
  float* sums = reinterpret_cast<float*>(shared + padded<T>(C) * sizeof(T));
  write_slice(partials + static_cast<int64_t>(blockIdx.x) * 2 * C, sums, dweight, dbias, C);
}

// ---- kernels ----
// layernorm_<forward|backward>_<the most columns>[_any: taken one by one]_<type>. A lane has 24 or
// 32 columns of a warp's row, 16 of a block's and of those taken one by one.

#define FORWARD(name, T, N, lane_columns, warps, resident)                                        \
  extern "C" __global__ void __launch_bounds__(forward_threads, resident)                         \
      layernorm_forward_##name(T* out, float* mean, float* rstd, const T* x, const T* weight,     \
                               const T* bias, int64_t rows, int32_t C, float epsilon) {           \
    forward_rows<N, lane_columns / N, warps>(out, mean, rstd, x, weight, bias, rows, C, epsilon); \
  }
FORWARD(768_f32, float, 4, 24, 1, 2)
FORWARD(768_bf16, bf16, 8, 24, 1, 2)
FORWARD(1024_f32, float, 4, 32, 1, 1)
FORWARD(1024_bf16, bf16, 8, 32, 1, 1)
FORWARD(512_any_f32, float, 1, 16, 1, 1)
FORWARD(512_any_bf16, bf16, 1, 16, 1, 1)
FORWARD(8192_f32, float, 4, 16, many, 2)
FORWARD(8192_bf16, bf16, 8, 16, many, 2)
#undef FORWARD

#define BACKWARD(name, T, N, lane_columns, warps)                                                  \
  extern "C" __global__ void __launch_bounds__(warps == 1 ? backward_threads : warps * warp_size)  \
      layernorm_backward_##name(                                                                   \
          T* dx, float* partials, const T* dout, const T* x, const T* weight, const float* mean,   \
          const float* rstd, int64_t rows, int32_t C, int32_t slice_rows, int32_t accumulate_dx) { \
    backward_rows<N, lane_columns / N, warps>(dx, partials, dout, x, weight, mean, rstd, rows, C,  \
                                              slice_rows, accumulate_dx);                          \
  }
BACKWARD(768_f32, float, 4, 24, 1)
BACKWARD(768_bf16, bf16, 8, 24, 1)
BACKWARD(1024_f32, float, 4, 32, 1)
BACKWARD(1024_bf16, bf16, 8, 32, 1)
BACKWARD(512_any_f32, float, 1, 16, 1)
BACKWARD(512_any_bf16, bf16, 1, 16, 1)
BACKWARD(8192_f32, float, 4, 16, many)
BACKWARD(8192_bf16, bf16, 8, 16, many)
#undef BACKWARD

#define WIDE(name, T)                                                                              \
  extern "C" __global__ void __launch_bounds__(many* warp_size)                                    \
      layernorm_forward_wide_##name(T* out, float* mean, float* rstd, const T* x, const T* weight, \
                                    const T* bias, int32_t C, float epsilon) {                     \
    forward_wide(out, mean, rstd, x, weight, bias, C, epsilon);                                    \
  }                                                                                                \
  extern "C" __global__ void __launch_bounds__(many* warp_size) layernorm_backward_wide_##name(    \
      T* dx, const T* dout, const T* x, const T* weight, const float* mean, const float* rstd,     \
      int32_t C, int32_t accumulate_dx) {                                                          \
    backward_wide(dx, dout, x, weight, mean, rstd, C, accumulate_dx);                              \
  }                                                                                                \
  extern "C" __global__ void __launch_bounds__(backward_threads) layernorm_slices_wide_##name(     \
      float* partials, const T* dout, const T* x, const float* mean, const float* rstd,            \
      int64_t rows, int32_t C, int32_t slice_rows) {                                               \
    slices_wide(partials, dout, x, mean, rstd, rows, C, slice_rows);                               \
  }
WIDE(f32, float)
WIDE(bf16, bf16)
#undef WIDE
