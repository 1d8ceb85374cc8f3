// Elementary functions on Vec, written once for every instruction set.
//
// Maths: exp(x) = 2^n e^r with n = round(x / ln 2) and r = x - n ln 2 in [-0.35, 0.35], ln 2 being
//   split in two so that r is exact to the last bit; e^r by its Taylor polynomial of degree 7,
//   whose remainder is 1e-8 there. GELU (Hendrycks & Gimpel 2016) in its tanh form as
//   x / (1 + exp(-2 u)), u = sqrt(2/pi) (x + 0.044715 x^3): the same as 0.5 x (1 + tanh u) without
//   the loss of digits where tanh u is near -1. In its exact form it is x Phi(x), where
//   Phi(-z) = e^(-z^2 / 2) t P(t) for z >= 0, t = 1 / (1 + 0.3 z), P being fitted by least squares of
//   the relative error, reweighted until it was even (1.5e-7), to 0.5 erfcx(z / sqrt 2) on [0, 14].
// Numbers: exp within 1.5 ulp over the whole range, subnormal results included; exp(-inf) = 0,
//   exp(NaN) = NaN, overflow to infinity above 88.73. tanh within 3 ulp. Both GELUs within 1e-6
//   relative and 1e-7 absolute.
#pragma once

namespace gptloom::cpu {
namespace {

GPTLOOM_INLINE Vec exp(Vec x) {
  // The bounds only keep n small; the constant comes first so that a NaN passes through.
  x = min(Vec::set(89.0f), max(Vec::set(-105.0f), x));
  const Vec n = round(x * Vec::set(1.44269504f));
  Vec r = fma(n, Vec::set(-0.693359375f), x);
  r = fma(n, Vec::set(2.12194440e-4f), r);
  Vec p = Vec::set(1.0f / 5040);
  p = fma(p, r, Vec::set(1.0f / 720));
  p = fma(p, r, Vec::set(1.0f / 120));
  p = fma(p, r, Vec::set(1.0f / 24));
  p = fma(p, r, Vec::set(1.0f / 6));
  p = fma(p, r, Vec::set(0.5f));
  return scale_by_power(fma(p * r, r, r) + Vec::set(1), n);
}

// 2^x = 2^n 2^r, n = floor(x) or round(x), 2^r by the polynomial of least relative error on [0, 1] or
// [-0.5, 0.5] with 2^0 = 1, which is 8e-8 or 9e-8: fewer steps than exp. For x below 127.5; below -126
// it may be 0. NaN stays.
GPTLOOM_INLINE Vec power_of_2(Vec x) {
  Vec n;
  const Vec r = fraction(x, n);
  constexpr bool floors = Vec::floors;
  Vec p = Vec::set(floors ? 0.00186713036f : 0.00132713467f);
  p = fma(p, r, Vec::set(floors ? 0.00901702970f : 0.00967134815f));
  p = fma(p, r, Vec::set(floors ? 0.0557999135f : 0.0555070639f));
  p = fma(p, r, Vec::set(floors ? 0.240164450f : 0.240222454f));
  p = fma(p, r, Vec::set(floors ? 0.693151312f : 0.693147004f));
  p = fma(p, r, Vec::set(1));
  return scale_by_whole(p, n);
}

// Below 0.625 in magnitude the odd polynomial of Cephes' tanhf (Moshier), else 1 - 2 / (e^2|x| +
// 1).
GPTLOOM_INLINE Vec tanh(Vec x) {
  const Vec z = x * x, a = abs(x);
  Vec p = Vec::set(-5.70498872745e-3f);
  p = fma(p, z, Vec::set(2.06390887954e-2f));
  p = fma(p, z, Vec::set(-5.37397155531e-2f));
  p = fma(p, z, Vec::set(1.33314422036e-1f));
  p = fma(p, z, Vec::set(-3.33332819422e-1f));
  const Vec small = fma(p * z, x, x);
  const Vec large = Vec::set(1) - Vec::set(2) / (exp(a + a) + Vec::set(1));
  return if_less(a, Vec::set(0.625f), small, copy_sign(large, x));
}

// The logistic function of 2 u(x), what GELU multiplies x by: for x within 10 of 0, where it has
// come to 1e-38 and to 1, so that GELU is 0 and x beyond. e^(-2 u) is a power of 2.
GPTLOOM_INLINE Vec near_zero(Vec x) { return max(Vec::set(-10), min(Vec::set(10), x)); }
GPTLOOM_INLINE Vec gelu_gate(Vec x, Vec square) {
  const Vec z = fma(square, Vec::set(-0.102943242f), Vec::set(-2.30220818f));
  return reciprocal(Vec::set(1) + power_of_2(x * z));
}
GPTLOOM_INLINE Vec zero_below_near(Vec x, Vec y) {
  return if_less(x, Vec::set(-10), Vec::zero(), y);
}

// e^(-x^2 / 2), and Phi(x) with it.
GPTLOOM_INLINE Vec bell(Vec x) { return exp(x * x * Vec::set(-0.5f)); }
GPTLOOM_INLINE Vec normal_below(Vec x, Vec e) {
  const Vec t = reciprocal(fma(min(Vec::set(1e6f), abs(x)), Vec::set(0.3f), Vec::set(1)));
  Vec p = Vec::set(0.035675570f);
  p = fma(p, t, Vec::set(-0.15720622f));
  p = fma(p, t, Vec::set(0.20635864f));
  p = fma(p, t, Vec::set(-0.053688139f));
  p = fma(p, t, Vec::set(0.12856388f));
  p = fma(p, t, Vec::set(0.099912845f));
  p = fma(p, t, Vec::set(0.12075406f));
  p = fma(p, t, Vec::set(0.11962929f));
  const Vec tail = e * t * p;
  return if_less(x, Vec::zero(), tail, Vec::set(1) - tail);
}

template <Gelu form>
GPTLOOM_INLINE Vec gelu(Vec x) {
  if (form == Gelu::exact) return x * normal_below(x, bell(x));
  const Vec near = near_zero(x);
  return zero_below_near(x, x * gelu_gate(near, near * near));
}

// d gelu / dx = s + x s (1 - s) 2 u'(x), s = gelu_gate(x), or Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi).
template <Gelu form>
GPTLOOM_INLINE Vec gelu_slope(Vec x) {
  if (form == Gelu::exact) {
    const Vec e = bell(x);
    return fma(x * Vec::set(0.398942280f), e, normal_below(x, e));
  }
  const Vec near = near_zero(x), square = near * near, s = gelu_gate(near, square);
  const Vec du = fma(square, Vec::set(0.214064448817811f), Vec::set(1.59576912160573f));
  return zero_below_near(x, fma(near * (s * (Vec::set(1) - s)), du, s));
}

}  // namespace
}  // namespace gptloom::cpu
