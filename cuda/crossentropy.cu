// Softmax cross-entropy, and what the fused linear layer needs around it.
//
// Maths: m = max x, S = sum exp(x - m); loss = log S + m - x[target]; dx = exp(x - m) / S - [i =
//   target], the gradient of the sum of losses. A row with a negative target is ignored: its loss
//   and gradient are 0. With label smoothing e the target keeps 1 - e, and e / V goes to each:
//   loss = log S + (1 - e) (m - x[target]) + e mean (m - x), and both are taken off dx.
// Layout: rows of V elements of any alignment: 16 bytes a lane, in whole sectors of 32, between a
//   head and a tail of single elements; dlogits lies against 16 bytes as logits does, or is written
//   element by element.
// Plan: a block a row. Its elements are read once and wait in registers, and behind them in shared
//   memory, for the maximum, then for the sum, then to be written; what has no room there (rows
//   beyond some 60000 elements) is read again, from L2. Fused with a linear layer, the rows that
//   have a target are listed first (crossentropy_select) and gathered, so that others cost nothing.
// Numbers: sums in float32, about 100 terms a thread, then a tree: S within 1e-6 relative. Bound by
//   bytes: one read and one write of the logits.
#include "common.cuh"
#include "crossentropy.h"
#include "failure.h"

using gptloom::cuda::CrossentropyTask;

// The packets of a row in order, each with one thread: in registers, in shared memory or at home.
template <class T, int threads>
class Row {
 public:
  static constexpr int size = packet<T>;
  static constexpr int held = gptloom::cuda::crossentropy_held(sizeof(T));

  __device__ Row(const T* x, int V, int kept, uint4* shared)
      : x_(x), shared_(shared + threadIdx.x), kept_(kept) {
    constexpr int sector = 32 / sizeof(T);
    const int off = static_cast<int>(reinterpret_cast<uintptr_t>(x) / sizeof(T) % sector);
    head_ = min(off ? sector - off : 0, V);
    packets_ = (V - head_) / size;
    tail_ = V - head_ - packets_ * size;
    // The lanes that have an element of the head have one of the tail too.
    const int i = static_cast<int>(threadIdx.x);
    ends_[0] = i < head_ ? i : -1;
    ends_[1] = i < tail_ ? V - tail_ + i : -1;
  }

  __device__ void fetch() {
#pragma unroll
    for (int i = 0; i < held; i++) {
      if (at(i) < packets_) held_[i] = home(at(i));
    }
    for (int i = 0; i < kept_ && at(held + i) < packets_; i++) {
      shared_[i * threads] = home(at(held + i));
    }
  }

  // f(elements, first, Width<n>) for all of this thread's elements.
  template <class F>
  __device__ void each(F f) const {
#pragma unroll
    for (int i = 0; i < held; i++) {
      if (at(i) < packets_) unpack(held_[i], at(i), f);
    }
    for (int i = held; at(i) < packets_; i++) {
      const int behind = i - held;
      unpack(behind < kept_ ? shared_[behind * threads] : home(at(i)), at(i), f);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      if (ends_[i] < 0) continue;
      float one[1];
      load(one, x_ + ends_[i]);
      f(one, ends_[i], Width<1>());
    }
  }

 private:
  __device__ int at(int i) const { return static_cast<int>(threadIdx.x) + i * threads; }
  __device__ uint4 home(int i) const { return reinterpret_cast<const uint4*>(x_ + head_)[i]; }
  template <class F>
  __device__ void unpack(uint4 bits, int i, F& f) const {
    const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    float elements[size];
#pragma unroll
    for (int j = 0; j < size; j++) {
      const uint32_t word = words[j * 4 / size];
      // The upper half of a float is the bfloat16.
      elements[j] = __uint_as_float(size == 4 ? word : j % 2 ? word & 0xffff0000u : word << 16);
    }
    f(elements, head_ + i * size, Width<size>());
  }

  const T* x_;
  uint4* shared_;
  int kept_, head_, tail_, packets_;
  int ends_[2];
  uint4 held_[held];
};

// exp(x) of x <= 0; what is below 2^-126 is 0.
__device__ inline float exponential(float x) { return power_of_2(x * 1.44269504f); }

