// cvt between integers and floating-point types, with every rounding mode, .ftz, .sat, .relu and
// .satfinite.
// Numbers: a floating-point source converts through float64 (exact), a 64-bit integer through long
//   double.
// Out of range to an integer gives the nearest one; NaN gives 0, or the top bit alone when either
// type has 64 bits (manual, cvt).
// Plan: one template for every pair of types, steered by imm; then fast paths that the compiler can
//   vectorise.
#pragma once

namespace ptx {
namespace {

constexpr uint32_t mode_none = 0, mode_n = 1, mode_z = 2, mode_m = 3, mode_p = 4, mode_a = 5,
                   mode_bits = 7;
constexpr uint32_t cvt_ftz = 8, cvt_sat = 16, cvt_integral = 32, cvt_relu = 64, cvt_finite = 128;

template <class T, class R>
struct Int {  // R: the slot's element, wider than T for 8 bits
  using Raw = R;
  using Value = T;
  static constexpr bool floating = false;
  static inline T load(R r) { return T(r); }
  static inline R store(T v) { return R(v); }
};
template <class H>
struct Half {
  using Raw = uint16_t;
  using Value = double;
  static constexpr bool floating = true;
  static inline double load(uint16_t h) { return H::up(h); }
};
struct Single {
  using Raw = float;
  using Value = double;
  static constexpr bool floating = true;
  static inline double load(float f) { return f; }
};
struct Double {
  using Raw = double;
  using Value = double;
  static constexpr bool floating = true;
  static inline double load(double d) { return d; }
};

template <class W>
inline float round_single(W v, uint32_t mode) {
  float f = float(v);
  if (mode == mode_z && (f < 0 ? -W(f) : W(f)) > (v < 0 ? -v : v)) return nextafterf(f, 0.f);
  if (mode == mode_m && W(f) > v) return nextafterf(f, -__builtin_inff());
  if (mode == mode_p && W(f) < v) return nextafterf(f, __builtin_inff());
  return f;
}
// A half in sign and magnitude: one step is one unit in the last place, up to infinity.
template <class H, class W>
inline uint16_t round_half(W v, uint32_t mode) {
  double d = double(v);
  if (W(d) != v && v == v)
    d = bits_as<double>((bits_as<uint64_t>(d) - (W(d) > v) * (v > 0) - (W(d) < v) * (v < 0)) | 1);
  uint16_t h = H::down(odd(d));
  if (mode == mode_n || mode == mode_none || v != v) return h;
  double r = H::up(h);
  bool negative = h & 0x8000;
  if (mode == mode_z   ? (negative ? r < d : r > d)
      : mode == mode_m ? r > d && !negative
                       : r < d && negative)
    return uint16_t(h - 1);
  if (mode == mode_m && r > d && negative) return uint16_t(h + 1);
  if (mode == mode_p && r < d && !negative) return uint16_t(h + 1);
  return h;
}
inline double integral(double v, uint32_t mode) {
  return mode == mode_z   ? __builtin_trunc(v)
         : mode == mode_m ? __builtin_floor(v)
         : mode == mode_p ? __builtin_ceil(v)
                          : __builtin_rint(v);
}
template <class W>
inline W clamp01(W v) {
  return v > 0 ? (v < 1 ? v : W(1)) : W(0);
}

template <class To>
struct Store;
template <>
struct Store<Single> {
  template <class W>
  static inline float f(W v, uint32_t imm) {
    if (imm & cvt_relu) v = v > 0 || v != v ? v : W(0);
    float r = canonical(round_single(v, imm & mode_bits));
    if (imm & cvt_finite && __builtin_fabsf(r) > 3.40282347e38f)
      r = r > 0 ? 3.40282347e38f : -3.40282347e38f;
    return imm & cvt_ftz ? flush(r) : r;
  }
};
template <>
struct Store<Double> {
  template <class W>
  static inline double f(W v, uint32_t imm) {
    double d = double(v);
    uint32_t mode = imm & mode_bits;
    if (mode == mode_z && (d < 0 ? -W(d) : W(d)) > (v < 0 ? -v : v)) return nextafter(d, 0.0);
    if (mode == mode_m && W(d) > v) return nextafter(d, -__builtin_inf());
    if (mode == mode_p && W(d) < v) return nextafter(d, __builtin_inf());
    return d;
  }
};
template <class H>
struct Store<Half<H>> {
  template <class W>
  static inline uint16_t f(W v, uint32_t imm) {
    if (imm & cvt_relu) v = v > 0 || v != v ? v : W(0);
    uint16_t h = round_half<H>(v, imm & mode_bits), top = H::type == Ty::f16 ? 0x7bff : 0x7f7f;
    if (imm & cvt_finite && (h & 0x7fff) == top + 1) h = uint16_t((h & 0x8000) | top);
    return h;
  }
};
template <class T, class R>
struct Store<Int<T, R>> {
  static inline R f(double v, uint32_t imm, bool wide) {
    if (v != v) return R(wide ? T(uint64_t(1) << (8 * sizeof(T) - 1)) : T(0));
    double r = integral(v, imm & mode_bits);
    constexpr bool sign = std::is_signed<T>::value;
    const double high = __builtin_ldexp(1.0, int(8 * sizeof(T)) - (sign ? 1 : 0)),
                 low = sign ? -high : 0.0;
    if (r >= high) return R(std::numeric_limits<T>::max());
    if (r < low) return R(std::numeric_limits<T>::min());
    return R(T(r));
  }
};

template <class To, class From, bool FloatTo, bool FloatFrom>
struct Convert;
template <class To, class From>
struct Convert<To, From, false, false> {
  static inline typename To::Raw f(typename From::Raw a, uint32_t imm) {
    using T = typename To::Value;
    auto v = From::load(a);
    if (imm & cvt_sat) {
      __int128 x = v, low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
      return To::store(T(x < low ? low : x > high ? high : x));
    }
    return To::store(T(v));
  }
};
template <class To, class From>
struct Convert<To, From, false, true> {
  static inline typename To::Raw f(typename From::Raw a, uint32_t imm) {
    double v = From::load(a);
    if (imm & cvt_ftz && std::is_same<From, Single>::value) v = flush(float(v));
    constexpr bool wide = sizeof(typename From::Raw) == 8 || sizeof(typename To::Value) == 8;
    return Store<To>::f(v, imm, wide);
  }
};
template <class To, class From>
struct Convert<To, From, true, false> {
  static inline typename To::Raw f(typename From::Raw a, uint32_t imm) {
    long double v = From::load(a);
    return Store<To>::f(imm & cvt_sat ? clamp01(v) : v, imm);
  }
};
template <class To, class From>
struct Convert<To, From, true, true> {
  static inline typename To::Raw f(typename From::Raw a, uint32_t imm) {
    double v = From::load(a);
    if (imm & cvt_ftz && std::is_same<From, Single>::value) v = flush(float(v));
    if (imm & cvt_integral) v = integral(v, imm & mode_bits), imm &= ~mode_bits;
    if (imm & cvt_sat) v = clamp01(v);
    return Store<To>::f(v, imm);
  }
};

template <class To, class From>
void convert(Warp& w, const Inst& i, uint32_t mask) {
  const auto* a = w.reg<typename From::Raw>(i.a);
  typename To::Raw t[32];
  for (int l = 0; l < 32; ++l)
    t[l] = Convert<To, From, To::floating, From::floating>::f(a[l], i.imm);
  blend<32>(w.reg<typename To::Raw>(i.d), t, mask);
}

struct ModeName {
  const char* name;
  uint32_t bits;
};
constexpr ModeName float_modes[] = {
    {"", 0}, {".rn", mode_n}, {".rz", mode_z}, {".rm", mode_m}, {".rp", mode_p}};
constexpr ModeName integral_modes[] = {{".rni", mode_n | cvt_integral},
                                       {".rzi", mode_z | cvt_integral},
                                       {".rmi", mode_m | cvt_integral},
                                       {".rpi", mode_p | cvt_integral}};

template <class To, class From>
void put_convert(Forms& out, const char* to, Ty to_type, const char* from, Ty from_type) {
  const std::string end = std::string(to) + from;
  auto add = [&](const ModeName& mode, bool may_flush) {
    for (uint32_t bits = 0; bits < 4; ++bits) {
      if (bits & 1 && !may_flush) continue;
      const std::string name = std::string("cvt") + mode.name + (bits & 1 ? ".ftz" : "") +
                               (bits & 2 ? ".sat" : "") + end;
      put(out, name, convert<To, From>, {to_type, from_type}, Class::conversion, 0, Shape::plain,
          mode.bits | (bits & 1 ? cvt_ftz : 0) | (bits & 2 ? cvt_sat : 0));
    }
  };
  const bool single = to_type == Ty::f32 || from_type == Ty::f32;
  if (!To::floating && !From::floating) return add(float_modes[0], false);
  if (!To::floating) {
    for (auto& mode : integral_modes) add(mode, from_type == Ty::f32);
  } else if (!From::floating) {
    for (int k = 1; k < 5; ++k) add(float_modes[k], to_type == Ty::f32);
  } else {
    const int bits_to = type_bytes(to_type), bits_from = type_bytes(from_type);
    if (to_type == from_type) {
      add(float_modes[0], single);
      for (auto& mode : integral_modes) add(mode, single);
    } else if (bits_to > bits_from) {
      add(float_modes[0], single);
    } else {
      for (int k = 1; k < 5; ++k) add(float_modes[k], single);
    }
  }
}

template <class To>
void put_convert_to(Forms& out, const char* to, Ty type) {
  put_convert<To, Int<uint8_t, uint16_t>>(out, to, type, ".u8", Ty::u8);
  put_convert<To, Int<int8_t, uint16_t>>(out, to, type, ".s8", Ty::s8);
  put_convert<To, Int<uint16_t, uint16_t>>(out, to, type, ".u16", Ty::u16);
  put_convert<To, Int<int16_t, int16_t>>(out, to, type, ".s16", Ty::s16);
  put_convert<To, Int<uint32_t, uint32_t>>(out, to, type, ".u32", Ty::u32);
  put_convert<To, Int<int32_t, int32_t>>(out, to, type, ".s32", Ty::s32);
  put_convert<To, Int<uint64_t, uint64_t>>(out, to, type, ".u64", Ty::u64);
  put_convert<To, Int<int64_t, int64_t>>(out, to, type, ".s64", Ty::s64);
  put_convert<To, Half<F16>>(out, to, type, ".f16", Ty::f16);
  put_convert<To, Half<BF16>>(out, to, type, ".bf16", Ty::bf16);
  put_convert<To, Single>(out, to, type, ".f32", Ty::f32);
  put_convert<To, Double>(out, to, type, ".f64", Ty::f64);
}

// ---- Fast paths: the same results by code that vectorises ----
template <class To>
struct Cast {
  template <class A>
  static inline To f(A a) {
    return To(a);
  }
};
struct SingleToHalf {
  static inline uint16_t f(float a) { return down_f16(a); }
};
struct SingleToBrain {
  static inline uint16_t f(float a) { return down_bf16(a); }
};
struct HalfToSingle {
  static inline float f(uint16_t a) { return canonical(up_f16(a)); }
};
struct BrainToSingle {
  static inline float f(uint16_t a) { return canonical(up_bf16(a)); }
};
struct DoubleToSingle {
  static inline float f(double a) { return canonical(float(a)); }
};
struct SatSingle {
  static inline float f(float a) { return clamp01(a); }
};
template <class H>
struct DownPair {
  static inline uint32_t f(float a, float b) { return uint32_t(H::down(a)) << 16 | H::down(b); }
};
template <uint32_t Mode>
inline float integral_lane(float a) {
  return Mode == mode_z   ? __builtin_truncf(a)
         : Mode == mode_m ? __builtin_floorf(a)
         : Mode == mode_p ? __builtin_ceilf(a)
                          : __builtin_rintf(a);
}
template <uint32_t Mode>
struct Integral {
  static inline float f(float a) { return canonical(integral_lane<Mode>(a)); }
};
template <uint32_t Mode>
struct SingleToInt {
  static inline int32_t f(float a) {
    float r = integral_lane<Mode>(a), c = r > -2147483648.f ? r : -2147483648.f;
    int32_t n = int32_t(c < 2147483520.f ? c : 2147483520.f);
    n = r >= 2147483648.f ? INT32_MAX : n;
    return a != a ? 0 : n;
  }
};
void put_fast(Forms& out) {
  auto replace = [&](const char* name, Fn fn) { out.at(name).fn = fn; };
  replace("cvt.rn.f16.f32", unary<uint16_t, float, SingleToHalf>);
  replace("cvt.rn.bf16.f32", unary<uint16_t, float, SingleToBrain>);
  replace("cvt.f32.f16", unary<float, uint16_t, HalfToSingle>);
  replace("cvt.f32.bf16", unary<float, uint16_t, BrainToSingle>);
  replace("cvt.f64.f32", unary<double, float, Cast<double>>);
  replace("cvt.rn.f32.f64", unary<float, double, DoubleToSingle>);
  replace("cvt.rn.f32.s32", unary<float, int32_t, Cast<float>>);
  replace("cvt.rn.f32.u32", unary<float, uint32_t, Cast<float>>);
  replace("cvt.rn.f32.s64", unary<float, int64_t, Cast<float>>);
  replace("cvt.rn.f64.s32", unary<double, int32_t, Cast<double>>);
  replace("cvt.rn.f64.u32", unary<double, uint32_t, Cast<double>>);
  replace("cvt.rn.f64.s64", unary<double, int64_t, Cast<double>>);
  replace("cvt.sat.f32.f32", unary<float, float, SatSingle>);
  replace("cvt.rni.f32.f32", unary<float, float, Integral<mode_n>>);
  replace("cvt.rzi.f32.f32", unary<float, float, Integral<mode_z>>);
  replace("cvt.rmi.f32.f32", unary<float, float, Integral<mode_m>>);
  replace("cvt.rpi.f32.f32", unary<float, float, Integral<mode_p>>);
  replace("cvt.rni.s32.f32", unary<int32_t, float, SingleToInt<mode_n>>);
  replace("cvt.rzi.s32.f32", unary<int32_t, float, SingleToInt<mode_z>>);
  replace("cvt.rmi.s32.f32", unary<int32_t, float, SingleToInt<mode_m>>);
  replace("cvt.rpi.s32.f32", unary<int32_t, float, SingleToInt<mode_p>>);
  for (const char* t : {".u32", ".s32"})
    for (const char* f : {".u64", ".s64"})
      replace((std::string("cvt") + t + f).c_str(), unary<uint32_t, uint64_t, Cast<uint32_t>>);
  for (const char* t : {".u64", ".s64"}) {
    replace((std::string("cvt") + t + ".u32").c_str(), unary<uint64_t, uint32_t, Cast<uint64_t>>);
    replace((std::string("cvt") + t + ".s32").c_str(), unary<uint64_t, int32_t, Cast<uint64_t>>);
  }
  for (const char* t : {".u32", ".s32"}) {
    replace((std::string("cvt") + t + ".u16").c_str(), unary<uint32_t, uint16_t, Cast<uint32_t>>);
    replace((std::string("cvt") + t + ".s16").c_str(), unary<uint32_t, int16_t, Cast<uint32_t>>);
    replace((std::string("cvt.u16") + t).c_str(), unary<uint16_t, uint32_t, Cast<uint16_t>>);
    replace((std::string("cvt.s16") + t).c_str(), unary<uint16_t, uint32_t, Cast<uint16_t>>);
  }
  put(out, "cvt.rn.bf16x2.f32", binary<uint32_t, float, float, DownPair<BF16>>,
      {Ty::b32, Ty::f32, Ty::f32}, Class::conversion);
  put(out, "cvt.rn.f16x2.f32", binary<uint32_t, float, float, DownPair<F16>>,
      {Ty::b32, Ty::f32, Ty::f32}, Class::conversion);
}

}  // namespace
}  // namespace ptx
