// Maths (Loshchilov & Hutter 2019, algorithm 2, the decay being rate x weight_decay): with the
//   gradient g already scaled and clipped, b1 and b2 the betas, t the step,
//     m = b1 m + (1 - b1) g             v = b2 v + (1 - b2) g^2
//     param -= rate weight_decay param + rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
//   g is scaled by gradient_scale min(1, max_norm / (norm gradient_scale + 1e-6)), read on the
//   device; where the norm is not finite, nothing is changed.
// Layout: tensors of any length and alignment: 4 elements a lane where all of a tensor is aligned
//   to 16 bytes, else one by one. param is float32, or bfloat16 beside a float32 master, or
//   bfloat16 alone: a kernel each. The list of tensors lies in device memory, factors are the
//   launch's parameters.
// Plan: a block takes a chunk of 16384 elements; one of its threads finds the tensor by bisection
//   and tells the others. Each array passes once, and leaves the caches again.
// Numbers: what depends on the step alone is worked out in double by the host, the rest is in
//   float32. bfloat16 alone is rounded up or down at random, so that steps smaller than its last
//   bit count on average (Gupta et al. 2015); Philox words of (seed, step, tensor). Bound by bytes:
//   28 an element (four reads, three writes), 30 with masters, 24 of bfloat16 alone.
#include <type_traits>

#include "adamw.h"
#include "common.cuh"

using gptloom::cuda::AdamwEntry;
using gptloom::cuda::AdamwStep;
using gptloom::cuda::kAdamwChunk;

constexpr int adamw_threads = 256, adamw_width = 4;
constexpr int adamw_stride = adamw_threads * adamw_width;

// What the gradients are multiplied by, the norm being finite.
__device__ inline float gradient_factor(const float* norm, const AdamwStep& step) {
  if (!norm || step.max_norm <= 0) return step.gradient_scale;
  const float size = *norm * step.gradient_scale;
  return step.gradient_scale * fminf(1.0f, step.max_norm / (size + 1e-6f));
}

// Subtracting one small sum from the parameter rounds it once.
__device__ inline void update(float& p, float g, float& m, float& v, const AdamwStep& f,
                              float decay) {
  m = fmaf(f.one_minus_beta1, g, f.beta1 * m);
  v = fmaf(f.one_minus_beta2 * g, g, f.beta2 * v);
  const float step = f.rate * m / fmaf(sqrtf(v), f.root_correction, f.epsilon);
  p -= fmaf(decay, p, step);
}

enum Kind { kFloat32, kMaster, kAlone };

// What a chunk's elements have in common.
struct Chunk {
  AdamwEntry entry;
  float factor, decay;
  uint64_t stream;  // of random words
};

// Elements [i, i + N) of one tensor.
template <int N, Kind kind>
__device__ void update_packet(const Chunk& chunk, int64_t i, const AdamwStep& step) {
  using T = std::conditional_t<kind == kFloat32, float, bf16>;
  const AdamwEntry& entry = chunk.entry;
  T* const param = static_cast<T*>(entry.param) + i;
  float p[N], g[N], m[N], v[N];
  if constexpr (kind == kMaster) {
    load<kStream>(p, entry.master + i);
  } else {
    load<kStream>(p, param);
  }
  load<kStream>(g, entry.gradient + i);
  load<kStream>(m, entry.m + i);
  load<kStream>(v, entry.v + i);
#pragma unroll
  for (int j = 0; j < N; j++) update(p[j], g[j] * chunk.factor, m[j], v[j], step, chunk.decay);
  store<kStream>(entry.m + i, m);
  store<kStream>(entry.v + i, v);
  if constexpr (kind == kMaster) store<kStream>(entry.master + i, p);
  if constexpr (kind == kAlone) {
    uint32_t words[N];
    philox_words(words, step.seed, chunk.stream, i);
#pragma unroll
    for (int j = 0; j < N; j++) p[j] = to_float(round_stochastic(p[j], words[j]));
  }
  if constexpr (kind == kFloat32) {
    store<kStream>(param, p);
  } else {
    store(param, p);  // the next step's forward reads it
  }
}

// The last of the tensors that begin at this chunk or before.
__device__ inline AdamwEntry entry_of(const AdamwEntry* entries, int count, int chunk) {
  int low = 0, high = count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (entries[middle].first_chunk <= chunk ? low : high) = middle;
  }
  return entries[low];
}

template <Kind kind>
__device__ inline void update_chunk(const float* norm, const AdamwEntry* entries,
                                    const AdamwStep& step) {
  __shared__ Chunk chunk;
  __shared__ bool diverged;
  const int index = static_cast<int>(blockIdx.x);
  if (threadIdx.x == 0) {
    chunk.entry = entry_of(entries, step.count, index);
    chunk.factor = gradient_factor(norm, step);
    chunk.decay = static_cast<float>(step.learning_rate * chunk.entry.weight_decay);
    chunk.stream = step.first_stream + static_cast<uint64_t>(chunk.entry.place);
    diverged = norm && !isfinite(*norm);
  }
  __syncthreads();
  if (diverged) return;
  const AdamwEntry& entry = chunk.entry;
  const int64_t begin = (index - entry.first_chunk) * kAdamwChunk;
  const int64_t end = min(entry.n, begin + kAdamwChunk);
  if (aligned(entry.param, entry.master, entry.gradient, entry.m, entry.v)) {
    int64_t i = begin + static_cast<int64_t>(threadIdx.x) * adamw_width;
    for (; i + adamw_width <= end; i += adamw_stride) {
      update_packet<adamw_width, kind>(chunk, i, step);
    }
    for (; i < end; i++) update_packet<1, kind>(chunk, i, step);
  } else {
    for (int64_t i = begin + threadIdx.x; i < end; i += adamw_threads) {
      update_packet<1, kind>(chunk, i, step);
    }
  }
}

// norm: null, or that of all gradients before scaling.
#define ADAMW_KERNEL(name, kind)                                                \
  extern "C" __global__ void __launch_bounds__(adamw_threads)                   \
      adamw_##name(const float* norm, const AdamwEntry* __restrict__ entries,   \
                   const __grid_constant__ AdamwStep step) {                    \
    update_chunk<kind>(norm, entries, step);                                    \
  }

ADAMW_KERNEL(f32, kFloat32)
ADAMW_KERNEL(master_bf16, kMaster)
ADAMW_KERNEL(alone_bf16, kAlone)
