// float32 and float64 arithmetic.
// Numbers: a float32 result that is no number is the canonical NaN 0x7fffffff. .ftz flushes
//   subnormal inputs and results to zero of the same sign; .sat clamps to [0, 1] and makes NaN 0.
//   Approximations are within the manual's bounds by being nearly correctly rounded; they do not
//   reproduce hardware's last bit.
#pragma once

namespace ptx {
namespace {

inline float flush(float x) {
  uint32_t u = bits_as<uint32_t>(x);
  return bits_as<float>(u & 0x7f800000u ? u : u & 0x80000000u);
}
inline float canonical(float x) { return x != x ? bits_as<float>(0x7fffffffu) : x; }
template <bool Ftz>
inline float in(float x) {
  return Ftz ? flush(x) : x;
}
template <bool Ftz, bool Sat>
inline float out(float x) {
  if (Sat) return x > 0.f ? (x < 1.f ? (Ftz ? flush(x) : x) : 1.f) : 0.f;
  return canonical(Ftz ? flush(x) : x);
}

template <bool Z, bool S>
struct FAdd {
  static inline float f(float a, float b) { return out<Z, S>(in<Z>(a) + in<Z>(b)); }
};
template <bool Z, bool S>
struct FSub {
  static inline float f(float a, float b) { return out<Z, S>(in<Z>(a) - in<Z>(b)); }
};
template <bool Z, bool S>
struct FMul {
  static inline float f(float a, float b) { return out<Z, S>(in<Z>(a) * in<Z>(b)); }
};
template <bool Z, bool S>
struct FFma {
  static inline float f(float a, float b, float c) {
    return out<Z, S>(__builtin_fmaf(in<Z>(a), in<Z>(b), in<Z>(c)));
  }
};
template <bool Z>
struct FDiv {
  static inline float f(float a, float b) { return out<Z, false>(in<Z>(a) / in<Z>(b)); }
};
// For a divisor between 2^126 and 2^128 div.approx gives 0 (and NaN for an infinite dividend).
template <bool Z>
struct FDivApprox {
  static inline float f(float a, float b) {
    float x = in<Z>(a), y = in<Z>(b), m = bits_as<float>(bits_as<uint32_t>(y) & 0x7fffffffu);
    float q = x / y, tiny = x * 0.f;
    return out<Z, false>(m > 0x1p126f && m < __builtin_inff() ? tiny : q);
  }
};
template <bool Z>
struct FRcp {
  static inline float f(float a) { return out<Z, false>(1.f / in<Z>(a)); }
};
template <bool Z>
struct FSqrt {
  static inline float f(float a) { return out<Z, false>(__builtin_sqrtf(in<Z>(a))); }
};
template <bool Z>
struct FRsqrt {
  static inline float f(float a) {
    return out<Z, false>(float(1.0 / __builtin_sqrt(double(in<Z>(a)))));
  }
};
// 2^x: x = n + r with |r| <= 1/2, the series of 2^r to r^7 (next term 5e-9), then 2^n in two steps.
inline float exp2_lane(float x) {
  float c = x < -200.f ? -200.f : x > 200.f ? 200.f : x;
  float shifted = c + 12582912.f;
  int n = bits_as<int>(shifted) - 0x4b400000;
  float r = c - (shifted - 12582912.f);
  float p = 1.5252734e-5f;
  p = p * r + 1.5403530e-4f;
  p = p * r + 1.3333558e-3f;
  p = p * r + 9.6181291e-3f;
  p = p * r + 5.5504109e-2f;
  p = p * r + 0.24022651f;
  p = p * r + 0.69314718f;
  p = p * r + 1.f;
  int half = n >> 1, rest = n - half;
  float y =
      p * bits_as<float>(uint32_t(half + 127) << 23) * bits_as<float>(uint32_t(rest + 127) << 23);
  return x != x ? x : y;
}
template <bool Z>
struct FEx2 {
  static inline float f(float a) { return out<Z, false>(exp2_lane(in<Z>(a))); }
};
template <bool Z>
struct FLg2 {
  static inline float f(float a) { return out<Z, false>(__builtin_log2f(in<Z>(a))); }
};
template <bool Z>
struct FSin {
  static inline float f(float a) { return out<Z, false>(__builtin_sinf(in<Z>(a))); }
};
template <bool Z>
struct FCos {
  static inline float f(float a) { return out<Z, false>(__builtin_cosf(in<Z>(a))); }
};
struct FTanh {
  static inline float f(float a) { return canonical(__builtin_tanhf(a)); }
};
template <bool Z>
struct FAbs {
  static inline float f(float a) {
    return in<Z>(bits_as<float>(bits_as<uint32_t>(a) & 0x7fffffffu));
  }
};
template <bool Z>
struct FNeg {
  static inline float f(float a) {
    return in<Z>(bits_as<float>(bits_as<uint32_t>(a) ^ 0x80000000u));
  }
};
// One NaN loses against a number unless .NaN; -0 is below +0. Xorsign: of magnitudes, with the
// exclusive or of the signs.
template <bool Z, bool NaN, bool Xor, bool Greater>
struct FPick {
  static inline float f(float a, float b) {
    uint32_t sign = (bits_as<uint32_t>(a) ^ bits_as<uint32_t>(b)) & 0x80000000u;
    float x = in<Z>(a), y = in<Z>(b);
    if (Xor) x = FAbs<false>::f(x), y = FAbs<false>::f(y);
    uint32_t ux = bits_as<uint32_t>(x), uy = bits_as<uint32_t>(y);
    float equal = bits_as<float>(Greater ? ux & uy : ux | uy);  // for zeros: the sign that wins
    float r = (Greater ? x > y : x < y)   ? x
              : (Greater ? x < y : x > y) ? y
              : x == y                    ? equal
              : x != x                    ? y
                                          : x;
    if (NaN) r = x != x || y != y ? bits_as<float>(0x7fffffffu) : r;
    r = canonical(r);
    return Xor && r == r ? bits_as<float>(bits_as<uint32_t>(r) | sign) : r;
  }
};
template <bool Z, bool NaN, bool Xor, bool Greater>
struct FPick3 {
  using P = FPick<Z, NaN, Xor, Greater>;
  static inline float f(float a, float b, float c) { return P::f(P::f(a, b), c); }
};
struct FCopysign {
  static inline float f(float a, float b) {
    return bits_as<float>((bits_as<uint32_t>(b) & 0x7fffffffu) |
                          (bits_as<uint32_t>(a) & 0x80000000u));
  }
};

struct DAdd {
  static inline double f(double a, double b) { return a + b; }
};
struct DSub {
  static inline double f(double a, double b) { return a - b; }
};
struct DMul {
  static inline double f(double a, double b) { return a * b; }
};
struct DDiv {
  static inline double f(double a, double b) { return a / b; }
};
struct DFma {
  static inline double f(double a, double b, double c) { return __builtin_fma(a, b, c); }
};
struct DRcp {
  static inline double f(double a) { return 1.0 / a; }
};
struct DSqrt {
  static inline double f(double a) { return __builtin_sqrt(a); }
};
struct DAbs {
  static inline double f(double a) { return __builtin_fabs(a); }
};
struct DNeg {
  static inline double f(double a) { return -a; }
};
// The approximations keep the upper 32 bits; subnormal inputs and results count as zero.
inline double upper(double x) {
  uint64_t u = bits_as<uint64_t>(x);
  if (x != x) return bits_as<double>(uint64_t(0x7fffffff) << 32);
  if (!(u & 0x7ff0000000000000u)) u &= 0x8000000000000000u;
  return bits_as<double>(u & 0xffffffff00000000u);
}
struct DRcpApprox {
  static inline double f(double a) { return upper(1.0 / upper(a)); }
};
struct DRsqrtApprox {
  static inline double f(double a) { return upper(1.0 / __builtin_sqrt(upper(a))); }
};
struct DRsqrt {
  static inline double f(double a) { return 1.0 / __builtin_sqrt(a); }
};
template <bool Greater>
struct DPick {
  static inline double f(double a, double b) {
    double equal = bits_as<double>(Greater ? bits_as<uint64_t>(a) & bits_as<uint64_t>(b)
                                           : bits_as<uint64_t>(a) | bits_as<uint64_t>(b));
    return (Greater ? a > b : a < b)   ? a
           : (Greater ? a < b : a > b) ? b
           : a == b                    ? equal
           : a != a                    ? b
                                       : a;
  }
};
struct DCopysign {
  static inline double f(double a, double b) { return __builtin_copysign(b, a); }
};

template <bool Z, bool S>
void put_float32_arithmetic(Forms& out, const std::string& rest) {
  const Ty f = Ty::f32;
  const Class k = Class::float32;
  put(out, "add" + rest, binary<float, float, float, FAdd<Z, S>>, {f, f, f}, k, 1);
  put(out, "sub" + rest, binary<float, float, float, FSub<Z, S>>, {f, f, f}, k, 1);
  put(out, "mul" + rest, binary<float, float, float, FMul<Z, S>>, {f, f, f}, k, 1);
  put_rounded<binary<float, float, float, FAdd<Z, S>>>(out, "add", rest, {f, f, f}, k, 1);
  put_rounded<binary<float, float, float, FSub<Z, S>>>(out, "sub", rest, {f, f, f}, k, 1);
  put_rounded<binary<float, float, float, FMul<Z, S>>>(out, "mul", rest, {f, f, f}, k, 1);
  put_rounded<ternary<float, float, float, float, FFma<Z, S>>>(out, "fma", rest, {f, f, f, f}, k,
                                                               2);
  put_rounded<ternary<float, float, float, float, FFma<Z, S>>>(out, "mad", rest, {f, f, f, f}, k,
                                                               2);
}

template <bool Z>
void put_float32(Forms& out, const std::string& z) {
  const Ty f = Ty::f32;
  const Class k = Class::float32, s = Class::special;
  put_float32_arithmetic<Z, false>(out, z + ".f32");
  put_float32_arithmetic<Z, true>(out, z + ".sat.f32");
  put(out, "div.approx" + z + ".f32", binary<float, float, float, FDivApprox<Z>>, {f, f, f}, s, 1);
  put(out, "div.full" + z + ".f32", binary<float, float, float, FDiv<Z>>, {f, f, f}, s, 1);
  put_rounded<binary<float, float, float, FDiv<Z>>>(out, "div", z + ".f32", {f, f, f}, s, 1);
  put(out, "rcp.approx" + z + ".f32", unary<float, float, FRcp<Z>>, {f, f}, s);
  put_rounded<unary<float, float, FRcp<Z>>>(out, "rcp", z + ".f32", {f, f}, s, 0);
  put(out, "sqrt.approx" + z + ".f32", unary<float, float, FSqrt<Z>>, {f, f}, s);
  put_rounded<unary<float, float, FSqrt<Z>>>(out, "sqrt", z + ".f32", {f, f}, s, 0);
  put(out, "rsqrt.approx" + z + ".f32", unary<float, float, FRsqrt<Z>>, {f, f}, s);
  put(out, "ex2.approx" + z + ".f32", unary<float, float, FEx2<Z>>, {f, f}, s);
  put(out, "lg2.approx" + z + ".f32", unary<float, float, FLg2<Z>>, {f, f}, s);
  put(out, "sin.approx" + z + ".f32", unary<float, float, FSin<Z>>, {f, f}, s);
  put(out, "cos.approx" + z + ".f32", unary<float, float, FCos<Z>>, {f, f}, s);
  put(out, "abs" + z + ".f32", unary<float, float, FAbs<Z>>, {f, f}, k);
  put(out, "neg" + z + ".f32", unary<float, float, FNeg<Z>>, {f, f}, k);
  put(out, "min" + z + ".f32", binary<float, float, float, FPick<Z, false, false, false>>,
      {f, f, f}, k);
  put(out, "max" + z + ".f32", binary<float, float, float, FPick<Z, false, false, true>>, {f, f, f},
      k);
  put(out, "min" + z + ".NaN.f32", binary<float, float, float, FPick<Z, true, false, false>>,
      {f, f, f}, k);
  put(out, "max" + z + ".NaN.f32", binary<float, float, float, FPick<Z, true, false, true>>,
      {f, f, f}, k);
  put(out, "min" + z + ".xorsign.abs.f32",
      binary<float, float, float, FPick<Z, false, true, false>>, {f, f, f}, k);
  put(out, "max" + z + ".xorsign.abs.f32", binary<float, float, float, FPick<Z, false, true, true>>,
      {f, f, f}, k);
  put(out, "min" + z + ".NaN.xorsign.abs.f32",
      binary<float, float, float, FPick<Z, true, true, false>>, {f, f, f}, k);
  put(out, "max" + z + ".NaN.xorsign.abs.f32",
      binary<float, float, float, FPick<Z, true, true, true>>, {f, f, f}, k);
  put(out, "min3" + z + ".f32", ternary<float, float, float, float, FPick3<Z, false, false, false>>,
      {f, f, f, f}, k);
  put(out, "max3" + z + ".f32", ternary<float, float, float, float, FPick3<Z, false, false, true>>,
      {f, f, f, f}, k);
  put(out, "min3" + z + ".NaN.f32",
      ternary<float, float, float, float, FPick3<Z, true, false, false>>, {f, f, f, f}, k);
  put(out, "max3" + z + ".NaN.f32",
      ternary<float, float, float, float, FPick3<Z, true, false, true>>, {f, f, f, f}, k);
}

void put_float(Forms& out) {
  put_float32<false>(out, "");
  put_float32<true>(out, ".ftz");
  const Ty f = Ty::f32, d = Ty::f64;
  const Class k = Class::float64;
  put(out, "tanh.approx.f32", unary<float, float, FTanh>, {f, f}, Class::special);
  put(out, "copysign.f32", binary<float, float, float, FCopysign>, {f, f, f}, Class::float32);
  put(out, "copysign.f64", binary<double, double, double, DCopysign>, {d, d, d}, k);
  put(out, "add.f64", binary<double, double, double, DAdd>, {d, d, d}, k, 1);
  put(out, "sub.f64", binary<double, double, double, DSub>, {d, d, d}, k, 1);
  put(out, "mul.f64", binary<double, double, double, DMul>, {d, d, d}, k, 1);
  put_rounded<binary<double, double, double, DAdd>>(out, "add", ".f64", {d, d, d}, k, 1);
  put_rounded<binary<double, double, double, DSub>>(out, "sub", ".f64", {d, d, d}, k, 1);
  put_rounded<binary<double, double, double, DMul>>(out, "mul", ".f64", {d, d, d}, k, 1);
  put_rounded<binary<double, double, double, DDiv>>(out, "div", ".f64", {d, d, d}, k, 1);
  put_rounded<ternary<double, double, double, double, DFma>>(out, "fma", ".f64", {d, d, d, d}, k,
                                                             2);
  put_rounded<ternary<double, double, double, double, DFma>>(out, "mad", ".f64", {d, d, d, d}, k,
                                                             2);
  put_rounded<unary<double, double, DRcp>>(out, "rcp", ".f64", {d, d}, k, 0);
  put_rounded<unary<double, double, DSqrt>>(out, "sqrt", ".f64", {d, d}, k, 0);
  put(out, "rcp.approx.ftz.f64", unary<double, double, DRcpApprox>, {d, d}, Class::special);
  put(out, "rsqrt.approx.ftz.f64", unary<double, double, DRsqrtApprox>, {d, d}, Class::special);
  put(out, "rsqrt.approx.f64", unary<double, double, DRsqrt>, {d, d}, Class::special);
  put(out, "abs.f64", unary<double, double, DAbs>, {d, d}, k);
  put(out, "neg.f64", unary<double, double, DNeg>, {d, d}, k);
  put(out, "min.f64", binary<double, double, double, DPick<false>>, {d, d, d}, k);
  put(out, "max.f64", binary<double, double, double, DPick<true>>, {d, d, d}, k);
}

}  // namespace
}  // namespace ptx
