// What every kernel family needs: elements of float32 or bfloat16 as floats, 16 bytes a lane where
// alignment allows, sums and maxima over warps and blocks in a fixed order, and random words.
//
// Maths: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011); native/cpu/random.cc says how a stream
//   is named and what becomes of its words, and both sides make the same ones.
// Layout: a lane's share of a contiguous array is `packet<T>` elements, 16 bytes: 4 of float32, 8
//   of bfloat16. Vector loads and stores ask that the address is a multiple of their size.
// Plan: reductions are butterflies of shuffles, then one of the warps' results through shared
//   memory. Every thread gets the result, and all of them the same bits. Blocks are whole warps.
// Numbers: arithmetic is in float32 whatever T is; bfloat16 is rounded to nearest even when stored.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

using bf16 = __nv_bfloat16;

constexpr int warp_size = 32;
constexpr unsigned all_lanes = 0xffffffffu;

__device__ inline int lane_index() { return static_cast<int>(threadIdx.x) % warp_size; }
__device__ inline int warp_index() { return static_cast<int>(threadIdx.x) / warp_size; }

// ---- elements ----

template <class T>
constexpr int packet = 16 / static_cast<int>(sizeof(T));

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }

template <class T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline bf16 from_float<bf16>(float x) {
  return __float2bfloat16_rn(x);
}

// Between the two bfloat16 around x, the further one with the probability that makes the mean x.
// Uses 16 random bits; what is not finite stays so.
__device__ inline bf16 round_stochastic(float x, uint32_t random) {
  const uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return __float2bfloat16_rn(x);
  return __ushort_as_bfloat16(static_cast<uint16_t>((bits + (random & 0xffffu)) >> 16));
}

// ---- memory ----

// Is every one of these addresses a multiple of 16? Null is.
template <class... P>
__host__ __device__ inline bool aligned(const P*... p) {
  return ((... | reinterpret_cast<uintptr_t>(p)) & 15) == 0;
}

// kKeep: it will be used again soon. kStream: it will not, and may leave the caches first.
enum Access { kKeep, kStream };

// The bits of some neighbouring elements as one number, the first in the low bits: a struct such as
// uint4 may be taken apart by the compiler, and then moved in four pieces.
template <int bytes>
struct BitsOf;
template <>
struct BitsOf<2> {
  using Type = uint16_t;
};
template <>
struct BitsOf<4> {
  using Type = uint32_t;
};
template <>
struct BitsOf<8> {
  using Type = uint64_t;
};
template <>
struct BitsOf<16> {
  using Type = unsigned __int128;
};
template <int bytes>
using Bits = typename BitsOf<bytes>::Type;

__device__ inline uint16_t load_stream(const uint16_t* p) { return __ldcs(p); }
__device__ inline uint32_t load_stream(const uint32_t* p) { return __ldcs(p); }
__device__ inline uint64_t load_stream(const uint64_t* p) {
  return __ldcs(reinterpret_cast<const unsigned long long*>(p));
}
__device__ inline unsigned __int128 load_stream(const unsigned __int128* p) {
  const ulonglong2 two = __ldcs(reinterpret_cast<const ulonglong2*>(p));
  return static_cast<unsigned __int128>(two.y) << 64 | two.x;
}
__device__ inline void store_stream(uint16_t* p, uint16_t x) { __stcs(p, x); }
__device__ inline void store_stream(uint32_t* p, uint32_t x) { __stcs(p, x); }
__device__ inline void store_stream(uint64_t* p, uint64_t x) {
  __stcs(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(x));
}
__device__ inline void store_stream(unsigned __int128* p, unsigned __int128 x) {
  __stcs(reinterpret_cast<ulonglong2*>(p),
         make_ulonglong2(static_cast<uint64_t>(x), static_cast<uint64_t>(x >> 64)));
}

// N elements from p on, which is aligned to all of them or to 16 bytes. Global or shared memory;
// kStream asks for global.
template <Access access = kKeep, int N, class T>
__device__ inline void load(float (&out)[N], const T* p) {
  constexpr int width = N < packet<T> ? N : packet<T>, bits = 8 * static_cast<int>(sizeof(T));
  static_assert(N % width == 0, "whole vectors");
#pragma unroll
  for (int i = 0; i < N; i += width) {
    using Vector = Bits<width* static_cast<int>(sizeof(T))>;
    const auto* from = reinterpret_cast<const Vector*>(p + i);
    Vector vector;
    if constexpr (access == kStream) {
      vector = load_stream(from);
    } else {
      vector = *from;
    }
#pragma unroll
    for (int j = 0; j < width; j++) {
      if constexpr (sizeof(T) == 4) {
        out[i + j] = __uint_as_float(static_cast<uint32_t>(vector >> (j * bits)));
      } else {  // the upper half of a float
        const uint32_t pair = static_cast<uint32_t>(vector >> (j / 2 * 2 * bits));
        out[i + j] = __uint_as_float(j % 2 ? pair & 0xffff0000u : pair << 16);
      }
    }
  }
}

