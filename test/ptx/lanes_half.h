// float16 and bfloat16 arithmetic. Registers of pairs are arrays of 64 halves, so one template
// serves both.
// Numbers: sums and products of two halves round once through float32 (24 bits are at least 2p +
//   2); fma goes through float64 and float32, both rounded to odd, so that the last rounding is the
//   only one. NaN results are 0x7fff.
#pragma once

namespace ptx {
namespace {

inline float up_f16(uint16_t h) {
  uint32_t magnitude = uint32_t(h & 0x7fff) << 13, sign = uint32_t(h & 0x8000) << 16;
  float scaled = bits_as<float>(magnitude) * 0x1p112f;  // exact, subnormals too
  uint32_t special = magnitude | 0x7f800000u;
  uint32_t bits = (h & 0x7c00) == 0x7c00 ? special : bits_as<uint32_t>(scaled);
  return bits_as<float>(bits | sign);
}
inline uint16_t down_f16(float x) {
  uint32_t u = bits_as<uint32_t>(x), sign = (u >> 16) & 0x8000, m = u & 0x7fffffffu;
  uint32_t normal = (m + 0xc8000fffu + ((m >> 13) & 1)) >> 13;
  uint32_t small = bits_as<uint32_t>(bits_as<float>(m) + 0.5f) - 0x3f000000u;
  uint32_t r = m < 0x38800000u ? small : m >= 0x47800000u ? 0x7c00u : normal;
  return uint16_t(m > 0x7f800000u ? 0x7fffu : r | sign);
}
inline float up_bf16(uint16_t h) { return bits_as<float>(uint32_t(h) << 16); }
inline uint16_t down_bf16(float x) {
  uint32_t u = bits_as<uint32_t>(x);
  uint32_t r = (u + 0x7fffu + ((u >> 16) & 1)) >> 16;
  return uint16_t((u & 0x7fffffffu) > 0x7f800000u ? 0x7fffu : r);
}
struct F16 {
  static constexpr Ty type = Ty::f16, pair = Ty::f16x2;
  static inline float up(uint16_t h) { return up_f16(h); }
  static inline uint16_t down(float x) { return down_f16(x); }
  static inline uint16_t flush(uint16_t h) { return h & 0x7c00 ? h : h & 0x8000; }
};
struct BF16 {
  static constexpr Ty type = Ty::bf16, pair = Ty::bf16x2;
  static inline float up(uint16_t h) { return up_bf16(h); }
  static inline uint16_t down(float x) { return down_bf16(x); }
  static inline uint16_t flush(uint16_t h) { return h & 0x7f80 ? h : h & 0x8000; }
};

// Rounds to float32 so that a later rounding to fewer bits is as if there had been only one.
inline float odd(double x) {
  float r = float(x);
  if (double(r) == x || x != x) return r;
  uint32_t u = bits_as<uint32_t>(r);
  if (__builtin_fabs(double(r)) > __builtin_fabs(x)) --u;  // towards zero
  return bits_as<float>(u | 1);
}
// p + c rounded to odd; p and c are doubles whose sum may need more bits than a double has.
inline double odd_sum(double p, double c) {
  double s = p + c, t = s - p, error = (p - (s - t)) + (c - t);
  if (error == 0 || error != error || s - s != 0) return s;
  uint64_t u = bits_as<uint64_t>(s);
  if (u & 1) return s;
  return bits_as<double>((error > 0) == (s > 0) ? u + 1 : u - 1);
}

enum HalfEnd { half_plain, half_sat, half_relu };
template <class H, bool Z, int End>
inline uint16_t half_out(float r) {
  if (End == half_sat) r = r > 0.f ? (r < 1.f ? r : 1.f) : 0.f;
  if (End == half_relu) r = r > 0.f || r != r ? r : 0.f;
  uint16_t h = H::down(r);
  return Z ? H::flush(h) : h;
}
template <class H, bool Z>
inline float half_in(uint16_t h) {
  return H::up(Z ? H::flush(h) : h);
}
template <class H, bool Z, int E>
struct HAdd {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    return half_out<H, Z, E>(half_in<H, Z>(a) + half_in<H, Z>(b));
  }
};
template <class H, bool Z, int E>
struct HSub {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    return half_out<H, Z, E>(half_in<H, Z>(a) - half_in<H, Z>(b));
  }
};
template <class H, bool Z, int E>
struct HMul {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    return half_out<H, Z, E>(half_in<H, Z>(a) * half_in<H, Z>(b));
  }
};
template <class H, bool Z, int E>
struct HFma {
  static inline uint16_t f(uint16_t a, uint16_t b, uint16_t c) {
    double p = double(half_in<H, Z>(a)) * double(half_in<H, Z>(b));
    return half_out<H, Z, E>(odd(odd_sum(p, double(half_in<H, Z>(c)))));
  }
};
template <class H, bool Z>
struct HNeg {
  static inline uint16_t f(uint16_t a) { return Z ? H::flush(a ^ 0x8000) : uint16_t(a ^ 0x8000); }
};
template <class H, bool Z>
struct HAbs {
  static inline uint16_t f(uint16_t a) { return Z ? H::flush(a & 0x7fff) : uint16_t(a & 0x7fff); }
};
template <class H, bool Z, bool NaN, bool Xor, bool Greater>
struct HPick {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    return H::down(FPick<false, NaN, Xor, Greater>::f(half_in<H, Z>(a), half_in<H, Z>(b)));
  }
};
template <class H>
struct HTanh {
  static inline uint16_t f(uint16_t a) { return H::down(__builtin_tanhf(H::up(a))); }
};
template <class H, bool Z>
struct HEx2 {
  static inline uint16_t f(uint16_t a) {
    return half_out<H, Z, half_plain>(exp2_lane(half_in<H, Z>(a)));
  }
};

