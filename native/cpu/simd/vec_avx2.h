// Vec for AVX2 with FMA: 8 floats. The interface is described in vec_portable.h.
#pragma once

namespace gptloom::cpu {
namespace {

struct Vec {
  static constexpr int width = 8;
  static constexpr int registers = 16;
  static constexpr bool floors = false;
  __m256 v;

  static GPTLOOM_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static GPTLOOM_INLINE Vec load_part(const float* p, int n) {
    return {_mm256_maskload_ps(p, mask(n))};
  }
  static GPTLOOM_INLINE Vec load_int8(const int8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))};
  }
  static GPTLOOM_INLINE Vec load_bfloat16(const uint16_t* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
  }
  static GPTLOOM_INLINE Vec set(float x) { return {_mm256_set1_ps(x)}; }
  static GPTLOOM_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
  GPTLOOM_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  GPTLOOM_INLINE void stream(float* p) const { _mm256_stream_ps(p, v); }
  GPTLOOM_INLINE void store_part(float* p, int n) const { _mm256_maskstore_ps(p, mask(n), v); }
  static GPTLOOM_INLINE __m256i mask(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

GPTLOOM_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec reciprocal(Vec a) { return Vec::set(1) / a; }
GPTLOOM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
GPTLOOM_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
GPTLOOM_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
GPTLOOM_INLINE Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
GPTLOOM_INLINE Vec copy_sign(Vec a, Vec sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(bit, a.v), _mm256_and_ps(bit, sign.v))};
}
GPTLOOM_INLINE Vec round(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
GPTLOOM_INLINE Vec if_less(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}

// Adding 1.5 * 2^23 leaves no bits for a fraction, and the rounded number in the lowest ones: with 127
// added as well, the exponent of 2^round(a).
GPTLOOM_INLINE Vec fraction(Vec a, Vec& n) {
  const Vec whole = Vec::set(12582912 + 127);
  a = max(Vec::set(-127), a);
  n = a + whole;
  return a - (n - whole);
}
GPTLOOM_INLINE Vec scale_by_whole(Vec x, Vec n) {
  return {_mm256_mul_ps(x.v,
                        _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(n.v), 23)))};
}

// a * 2^n in two steps, since 2^n itself may be out of range where the product is not.
GPTLOOM_INLINE Vec scale_by_power(Vec a, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n.v), half = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i low = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i high = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
  return {_mm256_mul_ps(_mm256_mul_ps(a.v, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high))};
}

GPTLOOM_INLINE float reduce_add(Vec a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
GPTLOOM_INLINE float reduce_max(Vec a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

GPTLOOM_INLINE void transpose(Vec (&r)[8]) {
  __m256 a[8], b[8];
  GPTLOOM_UNROLL
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(r[i].v, r[i + 1].v);
    a[i + 1] = _mm256_unpackhi_ps(r[i].v, r[i + 1].v);
  }
  GPTLOOM_UNROLL
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  GPTLOOM_UNROLL
  for (int i = 0; i < 4; i++) {
    r[i].v = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
    r[i + 4].v = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
  }
}

}  // namespace
}  // namespace gptloom::cpu