template <Access access = kKeep, int N, class T>
__device__ inline void store(T* p, const float (&x)[N]) {
  constexpr int width = N < packet<T> ? N : packet<T>;
  static_assert(N % width == 0, "whole vectors");
#pragma unroll
  for (int i = 0; i < N; i += width) {
    using Vector = Bits<width* static_cast<int>(sizeof(T))>;
    Vector vector = 0;
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int j = 0; j < width; j++) {
        vector |= static_cast<Vector>(__float_as_uint(x[i + j])) << (j * 32);
      }
    } else if constexpr (width == 1) {
      vector = __bfloat16_as_ushort(__float2bfloat16_rn(x[i]));
    } else {
#pragma unroll
      for (int j = 0; j < width; j += 2) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(x[i + j], x[i + j + 1]);
        vector |= static_cast<Vector>(*reinterpret_cast<const uint32_t*>(&pair)) << (j * 16);
      }
    }
    auto* to = reinterpret_cast<Vector*>(p + i);
    if constexpr (access == kStream) {
      store_stream(to, vector);
    } else {
      *to = vector;
    }
  }
}

// N floats of each lane, beside those of the next lane, to shared memory; `add` adds them to what
// is there. Of 8 floats, every other four lanes begin with the second half: no bank is met twice.
template <int N>
__device__ inline void store_shared(float* p, const float (&x)[N], bool add = false) {
  constexpr int width = N < 4 ? N : 4;
  static_assert(N == width || N == 8, "one vector or two");
  const bool turned = N == 8 && lane_index() / 4 % 2 == 1;
#pragma unroll
  for (int i = 0; i < N; i += width) {
    float* to = p + (turned ? N - width - i : i);
    float sum[width] = {};
    if (add) load(sum, to);
#pragma unroll
    for (int j = 0; j < width; j++) sum[j] += turned ? x[N - width - i + j] : x[i + j];
    store(to, sum);
  }
}

// A number of elements that a body may use as the size of an array.
template <int n>
struct Width {
  static constexpr int value = n;
};

// Calls body(i, Width<w>) so that the elements [i, i + w) of all calls of the grid are [0, n), once
// each: N at a time where the arrays are aligned, else one by one. For a grid of
// ceil(n / (N blockDim.x)) blocks. Neighbouring lanes have neighbouring elements.
template <int N, class Body>
__device__ inline void for_each(int64_t n, bool vectors, Body body) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x * N;
  if (vectors) {
    int64_t i = first + static_cast<int64_t>(threadIdx.x) * N;
    if (i + N <= n) {
      body(i, Width<N>());
    } else {
      for (; i < n; i++) body(i, Width<1>());
    }
  } else {
    for (int k = 0; k < N; k++) {
      const int64_t i = first + k * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x);
      if (i < n) body(i, Width<1>());
    }
  }
}

// 2^x, 0 where that is no normal number.
__device__ inline float power_of_2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// ---- GELU ----
// Both forms are within 1e-6 of max(1, |x|), and so are their derivatives.

// By tanh: 0.5 x (1 + tanh u) = x s, u = sqrt(2/pi) (x + 0.044715 x^3), s = 1 / (1 + e),
// e = exp(-2 u), here in base 2; where e would overflow, s is 0.
struct TanhGelu {
  float e, s;
  __device__ explicit TanhGelu(float x) {
    constexpr float twice = -2 * 1.44269504f * 0.797884561f;  // -2 log2(e) sqrt(2/pi)
    const float exponent = x * fmaf(twice * 0.044715f, x * x, twice);
    e = power_of_2(fminf(exponent, 125.0f));
    s = exponent > 125.0f ? 0.0f : __fdividef(1.0f, 1.0f + e);
  }
};

// Exactly: x Phi(x), Phi being the normal distribution. Phi(-z) = e t P(t) for z >= 0,
// e = exp(-z^2 / 2), t = 1 / (1 + 0.3 z); native/cpu/simd/math.h says where P comes from.
struct ExactGelu {
  float e, s;  // s = Phi(x)
  __device__ explicit ExactGelu(float x) {
    e = power_of_2(-0.5f * 1.44269504f * x * x);
    const float t = __fdividef(1.0f, fmaf(fabsf(x), 0.3f, 1.0f));
    float p = 0.035675570f;
    p = fmaf(p, t, -0.15720622f);
    p = fmaf(p, t, 0.20635864f);
    p = fmaf(p, t, -0.053688139f);
    p = fmaf(p, t, 0.12856388f);
    p = fmaf(p, t, 0.099912845f);
    p = fmaf(p, t, 0.12075406f);
    p = fmaf(p, t, 0.11962929f);
    const float tail = e * t * p;
    s = x < 0 ? tail : 1 - tail;
  }
};

