// Vec for AVX-512 (F, VL, DQ, BW): 16 floats. The interface is described in vec_portable.h.
#pragma once

namespace gptloom::cpu {
namespace {

struct Vec {
  static constexpr int width = 16;
  static constexpr int registers = 32;
  static constexpr bool floors = true;
  __m512 v;

  static GPTLOOM_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static GPTLOOM_INLINE Vec load_part(const float* p, int n) {
    return {_mm512_maskz_loadu_ps(mask(n), p)};
  }
  // The maskz forms: see wide_avx512.h.
  static GPTLOOM_INLINE Vec load_int8(const int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepi8_epi32(0xffff, bytes))};
  }
  static GPTLOOM_INLINE Vec load_bfloat16(const uint16_t* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const __m512i words = _mm512_maskz_cvtepu16_epi32(0xffff, halves);
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, words, 16))};
  }
  static GPTLOOM_INLINE Vec set(float x) { return {_mm512_set1_ps(x)}; }
  static GPTLOOM_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
  GPTLOOM_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  GPTLOOM_INLINE void stream(float* p) const { _mm512_stream_ps(p, v); }
  GPTLOOM_INLINE void store_part(float* p, int n) const { _mm512_mask_storeu_ps(p, mask(n), v); }
  static GPTLOOM_INLINE __mmask16 mask(int n) { return static_cast<__mmask16>((1u << n) - 1); }
};

GPTLOOM_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// An estimate of 14 bits and a step of Newton's: half the time of a division.
GPTLOOM_INLINE Vec reciprocal(Vec a) {
  const __m512 r = _mm512_maskz_rcp14_ps(0xffff, a.v);
  return {_mm512_fmadd_ps(r, _mm512_fnmadd_ps(a.v, r, _mm512_set1_ps(1)), r)};
}
GPTLOOM_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
GPTLOOM_INLINE Vec abs(Vec a) {
  return {_mm512_castsi512_ps(
      _mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x7fffffff)))};
}
GPTLOOM_INLINE Vec copy_sign(Vec a, Vec sign) {
  return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(
      _mm512_set1_epi32(0x7fffffff), _mm512_castps_si512(a.v), _mm512_castps_si512(sign.v), 0xca))};
}
GPTLOOM_INLINE Vec round(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
GPTLOOM_INLINE Vec if_less(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
// scalef floors n itself and takes any.
GPTLOOM_INLINE Vec fraction(Vec a, Vec& n) {
  n = a;
  return {_mm512_maskz_reduce_ps(0xffff, a.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
GPTLOOM_INLINE Vec scale_by_power(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
GPTLOOM_INLINE Vec scale_by_whole(Vec x, Vec n) { return scale_by_power(x, n); }

GPTLOOM_INLINE __m256 upper_half(Vec a) {
  return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
}
GPTLOOM_INLINE float reduce_add(Vec a) {
  const __m256 y = _mm256_add_ps(_mm512_castps512_ps256(a.v), upper_half(a));
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
GPTLOOM_INLINE float reduce_max(Vec a) {
  const __m256 y = _mm256_max_ps(_mm512_castps512_ps256(a.v), upper_half(a));
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

GPTLOOM_INLINE void transpose(Vec (&r)[16]) {
  __m512 a[16], b[16];
  GPTLOOM_UNROLL
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
    a[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  // b[i + j]: in each 128-bit lane l, column 4 l + j of rows i to i + 3.
  GPTLOOM_UNROLL
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  GPTLOOM_UNROLL
  for (int j = 0; j < 4; j++) {
    const __m512 even_low = _mm512_shuffle_f32x4(b[j], b[j + 4], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(b[j], b[j + 4], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(b[j + 8], b[j + 12], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(b[j + 8], b[j + 12], 0xdd);
    r[j].v = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    r[j + 4].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    r[j + 8].v = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    r[j + 12].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}
// Eight rows of sixteen: r[i] becomes columns 2 i and 2 i + 1.
GPTLOOM_INLINE void transpose_pairs(Vec (&r)[8]) {
  __m512 a[8], b[8];
  GPTLOOM_UNROLL
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm512_unpacklo_ps(r[i].v, r[i + 1].v);
    a[i + 1] = _mm512_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  // b[2 j + i / 4]: in each 128-bit lane l, column 4 l + j of rows i to i + 3.
  GPTLOOM_UNROLL
  for (int i = 0; i < 2; i++) {
    b[i] = _mm512_shuffle_ps(a[4 * i], a[4 * i + 2], 0x44);
    b[i + 2] = _mm512_shuffle_ps(a[4 * i], a[4 * i + 2], 0xee);
    b[i + 4] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0x44);
    b[i + 6] = _mm512_shuffle_ps(a[4 * i + 1], a[4 * i + 3], 0xee);
  }
  GPTLOOM_UNROLL
  for (int j = 0; j < 2; j++) {
    const __m512 first_low = _mm512_shuffle_f32x4(b[4 * j], b[4 * j + 1], 0x44);
    const __m512 first_high = _mm512_shuffle_f32x4(b[4 * j], b[4 * j + 1], 0xee);
    const __m512 second_low = _mm512_shuffle_f32x4(b[4 * j + 2], b[4 * j + 3], 0x44);
    const __m512 second_high = _mm512_shuffle_f32x4(b[4 * j + 2], b[4 * j + 3], 0xee);
    r[j].v = _mm512_shuffle_f32x4(first_low, second_low, 0x88);
    r[j + 2].v = _mm512_shuffle_f32x4(first_low, second_low, 0xdd);
    r[j + 4].v = _mm512_shuffle_f32x4(first_high, second_high, 0x88);
    r[j + 6].v = _mm512_shuffle_f32x4(first_high, second_high, 0xdd);
  }
}

}  // namespace
}  // namespace gptloom::cpu
