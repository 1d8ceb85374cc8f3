// Wide for AVX-512: 8 lanes of 64 bits. The interface is described in wide_portable.h.
#pragma once

namespace gptloom::cpu {
namespace {

struct Wide {
  static constexpr int width = 8;
  __m512i v;
  static GPTLOOM_INLINE Wide from(uint64_t first) {
    return {_mm512_add_epi64(_mm512_set1_epi64(static_cast<long long>(first)),
                             _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7))};
  }
  static GPTLOOM_INLINE Wide set(uint64_t x) {
    return {_mm512_set1_epi64(static_cast<long long>(x))};
  }
};

// The maskz forms: gcc 12's plain ones warn about a register that they leave undefined on purpose.
GPTLOOM_INLINE Wide multiply(Wide a, Wide factor) {
  return {_mm512_maskz_mul_epu32(0xff, a.v, factor.v)};
}
// A shuffle, since shifts wait for the port that multiplies.
GPTLOOM_INLINE Wide upper(Wide a) {
  return {_mm512_maskz_shuffle_epi32(0xffff, a.v, _MM_PERM_DDBB)};
}
GPTLOOM_INLINE Wide mix(Wide a, Wide b, Wide c) {
  return {_mm512_ternarylogic_epi64(a.v, b.v, c.v, 0x96)};
}
GPTLOOM_INLINE void store(uint32_t* out, Wide w0, Wide w1, Wide w2, Wide w3) {
  constexpr __mmask16 odd = 0xaaaa;
  const __m512i a = _mm512_mask_shuffle_epi32(w0.v, odd, w1.v, _MM_PERM_CCAA);
  const __m512i b = _mm512_mask_shuffle_epi32(w2.v, odd, w3.v, _MM_PERM_CCAA);
  _mm512_storeu_si512(out, _mm512_maskz_unpacklo_epi64(0xff, a, b));
  _mm512_storeu_si512(out + 16, _mm512_maskz_unpackhi_epi64(0xff, a, b));
}

}  // namespace
}  // namespace gptloom::cpu
