// The mapping from words to numbers stands in cpu/random.cc. Words are made on Wide; the loops that
// turn them into floats are plain ones over arrays, without branches, which compilers vectorize.
#pragma once
#include "cpu/simd/prefetch.h"

namespace gptloom::cpu {
namespace {

constexpr int word_block = 256;  // words made at a time: few, so that memory works meanwhile
// Room for the other words of the first and the last counter, and for whole vectors of counters.
constexpr int block_room = word_block + 4 + 4 * Wide::width;

// What all counters of a stream share.
struct PhiloxStream {
  PhiloxStream(uint64_t seed, uint64_t stream) : s0(Wide::set(stream)), s1(upper(s0)) {
    for (uint32_t round = 0; round < 10; round++) {
      k0[round] = Wide::set(static_cast<uint32_t>(seed) + round * 0x9e3779b9u);
      k1[round] = Wide::set(static_cast<uint32_t>(seed >> 32) + round * 0xbb67ae85u);
    }
  }
  Wide s0, s1, k0[10], k1[10];
};

// The words of counters first .. first + counters - 1, rounded up to whole vectors.
inline void philox_counters(uint32_t* out, int counters, uint64_t first,
                            const PhiloxStream& stream) {
  const Wide m0 = Wide::set(0xd2511f53u), m1 = Wide::set(0xcd9e8d57u);
  for (int i = 0; i < counters; i += Wide::width) {
    // Of every lane only the lower half counts: the upper ones may hold anything.
    Wide c0 = Wide::from(first + static_cast<uint64_t>(i)), c1 = upper(c0), c2 = stream.s0,
         c3 = stream.s1;
    GPTLOOM_UNROLL
    for (int round = 0; round < 10; round++) {
      const Wide p0 = multiply(c0, m0), p1 = multiply(c2, m1);
      c0 = mix(upper(p1), c1, stream.k0[round]);
      c2 = mix(upper(p0), c3, stream.k1[round]);
      c1 = p1;
      c3 = p0;
    }
    store(out + 4 * i, c0, c1, c2, c3);
  }
}

// The words of up to word_block elements from `first` on, for any `first`: returned is where they
// begin in block, which has room for the counters at both ends.
inline const uint32_t* philox_block(uint32_t (&block)[block_room], int n, uint64_t first,
                                    const PhiloxStream& stream) {
  const int skip = static_cast<int>(first % 4);
  philox_counters(block, (skip + n + 3) / 4, first / 4, stream);
  return block + skip;
}

void words_range(uint32_t* out, int64_t n, uint64_t first, uint64_t seed, uint64_t stream) {
  const PhiloxStream source(seed, stream);
  uint32_t block[block_room];
  for (int64_t done = 0; done < n; done += word_block) {
    const int count = static_cast<int>(std::min<int64_t>(word_block, n - done));
    const uint64_t at = first + static_cast<uint64_t>(done);
    const uint32_t* words = philox_block(block, count, at, source);
    std::memcpy(out + done, words, static_cast<size_t>(count) * sizeof(uint32_t));
  }
}

// A block's lines, while the words for the one before it are made.
inline void prefetch_block(const float* p) {
  for (int64_t i = 0; i < word_block; i += line_floats) prefetch_ahead(p + i);
}

inline void drop_block(float* out, const float* x, const uint32_t* words, int n, int32_t threshold,
                       float scale, bool accumulate) {
  if (accumulate) {
    for (int i = 0; i < n; i++) {
      const float kept = x[i] * scale;
      out[i] += static_cast<int32_t>(words[i] >> 8) < threshold ? 0.0f : kept;
    }
  } else {
    for (int i = 0; i < n; i++) {
      const float kept = x[i] * scale;
      out[i] = static_cast<int32_t>(words[i] >> 8) < threshold ? 0.0f : kept;
    }
  }
}

void dropout_range(float* out, const float* x, int64_t n, uint64_t first, uint32_t threshold,
                   float scale, uint64_t seed, uint64_t stream, bool accumulate) {
  const PhiloxStream source(seed, stream);
  uint32_t block[block_room];
  for (int64_t done = 0; done < n; done += word_block) {
    const int count = static_cast<int>(std::min<int64_t>(word_block, n - done));
    const uint64_t at = first + static_cast<uint64_t>(done);
    prefetch_block(x + done);
    prefetch_block(out + done);
    drop_block(out + done, x + done, philox_block(block, count, at, source), count,
               static_cast<int32_t>(threshold), scale, accumulate);
  }
}

// ln((w + 0.5) 2^-32), the argument being rounded to a float: (w + 0.5) is m 2^e with m in
// [sqrt 1/2, sqrt 2), and ln m = 2 artanh s, s = (m - 1) / (m + 1), |s| < 0.172: its series to s^9
// leaves 2e-9.
inline float log_of_word(uint32_t word) {
  const float value =
      static_cast<float>(word >> 16) * 65536.0f + (static_cast<float>(word & 0xffffu) + 0.5f);
  int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const int32_t shifted = bits - 0x3f3504f3;  // sqrt 1/2
  const int32_t exponent = shifted >> 23;
  const int32_t mantissa = (shifted & 0x7fffff) + 0x3f3504f3;
  float m;
  std::memcpy(&m, &mantissa, sizeof m);
  const float s = (m - 1) / (m + 1), z = s * s;
  const float series = 1 + z * (1.0f / 3 + z * (1.0f / 5 + z * (1.0f / 7 + z * (1.0f / 9))));
  return static_cast<float>(exponent - 32) * 0.693147181f + 2 * s * series;
}

// 2 pi w 2^-32 is a quarter turn times q plus an angle in [-pi/4, pi/4), exact in integers; Taylor
// series to the 9th and 10th degree there leave 2e-9.
inline void cos_sin_of_word(uint32_t word, float* cosine, float* sine) {
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
  *cosine = (q + 1) & 2 ? -x : x;
  *sine = q & 2 ? -y : y;
}

void normal_range(float* out, int64_t n, uint64_t first, float mean, float deviation, uint64_t seed,
                  uint64_t stream) {
  const PhiloxStream source(seed, stream);
  uint32_t block[block_room];
  float pairs[word_block + 8];
  const int skip = static_cast<int>(first % 4);  // from the start of a counter: whole pairs
  for (int64_t done = -skip; done < n; done += word_block) {
    const int count = static_cast<int>(std::min<int64_t>(word_block, n - done));
    const uint64_t at = first + static_cast<uint64_t>(done);
    const uint32_t* words = philox_block(block, count, at, source);
    prefetch_block(out + done);
    for (int i = 0; i < (count + 1) / 2; i++) {
      const float radius = deviation * std::sqrt(-2 * log_of_word(words[2 * i]));
      float c, s;
      cos_sin_of_word(words[2 * i + 1], &c, &s);
      pairs[2 * i] = mean + radius * c;
      pairs[2 * i + 1] = mean + radius * s;
    }
    const int from = done < 0 ? skip : 0;
    std::memcpy(out + done + from, pairs + from, static_cast<size_t>(count - from) * sizeof(float));
  }
}

void uniform_range(float* out, int64_t n, uint64_t first, float low, float high, uint64_t seed,
                   uint64_t stream) {
  const float span = high - low, last = low < high ? std::nextafter(high, low) : low;
  const PhiloxStream source(seed, stream);
  uint32_t block[block_room];
  for (int64_t done = 0; done < n; done += word_block) {
    const int count = static_cast<int>(std::min<int64_t>(word_block, n - done));
    const uint64_t at = first + static_cast<uint64_t>(done);
    const uint32_t* words = philox_block(block, count, at, source);
    prefetch_block(out + done);
    for (int i = 0; i < count; i++) {
      const float value = low + span * (static_cast<float>(static_cast<int32_t>(words[i] >> 8)) *
                                        (1.0f / 16777216.0f));
      out[done + i] = value < last ? value : last;  // rounding may reach high
    }
  }
}

constexpr RandomKernels random_kernels{words_range, dropout_range, normal_range, uniform_range};

}  // namespace
}  // namespace gptloom::cpu