// form: 1 by tanh, 2 exact, the same for all lanes.
__device__ inline float gelu(float x, int form) {
  return x * (form == 1 ? TanhGelu(x).s : ExactGelu(x).s);
}
// Its derivative: s + x s (1 - s) 2 u', where 1 - s = e s, or Phi(x) + x e / sqrt(2 pi).
__device__ inline float gelu_slope(float x, int form) {
  if (form == 2) {
    const ExactGelu g(x);
    return fmaf(0.398942280f * g.e, x, g.s);
  }
  const TanhGelu g(x);
  constexpr float twice = 2 * 0.797884561f;
  const float slope = fmaf(twice * 3 * 0.044715f, x * x, twice);
  return fmaf(x, slope * (g.e * g.s * g.s), g.s);  // not x slope, which may overflow
}

// ---- reductions ----

struct Sum {
  template <class T>
  static __device__ T apply(T a, T b) {
    return a + b;
  }
};
struct Max {
  static __device__ float apply(float a, float b) { return fmaxf(a, b); }
};

// Over groups of `width` neighbouring lanes, a power of two. All lanes of the warp take part.
template <class Op, int width = warp_size, class T>
__device__ inline T warp_reduce(T x) {
#pragma unroll
  for (int offset = width / 2; offset > 0; offset /= 2) {
    x = Op::apply(x, __shfl_xor_sync(all_lanes, x, offset));
  }
  return x;
}
template <int width = warp_size, class T>
__device__ inline T warp_sum(T x) {
  return warp_reduce<Sum, width>(x);
}
template <int width = warp_size>
__device__ inline float warp_max(float x) {
  return warp_reduce<Max, width>(x);
}

// Over the block, `none` being what changes nothing. scratch: shared, one T for each warp; a
// barrier must stand between two uses of it.
template <class Op, class T>
__device__ inline T block_reduce(T x, T none, T* scratch) {
  const int warps = static_cast<int>(blockDim.x) / warp_size;
  x = warp_reduce<Op>(x);
  if (warps == 1) return x;
  if (lane_index() == 0) scratch[warp_index()] = x;
  __syncthreads();
  return warp_reduce<Op>(lane_index() < warps ? scratch[lane_index()] : none);
}
template <class T>
__device__ inline T block_sum(T x, T* scratch) {
  return block_reduce<Sum>(x, T(0), scratch);
}
__device__ inline float block_max(float x, float* scratch) {
  return block_reduce<Max>(x, -__int_as_float(0x7f800000), scratch);
}

// ---- random words ----

// Element i of stream (seed, stream) takes word i % 4 of philox(seed, stream, i / 4).
__device__ inline uint4 philox(uint64_t seed, uint64_t stream, uint64_t counter) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
  uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = static_cast<uint64_t>(c0) * 0xd2511f53u;
    const uint64_t p1 = static_cast<uint64_t>(c2) * 0xcd9e8d57u;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return make_uint4(c0, c1, c2, c3);
}

// The words of elements [i, i + N); i is a multiple of N, and N a multiple of 4 or 1.
template <int N>
__device__ inline void philox_words(uint32_t (&words)[N], uint64_t seed, uint64_t stream,
                                    int64_t i) {
  if constexpr (N == 1) {
    const uint4 four = philox(seed, stream, static_cast<uint64_t>(i) / 4);
    const int at = static_cast<int>(i & 3);
    words[0] = at < 2 ? (at == 0 ? four.x : four.y) : (at == 2 ? four.z : four.w);
  } else {
    static_assert(N % 4 == 0, "whole counters");
#pragma unroll
    for (int j = 0; j < N; j += 4) {
      const uint4 four = philox(seed, stream, static_cast<uint64_t>(i + j) / 4);
      words[j] = four.x, words[j + 1] = four.y, words[j + 2] = four.z, words[j + 3] = four.w;
    }
  }
}

// Dropout of an element with word w: dropped where (w >> 8) < threshold = ceil(2^24 p), else
// multiplied by scale = 1 / (1 - p).
__device__ inline float drop(float x, uint32_t word, uint32_t threshold, float scale) {
  return (word >> 8) < threshold ? 0.0f : x * scale;
}
