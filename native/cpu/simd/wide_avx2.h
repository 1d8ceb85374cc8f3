// Wide for AVX2: 4 lanes of 64 bits. The interface is described in wide_portable.h.
#pragma once

namespace gptloom::cpu {
namespace {

struct Wide {
  static constexpr int width = 4;
  __m256i v;
  static GPTLOOM_INLINE Wide from(uint64_t first) {
    return {_mm256_add_epi64(_mm256_set1_epi64x(static_cast<long long>(first)),
                             _mm256_setr_epi64x(0, 2, 1, 3))};
  }
  static GPTLOOM_INLINE Wide set(uint64_t x) {
    return {_mm256_set1_epi64x(static_cast<long long>(x))};
  }
};

GPTLOOM_INLINE Wide multiply(Wide a, Wide factor) { return {_mm256_mul_epu32(a.v, factor.v)}; }
// A shuffle, since shifts wait for the ports that multiply.
GPTLOOM_INLINE Wide upper(Wide a) { return {_mm256_shuffle_epi32(a.v, 0xf5)}; }
GPTLOOM_INLINE Wide mix(Wide a, Wide b, Wide c) {
  return {_mm256_xor_si256(_mm256_xor_si256(a.v, b.v), c.v)};
}
GPTLOOM_INLINE void store(uint32_t* out, Wide w0, Wide w1, Wide w2, Wide w3) {
  const __m256i a = _mm256_blend_epi32(w0.v, _mm256_slli_epi64(w1.v, 32), 0xaa);
  const __m256i b = _mm256_blend_epi32(w2.v, _mm256_slli_epi64(w3.v, 32), 0xaa);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_unpacklo_epi64(a, b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8), _mm256_unpackhi_epi64(a, b));
}

}  // namespace
}  // namespace gptloom::cpu
