// Vec for any processor: 4 floats. Compilers that have generic vectors get them, others an array.
//
// The interface, the same for every instruction set:
//   width, registers               floats in a Vec, and how many of them the processor holds
//   Vec::load(p), store(p)         unaligned
//   Vec::load_part(p, n)           the first n lanes (0 <= n <= width), 0 in the rest; touches
//                                  nothing past them
//   store_part(p, n)               the same for a store
//   stream(p)                      a store past the caches, aligned to a vector
//   Vec::load_int8(p), load_bfloat16(p)  width numbers of that type, unaligned, as floats
//   Vec::set(x), Vec::zero()       x in every lane
//   + - * /, sqrt, abs             lane by lane
//   reciprocal(a)                  1 / a within 2 ulp, for a from 2^-126 to 2^126
//   fma(a, b, c)                   a * b + c, rounded once where the processor can
//   max(a, b), min(a, b)           b where either is NaN
//   if_less(a, b, yes, no)         a < b ? yes : no
//   copy_sign(a, sign)             |a| with the sign of `sign`
//   round(a)                       to the nearest integer, ties to even (|a| < 2^22)
//   Vec::floors                    fraction() cuts off floor(a); else it cuts off round(a)
//   fraction(a, n)                 a without that whole number, and n for scale_by_whole
//   scale_by_whole(x, n)           x * 2^whole; x * 2^-127 and less may be 0, from 2^128 on it is
//                                  anything
//   scale_by_power(a, n)           a * 2^n, n whole and in [-252, 254]; underflow is gradual,
//                                  overflow gives infinity
//   reduce_add(a), reduce_max(a)   over lanes, as a fixed tree
//   transpose(r)                   of the width x width matrix with rows r
// math.h adds exp, tanh and the GELU pair.
#pragma once

namespace gptloom::cpu {
namespace {

#if defined(__GNUC__)
using Lanes = float __attribute__((vector_size(16)));
#else
struct Lanes {
  float x[4];
  float& operator[](int i) { return x[i]; }
  float operator[](int i) const { return x[i]; }
};
#define GPTLOOM_LANEWISE(op)                                         \
  inline Lanes operator op(Lanes a, Lanes b) {                       \
    return {a[0] op b[0], a[1] op b[1], a[2] op b[2], a[3] op b[3]}; \
  }
GPTLOOM_LANEWISE(+)
GPTLOOM_LANEWISE(-)
GPTLOOM_LANEWISE(*)
GPTLOOM_LANEWISE(/)
#undef GPTLOOM_LANEWISE
#endif

struct Vec {
  static constexpr int width = 4;
  static constexpr int registers = 16;
  static constexpr bool floors = false;
  Lanes v;

