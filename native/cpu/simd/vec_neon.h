// Vec for 64-bit ARM: 4 floats. The interface is described in vec_portable.h.
#pragma once

namespace gptloom::cpu {
namespace {

struct Vec {
  static constexpr int width = 4;
  static constexpr int registers = 32;
  static constexpr bool floors = false;
  float32x4_t v;

  static GPTLOOM_INLINE Vec load(const float* p) { return {vld1q_f32(p)}; }
  static GPTLOOM_INLINE Vec load_part(const float* p, int n) {
    if (n >= 4) return load(p);
    float32x4_t x = vdupq_n_f32(0);
    if (n > 0) x = vld1q_lane_f32(p, x, 0);
    if (n > 1) x = vld1q_lane_f32(p + 1, x, 1);
    if (n > 2) x = vld1q_lane_f32(p + 2, x, 2);
    return {x};
  }
  static GPTLOOM_INLINE Vec load_int8(const int8_t* p) {
    uint32_t bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    const int16x8_t halves = vmovl_s8(vcreate_s8(bytes));
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(halves)))};
  }
  static GPTLOOM_INLINE Vec load_bfloat16(const uint16_t* p) {
    return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))};
  }
  static GPTLOOM_INLINE Vec set(float x) { return {vdupq_n_f32(x)}; }
  static GPTLOOM_INLINE Vec zero() { return {vdupq_n_f32(0)}; }
  GPTLOOM_INLINE void store(float* p) const { vst1q_f32(p, v); }
  GPTLOOM_INLINE void stream(float* p) const { store(p); }
  GPTLOOM_INLINE void store_part(float* p, int n) const {
    if (n >= 4) return store(p);
    if (n > 0) vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
  }
};

GPTLOOM_INLINE Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
GPTLOOM_INLINE Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
GPTLOOM_INLINE Vec reciprocal(Vec a) { return Vec::set(1) / a; }
GPTLOOM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
GPTLOOM_INLINE Vec if_less(Vec a, Vec b, Vec yes, Vec no) {
  return {vbslq_f32(vcltq_f32(a.v, b.v), yes.v, no.v)};
}
GPTLOOM_INLINE Vec max(Vec a, Vec b) { return if_less(b, a, a, b); }
GPTLOOM_INLINE Vec min(Vec a, Vec b) { return if_less(a, b, a, b); }
GPTLOOM_INLINE Vec sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
GPTLOOM_INLINE Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
GPTLOOM_INLINE Vec copy_sign(Vec a, Vec sign) {
  return {vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, a.v)};
}
GPTLOOM_INLINE Vec round(Vec a) { return {vrndnq_f32(a.v)}; }

// As in vec_avx2.h.
GPTLOOM_INLINE Vec fraction(Vec a, Vec& n) {
  const Vec whole = Vec::set(12582912 + 127);
  a = max(Vec::set(-127), a);
  n = a + whole;
  return a - (n - whole);
}
GPTLOOM_INLINE Vec scale_by_whole(Vec x, Vec n) {
  return {vmulq_f32(x.v, vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(n.v), 23)))};
}

// a * 2^n in two steps, since 2^n itself may be out of range where the product is not.
GPTLOOM_INLINE Vec scale_by_power(Vec a, Vec n) {
  const int32x4_t whole = vcvtnq_s32_f32(n.v), half = vshrq_n_s32(whole, 1);
  const int32x4_t bias = vdupq_n_s32(127);
  const int32x4_t low = vshlq_n_s32(vaddq_s32(half, bias), 23);
  const int32x4_t high = vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23);
  return {vmulq_f32(vmulq_f32(a.v, vreinterpretq_f32_s32(low)), vreinterpretq_f32_s32(high))};
}

GPTLOOM_INLINE float reduce_add(Vec a) {
  const float32x2_t x = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(vpadd_f32(x, x), 0);
}
GPTLOOM_INLINE float reduce_max(Vec a) { return vmaxvq_f32(a.v); }

GPTLOOM_INLINE void transpose(Vec (&r)[4]) {
  const float32x4x2_t x = vtrnq_f32(r[0].v, r[1].v), y = vtrnq_f32(r[2].v, r[3].v);
  r[0].v = vcombine_f32(vget_low_f32(x.val[0]), vget_low_f32(y.val[0]));
  r[1].v = vcombine_f32(vget_low_f32(x.val[1]), vget_low_f32(y.val[1]));
  r[2].v = vcombine_f32(vget_high_f32(x.val[0]), vget_high_f32(y.val[0]));
  r[3].v = vcombine_f32(vget_high_f32(x.val[1]), vget_high_f32(y.val[1]));
}

}  // namespace
}  // namespace gptloom::cpu
