// Comparisons (setp, set), selection (selp, slct), testp.
#pragma once

namespace ptx {
namespace {

// Ordered comparisons are false with a NaN, the ..u forms true.
struct CEq {
  template <class T>
  static inline bool f(T a, T b) {
    return a == b;
  }
};
struct CNe {
  template <class T>
  static inline bool f(T a, T b) {
    return a != b && a == a && b == b;
  }
};
struct CLt {
  template <class T>
  static inline bool f(T a, T b) {
    return a < b;
  }
};
struct CLe {
  template <class T>
  static inline bool f(T a, T b) {
    return a <= b;
  }
};
struct CGt {
  template <class T>
  static inline bool f(T a, T b) {
    return a > b;
  }
};
struct CGe {
  template <class T>
  static inline bool f(T a, T b) {
    return a >= b;
  }
};
struct CEqu {
  template <class T>
  static inline bool f(T a, T b) {
    return !CNe::f(a, b);
  }
};
struct CNeu {
  template <class T>
  static inline bool f(T a, T b) {
    return !(a == b);
  }
};
struct CLtu {
  template <class T>
  static inline bool f(T a, T b) {
    return !(a >= b);
  }
};
struct CLeu {
  template <class T>
  static inline bool f(T a, T b) {
    return !(a > b);
  }
};
struct CGtu {
  template <class T>
  static inline bool f(T a, T b) {
    return !(a <= b);
  }
};
struct CGeu {
  template <class T>
  static inline bool f(T a, T b) {
    return !(a < b);
  }
};
struct CNum {
  template <class T>
  static inline bool f(T a, T b) {
    return a == a && b == b;
  }
};
struct CNan {
  template <class T>
  static inline bool f(T a, T b) {
    return a != a || b != b;
  }
};

// How a slot's element becomes what is compared.
template <class T>
struct Same {
  using Raw = T;
  static inline T f(T a) { return a; }
};
struct Flushed {
  using Raw = float;
  static inline float f(float a) { return flush(a); }
};
template <class H, bool Z>
struct Widened {
  using Raw = uint16_t;
  static inline float f(uint16_t a) { return half_in<H, Z>(a); }
};

template <class V, class Op>
inline uint32_t compare_mask(Warp& w, const Inst& i) {
  const typename V::Raw *a = w.reg<typename V::Raw>(i.a), *b = w.reg<typename V::Raw>(i.b);
  uint32_t r = 0;
  PTX_LANES(32) r |= uint32_t(Op::f(V::f(a[l]), V::f(b[l]))) << l;
  return r;
}

inline uint32_t join(Warp& w, const Inst& i, uint32_t r) {
  if (!(i.imm & 3)) return r;
  uint32_t c = *w.reg<uint32_t>(i.c);
  if (i.imm & join_negated) c = ~c;
  return (i.imm & 3) == join_and ? r & c : (i.imm & 3) == join_or ? r | c : r ^ c;
}

template <class V, class Op>
void setp(Warp& w, const Inst& i, uint32_t mask) {
  uint32_t r = compare_mask<V, Op>(w, i), p = join(w, i, r),
           q = i.imm & join_pair ? join(w, i, ~r) : 0;
  if (i.d != no_slot) set_mask(w, i.d, mask, p);
  if (i.imm & join_pair) set_mask(w, w.program->extra[i.x], mask, q);
}

// setp on pairs: p from the low halves, q from the high ones.
template <class H, bool Z, class Op>
void setp_pair(Warp& w, const Inst& i, uint32_t mask) {
  const uint16_t *a = w.reg<uint16_t>(i.a), *b = w.reg<uint16_t>(i.b);
  uint32_t p = 0, q = 0;
  for (int l = 0; l < 32; ++l) {
    p |= uint32_t(Op::f(half_in<H, Z>(a[2 * l]), half_in<H, Z>(b[2 * l]))) << l;
    q |= uint32_t(Op::f(half_in<H, Z>(a[2 * l + 1]), half_in<H, Z>(b[2 * l + 1]))) << l;
  }
  if (i.d != no_slot) set_mask(w, i.d, mask, join(w, i, p));
  if (i.imm & join_pair) set_mask(w, w.program->extra[i.x], mask, join(w, i, q));
}

// set: all ones or zero, or 1.0 and 0.0 of the destination's type.
template <class R, R One, class V, class Op>
void set(Warp& w, const Inst& i, uint32_t mask) {
  uint32_t r = join(w, i, compare_mask<V, Op>(w, i));
  R t[32];
  PTX_LANES(32) t[l] = (r >> l) & 1 ? One : R(0);
  blend<32>(w.reg<R>(i.d), t, mask);
}
template <uint16_t One, class H, bool Z, class Op>
struct SetHalf {
  static inline uint16_t f(uint16_t a, uint16_t b) {
    return Op::f(half_in<H, Z>(a), half_in<H, Z>(b)) ? One : uint16_t(0);
  }
};

constexpr const char* joins[4] = {"", ".and", ".or", ".xor"};

template <class V, class Op>
void put_compare(Forms& out, const char* op, const char* z, const std::string& t, Ty type) {
  for (uint32_t k = 0; k < 4; ++k) {
    const std::string head = std::string(".") + op + joins[k] + z;
    put(out, "setp" + head + t, setp<V, Op>, {Ty::pred, type, type}, Class::predicate, 0,
        Shape::compare, k);
    for (const char* d : {".u32", ".s32"})
      put(out, "set" + head + d + t, set<uint32_t, ~0u, V, Op>, {Ty::b32, type, type},
          Class::integer, 0, Shape::compare, k);
    put(out, "set" + head + ".f32" + t, set<uint32_t, 0x3f800000u, V, Op>, {Ty::f32, type, type},
        Class::float32, 0, Shape::compare, k);
    if (type == Ty::f16 || type == Ty::bf16) {
      put(out, "set" + head + ".f16" + t, set<uint16_t, 0x3c00, V, Op>, {Ty::f16, type, type},
          Class::half, 0, Shape::compare, k);
      put(out, "set" + head + ".bf16" + t, set<uint16_t, 0x3f80, V, Op>, {Ty::bf16, type, type},
          Class::half, 0, Shape::compare, k);
      put(out, "set" + head + ".u16" + t, set<uint16_t, 0xffff, V, Op>, {Ty::u16, type, type},
          Class::half, 0, Shape::compare, k);
    }
  }
}

template <class V>
void put_ordered(Forms& out, const char* z, const std::string& t, Ty type) {
  put_compare<V, CEq>(out, "eq", z, t, type);
  put_compare<V, CNeu>(out, "ne", z, t, type);
  put_compare<V, CLt>(out, "lt", z, t, type);
  put_compare<V, CLe>(out, "le", z, t, type);
  put_compare<V, CGt>(out, "gt", z, t, type);
  put_compare<V, CGe>(out, "ge", z, t, type);
}
template <class V>
void put_unsigned(Forms& out, const std::string& t, Ty type) {
  put_ordered<V>(out, "", t, type);
  put_compare<V, CLt>(out, "lo", "", t, type);
  put_compare<V, CLe>(out, "ls", "", t, type);
  put_compare<V, CGt>(out, "hi", "", t, type);
  put_compare<V, CGe>(out, "hs", "", t, type);
}
template <class V>
void put_float_compare(Forms& out, const char* z, const std::string& t, Ty type) {
  put_ordered<V>(out, z, t, type);
  put_compare<V, CNe>(out, "ne", z, t, type);
  put_compare<V, CEqu>(out, "equ", z, t, type);
  put_compare<V, CNeu>(out, "neu", z, t, type);
  put_compare<V, CLtu>(out, "ltu", z, t, type);
  put_compare<V, CLeu>(out, "leu", z, t, type);
  put_compare<V, CGtu>(out, "gtu", z, t, type);
  put_compare<V, CGeu>(out, "geu", z, t, type);
  put_compare<V, CNum>(out, "num", z, t, type);
  put_compare<V, CNan>(out, "nan", z, t, type);
}

template <class H, bool Z, class Op>
void put_pair_compare(Forms& out, const char* op, Ty type) {
  const std::string t = H::type == Ty::f16 ? ".f16x2" : ".bf16x2", z = Z ? ".ftz" : "";
  for (uint32_t k = 0; k < 4; ++k)
    put(out, std::string("setp.") + op + joins[k] + z + t, setp_pair<H, Z, Op>,
        {Ty::pred, type, type}, Class::predicate, 0, Shape::compare, k);
  const std::string head = std::string("set.") + op + z;
  put(out, head + ".f16x2" + t, binary<u16, u16, u16, SetHalf<0x3c00, H, Z, Op>, 64>,
      {Ty::b32, type, type}, Class::half);
  put(out, head + ".bf16x2" + t, binary<u16, u16, u16, SetHalf<0x3f80, H, Z, Op>, 64>,
      {Ty::b32, type, type}, Class::half);
  put(out, head + ".u32" + t, binary<u16, u16, u16, SetHalf<0xffff, H, Z, Op>, 64>,
      {Ty::b32, type, type}, Class::half);
}
template <class H, bool Z>
void put_pair_compares(Forms& out, Ty type) {
  put_pair_compare<H, Z, CEq>(out, "eq", type);
  put_pair_compare<H, Z, CNe>(out, "ne", type);
  put_pair_compare<H, Z, CLt>(out, "lt", type);
  put_pair_compare<H, Z, CLe>(out, "le", type);
  put_pair_compare<H, Z, CGt>(out, "gt", type);
  put_pair_compare<H, Z, CGe>(out, "ge", type);
  put_pair_compare<H, Z, CEqu>(out, "equ", type);
  put_pair_compare<H, Z, CNeu>(out, "neu", type);
  put_pair_compare<H, Z, CLtu>(out, "ltu", type);
  put_pair_compare<H, Z, CLeu>(out, "leu", type);
  put_pair_compare<H, Z, CGtu>(out, "gtu", type);
  put_pair_compare<H, Z, CGeu>(out, "geu", type);
  put_pair_compare<H, Z, CNum>(out, "num", type);
  put_pair_compare<H, Z, CNan>(out, "nan", type);
}

template <class T>
void selp(Warp& w, const Inst& i, uint32_t mask) {
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b);
  uint32_t c = *w.reg<uint32_t>(i.c) ^ i.imm;
  T t[32];
  PTX_LANES(32) t[l] = (c >> l) & 1 ? a[l] : b[l];
  blend<32>(w.reg<T>(i.d), t, mask);
}
struct SlctS {
  template <class T>
  static inline T f(T a, T b, int32_t c) {
    return c >= 0 ? a : b;
  }
};
template <bool Z>
struct SlctF {
  template <class T>
  static inline T f(T a, T b, float c) {
    return (Z ? flush(c) : c) >= 0.f ? a : b;
  }
};

enum TestKind { test_finite, test_infinite, test_number, test_nan, test_normal, test_subnormal };
template <class F, class U, TestKind K>
void testp(Warp& w, const Inst& i, uint32_t mask) {
  const U* a = w.reg<U>(i.a);
  constexpr int mantissa = sizeof(U) == 4 ? 23 : 52;
  const U exponent_ones = sizeof(U) == 4 ? 0xff : 0x7ff;
  uint32_t r = 0;
  for (int l = 0; l < 32; ++l) {
    U e = (a[l] >> mantissa) & exponent_ones, m = a[l] & ((U(1) << mantissa) - 1);
    bool yes = K == test_finite     ? e != exponent_ones
               : K == test_infinite ? e == exponent_ones && !m
               : K == test_nan      ? e == exponent_ones && m
               : K == test_number   ? !(e == exponent_ones && m)
               : K == test_normal   ? e != exponent_ones && (e || !m)
                                    : !e && m;  // zero counts as normal
    r |= uint32_t(yes) << l;
  }
  set_mask(w, i.d, mask, r);
}
template <class F, class U>
void put_testp(Forms& out, const std::string& t, Ty type) {
  auto add = [&](const char* name, Fn fn) {
    put(out, std::string("testp.") + name + t, fn, {Ty::pred, type}, Class::predicate);
  };
  add("finite", testp<F, U, test_finite>);
  add("infinite", testp<F, U, test_infinite>);
  add("number", testp<F, U, test_number>);
  add("notanumber", testp<F, U, test_nan>);
  add("normal", testp<F, U, test_normal>);
  add("subnormal", testp<F, U, test_subnormal>);
}

template <class T>
void put_select(Forms& out, const char* t, Ty type) {
  put(out, std::string("selp") + t, selp<T>, {type, type, type, Ty::pred}, Class::move);
  for (const char* s : {".s32"})
    put(out, std::string("slct") + t + s, ternary<T, T, T, int32_t, SlctS>,
        {type, type, type, Ty::s32}, Class::move);
  put(out, std::string("slct") + t + ".f32", ternary<T, T, T, float, SlctF<false>>,
      {type, type, type, Ty::f32}, Class::move);
  put(out, std::string("slct.ftz") + t + ".f32", ternary<T, T, T, float, SlctF<true>>,
      {type, type, type, Ty::f32}, Class::move);
}

void put_comparisons(Forms& out) {
  put_unsigned<Same<uint16_t>>(out, ".u16", Ty::u16);
  put_unsigned<Same<uint32_t>>(out, ".u32", Ty::u32);
  put_unsigned<Same<uint64_t>>(out, ".u64", Ty::u64);
  put_ordered<Same<int16_t>>(out, "", ".s16", Ty::s16);
  put_ordered<Same<int32_t>>(out, "", ".s32", Ty::s32);
  put_ordered<Same<int64_t>>(out, "", ".s64", Ty::s64);
  put_compare<Same<uint16_t>, CEq>(out, "eq", "", ".b16", Ty::b16);
  put_compare<Same<uint32_t>, CEq>(out, "eq", "", ".b32", Ty::b32);
  put_compare<Same<uint64_t>, CEq>(out, "eq", "", ".b64", Ty::b64);
  put_compare<Same<uint16_t>, CNeu>(out, "ne", "", ".b16", Ty::b16);
  put_compare<Same<uint32_t>, CNeu>(out, "ne", "", ".b32", Ty::b32);
  put_compare<Same<uint64_t>, CNeu>(out, "ne", "", ".b64", Ty::b64);
  put_float_compare<Same<float>>(out, "", ".f32", Ty::f32);
  put_float_compare<Flushed>(out, ".ftz", ".f32", Ty::f32);
  put_float_compare<Same<double>>(out, "", ".f64", Ty::f64);
  put_float_compare<Widened<F16, false>>(out, "", ".f16", Ty::f16);
  put_float_compare<Widened<F16, true>>(out, ".ftz", ".f16", Ty::f16);
  put_float_compare<Widened<BF16, false>>(out, "", ".bf16", Ty::bf16);
  put_pair_compares<F16, false>(out, Ty::f16x2);
  put_pair_compares<F16, true>(out, Ty::f16x2);
  put_pair_compares<BF16, false>(out, Ty::bf16x2);
  put_select<uint16_t>(out, ".b16", Ty::b16);
  put_select<uint16_t>(out, ".u16", Ty::u16);
  put_select<uint16_t>(out, ".s16", Ty::s16);
  put_select<uint32_t>(out, ".b32", Ty::b32);
  put_select<uint32_t>(out, ".u32", Ty::u32);
  put_select<uint32_t>(out, ".s32", Ty::s32);
  put_select<uint32_t>(out, ".f32", Ty::f32);
  put_select<uint64_t>(out, ".b64", Ty::b64);
  put_select<uint64_t>(out, ".u64", Ty::u64);
  put_select<uint64_t>(out, ".s64", Ty::s64);
  put_select<uint64_t>(out, ".f64", Ty::f64);
  put_testp<float, uint32_t>(out, ".f32", Ty::f32);
  put_testp<double, uint64_t>(out, ".f64", Ty::f64);
}

}  // namespace
}  // namespace ptx