template <class T, int threads>
__device__ void crossentropy(const CrossentropyTask& task) {
  extern __shared__ uint4 kept[];
  __shared__ float maxima[threads / 32], totals[threads / 32], depths[threads / 32];
  const int64_t i = blockIdx.x;
  if (task.count && task.offset + i >= *task.count) return;
  const int64_t row = task.index ? task.index[task.offset + i] : i;
  const T* const x = static_cast<const T*>(task.logits) + i * task.stride;
  T* const dx = task.dlogits ? static_cast<T*>(task.dlogits) + i * task.stride : nullptr;
  const int target = task.targets[row];
  if (target >= task.V && threadIdx.x == 0) {
    report(task.failure, gptloom::cuda::kTargetOutside, row, target, task.V);
  }
  if (target < 0 || target >= task.V) {
    if (threadIdx.x == 0) task.losses[row] = 0;
    for (int c = threadIdx.x; dx && c < task.V; c += threads) dx[c] = from_float<T>(0);
    return;
  }

  // Read before the first barrier: dx may take its place.
  const float at_target = threadIdx.x == 0 ? to_float(x[target]) : 0;
  Row<T, threads> elements(x, task.V, task.kept, kept);
  elements.fetch();
  float top = -__int_as_float(0x7f800000), sum = 0;
  elements.each([&](const auto& values, int, auto width) {
#pragma unroll
    for (int j = 0; j < width.value; j++) top = fmaxf(top, values[j]);
  });
  top = block_max(top, maxima);
  elements.each([&](const auto& values, int, auto width) {
#pragma unroll
    for (int j = 0; j < width.value; j++) sum += exponential(values[j] - top);
  });
  sum = block_sum(sum, totals);
  const float keep = 1 - task.smoothing, spread = task.spread;
  float depth = 0;
  if (task.smoothing > 0) {
    elements.each([&](const auto& values, int, auto width) {
#pragma unroll
      for (int j = 0; j < width.value; j++) depth += top - values[j];
    });
    depth = block_sum(depth, depths);
  }
  if (threadIdx.x == 0) {
    task.losses[row] = logf(sum) + keep * (top - at_target) + spread * depth;
  }
  if (!dx) return;
  const float scale = 1 / sum;
  const bool alike = (reinterpret_cast<uintptr_t>(x) - reinterpret_cast<uintptr_t>(dx)) % 16 == 0;
  elements.each([&](const auto& values, int first, auto width) {
    float gradient[width.value];
#pragma unroll
    for (int j = 0; j < width.value; j++) {
      gradient[j] = fmaf(exponential(values[j] - top), scale, -spread);
    }
    if (target >= first && target < first + width.value) {
#pragma unroll
      for (int j = 0; j < width.value; j++) gradient[j] -= first + j == target ? keep : 0.0f;
    }
    if (alike) {
      store(dx + first, gradient);
    } else {
#pragma unroll
      for (int j = 0; j < width.value; j++) dx[first + j] = from_float<T>(gradient[j]);
    }
  });
}

#define CROSSENTROPY(threads, blocks)                              \
  extern "C" __global__ void __launch_bounds__(threads, blocks)    \
      crossentropy_##threads##_f32(const CrossentropyTask task) {  \
    crossentropy<float, threads>(task);                            \
  }                                                                \
  extern "C" __global__ void __launch_bounds__(threads, blocks)    \
      crossentropy_##threads##_bf16(const CrossentropyTask task) { \
    crossentropy<bf16, threads>(task);                             \
  }
CROSSENTROPY(128, 8)
CROSSENTROPY(512, 2)

// ---- rows that have a target ----

// index: the rows whose target is in [0, V), in order; count: how many. Losses of the others are 0.
// One block: a warp counts its stretch of rows, learns where it begins, and lists it.
extern "C" __global__ void __launch_bounds__(1024)
    crossentropy_select(int32_t* index, int32_t* count, float* losses, const int32_t* targets,
                        int32_t rows, int32_t V, gptloom::cuda::Failure* failure) {
  __shared__ int counts[32];
  const int lane = lane_index(), warp = warp_index();
  const int stretch = (rows + 1023) / 1024 * 32, first = warp * stretch;
  const int last = min(first + stretch, rows);
  const auto valid = [&](int row) {
    const int target = row < last ? targets[row] : -1;
    return target >= 0 && target < V;
  };
  int found = 0;
  for (int base = first; base < last; base += 32) {
    found += __popc(__ballot_sync(all_lanes, valid(base + lane)));
  }
  if (lane == 0) counts[warp] = found;
  __syncthreads();
  int before = lane < warp ? counts[lane] : 0;
  before = warp_sum(before);
  if (warp == 31 && lane == 0) *count = before + found;
  for (int base = first; base < last; base += 32) {
    const int row = base + lane;
    const bool mine = valid(row);
    const unsigned those = __ballot_sync(all_lanes, mine);
    if (mine) {
      index[before + __popc(those & ((1u << lane) - 1))] = row;
    } else if (row < last) {
      losses[row] = 0;
      if (targets[row] >= V) {
        report(failure, gptloom::cuda::kTargetOutside, row, targets[row], V);
      }
    }
    before += __popc(those);
  }
}

// Row i of those listed from `offset` on: out[i] = x[index[i]], or with `scatter` out[index[i]] =
// x[i], of C elements of `size` bytes. A block a row. Strides count elements.
template <class T>
__device__ void move_row(T* out, const T* x, int C) {
  if (aligned(out, x)) {
    const int packets = C / packet<T>;
    for (int c = threadIdx.x; c < packets; c += blockDim.x) {
      reinterpret_cast<uint4*>(out)[c] = reinterpret_cast<const uint4*>(x)[c];
    }
    for (int c = packets * packet<T> + threadIdx.x; c < C; c += blockDim.x) out[c] = x[c];
  } else {
    for (int c = threadIdx.x; c < C; c += blockDim.x) out[c] = x[c];
  }
}
template <class T>
__device__ void move_rows(T* out, const T* x, const int32_t* index, const int32_t* count,
                          int32_t offset, int32_t C, int64_t out_stride, int64_t x_stride,
                          int32_t scatter) {
  const int64_t i = blockIdx.x;
  if (offset + i >= *count) return;
  const int64_t there = index[offset + i];
  move_row(out + (scatter ? there : i) * out_stride, x + (scatter ? i : there) * x_stride, C);
}
extern "C" __global__ void crossentropy_move_f32(float* out, const float* x, const int32_t* index,
                                                 const int32_t* count, int32_t offset, int32_t C,
                                                 int64_t out_stride, int64_t x_stride,
                                                 int32_t scatter) {
  move_rows(out, x, index, count, offset, C, out_stride, x_stride, scatter);
}
extern "C" __global__ void crossentropy_move_bf16(bf16* out, const bf16* x, const int32_t* index,
                                                  const int32_t* count, int32_t offset, int32_t C,
                                                  int64_t out_stride, int64_t x_stride,
                                                  int32_t scatter) {
  move_rows(out, x, index, count, offset, C, out_stride, x_stride, scatter);
}
