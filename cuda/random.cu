// Maths: native/cpu/random.cc: element i of a stream takes word i % 4 of counter i / 4; from words
//   come masks, uniform numbers and pairs of normal ones (Box & Muller).
// Layout: contiguous arrays of n elements, any alignment. out may be x.
// Plan: a thread has one packet and makes its words; where arrays are not aligned, every element
//   makes its own. Each array passes once.
// Numbers: words, masks and uniform float32 numbers are the CPU's, bit for bit (float32 roundings
//   in its order); normal ones within 2e-7 of deviation. Philox is some 20 integer instructions an
//   element, so that dropout of float32 is bound by bytes: 8 an element, 12 when accumulating.
#include "common.cuh"

template <class T>
__device__ void dropout(T* out, const T* x, int64_t n, uint32_t threshold, float scale,
                        uint64_t seed, uint64_t stream, bool accumulate) {
  for_each<packet<T>>(n, aligned(out, x), [&](int64_t i, auto width) {
    float values[width.value], sum[width.value] = {};
    uint32_t words[width.value];
    load(values, x + i);
    if (accumulate) load(sum, out + i);
    philox_words(words, seed, stream, i);
#pragma unroll
    for (int j = 0; j < width.value; j++) {
      const float kept = drop(values[j], words[j], threshold, scale);
      values[j] = accumulate ? sum[j] + kept : kept;
    }
    store(out + i, values);
  });
}

// ln((w + 0.5) 2^-32), the argument being rounded to a float: (w + 0.5) is m 2^e with m in
// [sqrt 1/2, sqrt 2), and ln m = 2 artanh s, s = (m - 1) / (m + 1), |s| < 0.172: its series to s^9
// leaves 2e-9.
__device__ inline float log_of_word(uint32_t word) {
  const float value =
      fmaf(static_cast<float>(word >> 16), 65536.0f, static_cast<float>(word & 0xffffu) + 0.5f);
  const int32_t shifted = __float_as_int(value) - 0x3f3504f3;  // sqrt 1/2
  const float m = __int_as_float((shifted & 0x7fffff) + 0x3f3504f3);
  const float s = __fdividef(m - 1, m + 1), z = s * s;
  const float series = 1 + z * (1.0f / 3 + z * (1.0f / 5 + z * (1.0f / 7 + z * (1.0f / 9))));
  return static_cast<float>((shifted >> 23) - 32) * 0.693147181f + 2 * s * series;
}

// 2 pi w 2^-32 is a quarter turn times q plus an angle in [-pi/4, pi/4), exact in integers; Taylor
// series to the 9th and 10th degree there leave 2e-9.
__device__ inline void cos_sin_of_word(uint32_t word, float& cosine, float& sine) {
  const uint32_t q = (word + 0x20000000u) >> 30;
  const float a =
      static_cast<float>(static_cast<int32_t>(word - (q << 30))) * (1.57079632679f / 1073741824.0f);
  const float z = a * a;
  const float s =
      a + a * z * (-1.0f / 6 + z * (1.0f / 120 + z * (-1.0f / 5040 + z * (1.0f / 362880))));
  const float c =
      1 + z * (-0.5f +
               z * (1.0f / 24 + z * (-1.0f / 720 + z * (1.0f / 40320 + z * (-1.0f / 3628800)))));
  const float x = q & 1 ? s : c, y = q & 1 ? c : s;
  cosine = (q + 1) & 2 ? -x : x;
  sine = q & 2 ? -y : y;
}

__device__ inline float2 normal_pair(uint32_t first, uint32_t second, float mean, float deviation) {
  const float radius = deviation * sqrtf(-2 * log_of_word(first));
  float c, s;
  cos_sin_of_word(second, c, s);
  return make_float2(fmaf(radius, c, mean), fmaf(radius, s, mean));
}

template <class T>
__device__ void normal(T* out, int64_t n, float mean, float deviation, uint64_t seed,
                       uint64_t stream) {
  for_each<packet<T>>(n, aligned(out), [&](int64_t i, auto width) {
    float values[width.value];
    if constexpr (width.value == 1) {
      uint32_t first[1], second[1];
      philox_words(first, seed, stream, i & ~1LL);
      philox_words(second, seed, stream, i | 1);
      const float2 pair = normal_pair(first[0], second[0], mean, deviation);
      values[0] = i & 1 ? pair.y : pair.x;
    } else {
      uint32_t words[width.value];
      philox_words(words, seed, stream, i);
#pragma unroll
      for (int j = 0; j < width.value; j += 2) {
        const float2 pair = normal_pair(words[j], words[j + 1], mean, deviation);
        values[j] = pair.x, values[j + 1] = pair.y;
      }
    }
    store(out + i, values);
  });
}

// `last` is the float below high: rounding may reach high.
template <class T>
__device__ void uniform(T* out, int64_t n, float low, float span, float last, uint64_t seed,
                        uint64_t stream) {
  for_each<packet<T>>(n, aligned(out), [&](int64_t i, auto width) {
    float values[width.value];
    uint32_t words[width.value];
    philox_words(words, seed, stream, i);
#pragma unroll
    for (int j = 0; j < width.value; j++) {
      const float u = static_cast<float>(words[j] >> 8) * (1.0f / 16777216.0f);  // exact
      const float value = fmaf(span, u, low);
      values[j] = value < last ? value : last;
    }
    store(out + i, values);
  });
}

extern "C" {

__global__ void random_dropout_f32(float* out, const float* x, int64_t n, int32_t threshold,
                                   float scale, uint64_t seed, uint64_t stream,
                                   int32_t accumulate) {
  dropout(out, x, n, threshold, scale, seed, stream, accumulate);
}
__global__ void random_dropout_bf16(bf16* out, const bf16* x, int64_t n, int32_t threshold,
                                    float scale, uint64_t seed, uint64_t stream,
                                    int32_t accumulate) {
  dropout(out, x, n, threshold, scale, seed, stream, accumulate);
}

__global__ void random_normal_f32(float* out, int64_t n, float mean, float deviation, uint64_t seed,
                                  uint64_t stream) {
  normal(out, n, mean, deviation, seed, stream);
}
__global__ void random_normal_bf16(bf16* out, int64_t n, float mean, float deviation, uint64_t seed,
                                   uint64_t stream) {
  normal(out, n, mean, deviation, seed, stream);
}

__global__ void random_uniform_f32(float* out, int64_t n, float low, float span, float last,
                                   uint64_t seed, uint64_t stream) {
  uniform(out, n, low, span, last, seed, stream);
}
__global__ void random_uniform_bf16(bf16* out, int64_t n, float low, float span, float last,
                                    uint64_t seed, uint64_t stream) {
  uniform(out, n, low, span, last, seed, stream);
}

}  // extern "C"