using u16 = uint16_t;
template <class H, int N>
void put_half_unary_set(Forms& out, const std::string& t, Ty type) {
  const Class k = Class::half;
  put(out, "neg" + t, unary<u16, u16, HNeg<H, false>, N>, {type, type}, k);
  put(out, "abs" + t, unary<u16, u16, HAbs<H, false>, N>, {type, type}, k);
  put(out, "neg.ftz" + t, unary<u16, u16, HNeg<H, true>, N>, {type, type}, k);
  put(out, "abs.ftz" + t, unary<u16, u16, HAbs<H, true>, N>, {type, type}, k);
  put(out, "tanh.approx" + t, unary<u16, u16, HTanh<H>, N>, {type, type}, Class::special);
  put(out, "ex2.approx" + t, unary<u16, u16, HEx2<H, false>, N>, {type, type}, Class::special);
  put(out, "ex2.approx.ftz" + t, unary<u16, u16, HEx2<H, true>, N>, {type, type}, Class::special);
}

template <class H, int N, bool Z, int E>
void put_half_arithmetic(Forms& out, const std::string& t, Ty type) {
  const Class k = Class::half;
  const std::vector<Ty> three = {type, type, type};
  const char* end = E == half_sat ? ".sat" : E == half_relu ? ".relu" : "";
  const std::string rest = std::string(Z ? ".ftz" : "") + end + t;
  if (E != half_relu) {
    for (const char* round : {"", ".rn"}) {
      put(out, std::string("add") + round + rest, binary<u16, u16, u16, HAdd<H, Z, E>, N>, three, k,
          N / 32);
      put(out, std::string("sub") + round + rest, binary<u16, u16, u16, HSub<H, Z, E>, N>, three, k,
          N / 32);
      put(out, std::string("mul") + round + rest, binary<u16, u16, u16, HMul<H, Z, E>, N>, three, k,
          N / 32);
    }
  }
  put(out, "fma.rn" + rest, ternary<u16, u16, u16, u16, HFma<H, Z, E>, N>, {type, type, type, type},
      k, N / 16);
}

template <class H, int N, bool Z>
void put_half_pick(Forms& out, const std::string& t, Ty type) {
  const std::string z = Z ? ".ftz" : "";
  auto add = [&](const char* name, Fn fn) {
    put(out, name + t, fn, {type, type, type}, Class::half);
  };
  add(("min" + z).c_str(), binary<u16, u16, u16, HPick<H, Z, false, false, false>, N>);
  add(("max" + z).c_str(), binary<u16, u16, u16, HPick<H, Z, false, false, true>, N>);
  add(("min" + z + ".NaN").c_str(), binary<u16, u16, u16, HPick<H, Z, true, false, false>, N>);
  add(("max" + z + ".NaN").c_str(), binary<u16, u16, u16, HPick<H, Z, true, false, true>, N>);
  add(("min" + z + ".xorsign.abs").c_str(),
      binary<u16, u16, u16, HPick<H, Z, false, true, false>, N>);
  add(("max" + z + ".xorsign.abs").c_str(),
      binary<u16, u16, u16, HPick<H, Z, false, true, true>, N>);
  add(("min" + z + ".NaN.xorsign.abs").c_str(),
      binary<u16, u16, u16, HPick<H, Z, true, true, false>, N>);
  add(("max" + z + ".NaN.xorsign.abs").c_str(),
      binary<u16, u16, u16, HPick<H, Z, true, true, true>, N>);
}

template <class H, int N>
void put_half_width(Forms& out, const std::string& t, Ty type) {
  put_half_unary_set<H, N>(out, t, type);
  put_half_arithmetic<H, N, false, half_plain>(out, t, type);
  put_half_arithmetic<H, N, false, half_relu>(out, t, type);
  put_half_pick<H, N, false>(out, t, type);
  if (H::type == Ty::f16) {
    put_half_arithmetic<H, N, false, half_sat>(out, t, type);
    put_half_arithmetic<H, N, true, half_plain>(out, t, type);
    put_half_arithmetic<H, N, true, half_sat>(out, t, type);
    put_half_arithmetic<H, N, true, half_relu>(out, t, type);
    put_half_pick<H, N, true>(out, t, type);
  }
}

void put_half(Forms& out) {
  put_half_width<F16, 32>(out, ".f16", Ty::f16);
  put_half_width<F16, 64>(out, ".f16x2", Ty::f16x2);
  put_half_width<BF16, 32>(out, ".bf16", Ty::bf16);
  put_half_width<BF16, 64>(out, ".bf16x2", Ty::bf16x2);
}

}  // namespace
}  // namespace ptx