  static GPTLOOM_INLINE Vec load(const float* p) {
    Vec r;
    std::memcpy(&r.v, p, sizeof(r.v));
    return r;
  }
  static GPTLOOM_INLINE Vec load_part(const float* p, int n) {
    if (n >= 4) return load(p);
    return {Lanes{n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0}};
  }
  static GPTLOOM_INLINE Vec load_int8(const int8_t* p) {
    return {Lanes{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
                  static_cast<float>(p[3])}};
  }
  static GPTLOOM_INLINE Vec load_bfloat16(const uint16_t* p) {
    const uint32_t words[4] = {uint32_t{p[0]} << 16, uint32_t{p[1]} << 16, uint32_t{p[2]} << 16,
                               uint32_t{p[3]} << 16};
    Vec r;
    std::memcpy(&r.v, words, sizeof(r.v));
    return r;
  }
  static GPTLOOM_INLINE Vec set(float x) { return {Lanes{x, x, x, x}}; }
  static GPTLOOM_INLINE Vec zero() { return set(0); }
  GPTLOOM_INLINE void store(float* p) const { std::memcpy(p, &v, sizeof(v)); }
  GPTLOOM_INLINE void stream(float* p) const { store(p); }
  GPTLOOM_INLINE void store_part(float* p, int n) const {
    if (n >= 4) return store(p);
    if (n > 0) p[0] = v[0];
    if (n > 1) p[1] = v[1];
    if (n > 2) p[2] = v[2];
  }
};

GPTLOOM_INLINE Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
GPTLOOM_INLINE Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
GPTLOOM_INLINE Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
GPTLOOM_INLINE Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
GPTLOOM_INLINE Vec reciprocal(Vec a) { return Vec::set(1) / a; }
GPTLOOM_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
GPTLOOM_INLINE Vec if_less(Vec a, Vec b, Vec yes, Vec no) {
  Vec r;
  for (int i = 0; i < 4; i++) r.v[i] = a.v[i] < b.v[i] ? yes.v[i] : no.v[i];
  return r;
}
GPTLOOM_INLINE Vec max(Vec a, Vec b) { return if_less(b, a, a, b); }
GPTLOOM_INLINE Vec min(Vec a, Vec b) { return if_less(a, b, a, b); }
GPTLOOM_INLINE Vec sqrt(Vec a) {
  return {Lanes{std::sqrt(a.v[0]), std::sqrt(a.v[1]), std::sqrt(a.v[2]), std::sqrt(a.v[3])}};
}
GPTLOOM_INLINE Vec abs(Vec a) {
  return {Lanes{std::fabs(a.v[0]), std::fabs(a.v[1]), std::fabs(a.v[2]), std::fabs(a.v[3])}};
}
GPTLOOM_INLINE Vec copy_sign(Vec a, Vec sign) {
  Vec r;
  for (int i = 0; i < 4; i++) r.v[i] = std::copysign(a.v[i], sign.v[i]);
  return r;
}
// Adding 1.5 * 2^23 leaves no bits for the fraction, so that the sum is rounded to a whole number.
GPTLOOM_INLINE Vec round(Vec a) {
  Vec r;
  for (int i = 0; i < 4; i++) r.v[i] = (a.v[i] + 12582912.0f) - 12582912.0f;
  return r;
}

// As in vec_avx2.h.
GPTLOOM_INLINE Vec fraction(Vec a, Vec& n) {
  const Vec whole = Vec::set(12582912 + 127);
  a = max(Vec::set(-127), a);
  n = a + whole;
  return a - (n - whole);
}
GPTLOOM_INLINE Vec scale_by_whole(Vec x, Vec n) {
  uint32_t bits[4];
  std::memcpy(bits, &n.v, sizeof(bits));
  for (uint32_t& lane : bits) lane <<= 23;
  Vec power;
  std::memcpy(&power.v, bits, sizeof(bits));
  return x * power;
}

// a * 2^n in two steps, since 2^n itself may be out of range where the product is not.
GPTLOOM_INLINE Vec scale_by_power(Vec a, Vec n) {
  Vec r;
  for (int i = 0; i < 4; i++) {
    const int32_t whole = n.v[i] == n.v[i] ? static_cast<int32_t>(n.v[i]) : 0, half = whole / 2;
    const int32_t bits[2] = {(half + 127) * (1 << 23), (whole - half + 127) * (1 << 23)};
    float power[2];
    std::memcpy(power, bits, sizeof(power));
    r.v[i] = a.v[i] * power[0] * power[1];
  }
  return r;
}

GPTLOOM_INLINE float reduce_add(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
GPTLOOM_INLINE float reduce_max(Vec a) {
  return std::max(std::max(a.v[0], a.v[2]), std::max(a.v[1], a.v[3]));
}

GPTLOOM_INLINE void transpose(Vec (&r)[4]) {
  const Vec s[4] = {r[0], r[1], r[2], r[3]};
  for (int i = 0; i < 4; i++) r[i].v = Lanes{s[0].v[i], s[1].v[i], s[2].v[i], s[3].v[i]};
}

}  // namespace
}  // namespace gptloom::cpu
