// Integer, logic and bit-field instructions.
#pragma once

namespace ptx {
namespace {

template <class T>
using Signed = std::make_signed_t<T>;
template <class T>
using Unsigned = std::make_unsigned_t<T>;
template <class T>
struct WideOf;
template <>
struct WideOf<uint16_t> {
  using type = uint32_t;
};
template <>
struct WideOf<int16_t> {
  using type = int32_t;
};
template <>
struct WideOf<uint32_t> {
  using type = uint64_t;
};
template <>
struct WideOf<int32_t> {
  using type = int64_t;
};
template <>
struct WideOf<uint64_t> {
  using type = unsigned __int128;
};
template <>
struct WideOf<int64_t> {
  using type = __int128;
};

#define PTX_OP(name, args, ...) \
  struct name {                 \
    template <class T>          \
    static inline T f args {    \
      __VA_ARGS__               \
    }                           \
  }
PTX_OP(Add, (T a, T b), return T(a + b););
PTX_OP(Sub, (T a, T b), return T(a - b););
PTX_OP(MulLo, (T a, T b), return T(uint64_t(a) * uint64_t(b)););
PTX_OP(MulHi, (T a, T b), return T((typename WideOf<T>::type(a) * b) >> (8 * sizeof(T))););
PTX_OP(MadLo, (T a, T b, T c), return T(uint64_t(a) * uint64_t(b) + uint64_t(c)););
PTX_OP(MadHi, (T a, T b, T c), return T(Unsigned<T>(MulHi::f(a, b)) + Unsigned<T>(c)););
struct MulWide {
  template <class T>
  static inline auto f(T a, T b) {
    return typename WideOf<T>::type(a) * b;
  }
};
struct MadWide {
  template <class T, class W>
  static inline W f(T a, T b, W c) {
    return W(Unsigned<W>(typename WideOf<T>::type(a) * b) + Unsigned<W>(c));
  }
};
struct MulWide32 {
  static inline uint64_t f(uint32_t a, uint32_t b) { return uint64_t(a) * b; }
};
PTX_OP(Min, (T a, T b), return a < b ? a : b;);
PTX_OP(Max, (T a, T b), return a < b ? b : a;);
PTX_OP(MinRelu, (T a, T b), T m = a < b ? a : b; return m < 0 ? T(0) : m;);
PTX_OP(MaxRelu, (T a, T b), T m = a < b ? b : a; return m < 0 ? T(0) : m;);
// Division by zero gives all ones and the remainder the dividend, as NVIDIA's hardware sequence
// does.
PTX_OP(Div, (T a, T b), if (!b) return T(-1);
       return std::is_signed<T>::value && b == T(-1) ? T(0 - Unsigned<T>(a)) : T(a / b););
PTX_OP(Rem, (T a, T b), if (!b) return a;
       return std::is_signed<T>::value && b == T(-1) ? T(0) : T(a % b););
PTX_OP(Abs, (T a), return a < 0 ? T(0 - Unsigned<T>(a)) : a;);
PTX_OP(Neg, (T a), return T(0 - Unsigned<T>(a)););
PTX_OP(Sad, (T a, T b, T c),
       return T(Unsigned<T>(c) +
                (a < b ? Unsigned<T>(b) - Unsigned<T>(a) : Unsigned<T>(a) - Unsigned<T>(b))););
PTX_OP(And, (T a, T b), return T(a & b););
PTX_OP(Or, (T a, T b), return T(a | b););
PTX_OP(Xor, (T a, T b), return T(a ^ b););
PTX_OP(Not, (T a), return T(~a););
PTX_OP(Cnot, (T a), return T(a == 0););
// Shift amounts above the width are clamped to it.
struct Shl {
  template <class T>
  static inline T f(T a, uint32_t b) {
    return b >= 8 * sizeof(T) ? T(0) : T(uint64_t(a) << (b & 63));
  }
};
struct Shr {
  template <class T>
  static inline T f(T a, uint32_t b) {
    constexpr uint32_t top = 8 * sizeof(T) - 1;
    if (std::is_signed<T>::value) return T(a >> (b > top ? top : b));
    return b > top ? T(0) : T(a >> (b & top));
  }
};
struct SatAdd {
  static inline int32_t f(int32_t a, int32_t b) {
    int64_t s = int64_t(a) + b;
    return int32_t(s < INT32_MIN ? INT32_MIN : s > INT32_MAX ? INT32_MAX : s);
  }
};
struct SatSub {
  static inline int32_t f(int32_t a, int32_t b) {
    int64_t s = int64_t(a) - b;
    return int32_t(s < INT32_MIN ? INT32_MIN : s > INT32_MAX ? INT32_MAX : s);
  }
};
struct SatMadHi {
  static inline int32_t f(int32_t a, int32_t b, int32_t c) {
    return SatAdd::f(int32_t((int64_t(a) * b) >> 32), c);
  }
};
template <class T>
inline T low24(T a) {
  return std::is_signed<T>::value ? T(int32_t(uint32_t(a) << 8) >> 8) : T(uint32_t(a) & 0xffffffu);
}
PTX_OP(Mul24Lo, (T a, T b), return T(int64_t(low24(a)) * low24(b)););
PTX_OP(Mul24Hi, (T a, T b), return T((int64_t(low24(a)) * low24(b)) >> 16););
PTX_OP(Mad24Lo, (T a, T b, T c), return T(Unsigned<T>(Mul24Lo::f(a, b)) + Unsigned<T>(c)););
PTX_OP(Mad24Hi, (T a, T b, T c), return T(Unsigned<T>(Mul24Hi::f(a, b)) + Unsigned<T>(c)););
struct Popc32 {
  static inline uint32_t f(uint32_t a) { return uint32_t(__builtin_popcount(a)); }
};
struct Popc64 {
  static inline uint32_t f(uint64_t a) { return uint32_t(__builtin_popcountll(a)); }
};
struct Clz32 {
  static inline uint32_t f(uint32_t a) { return a ? uint32_t(__builtin_clz(a)) : 32u; }
};
struct Clz64 {
  static inline uint32_t f(uint64_t a) { return a ? uint32_t(__builtin_clzll(a)) : 64u; }
};
PTX_OP(Brev, (T a), T r = 0;
       for (unsigned k = 0; k < 8 * sizeof(T); ++k) r |= T((a >> k) & 1) << (8 * sizeof(T) - 1 - k);
       return r;);
// Position of the most significant bit that differs from the sign; .shiftamt: the shift that brings
// it to the top.
template <bool Amount>
struct Bfind {
  template <class T>
  static inline uint32_t f(T a) {
    uint64_t v = a < 0 ? uint64_t(~a) : uint64_t(a);
    if (!v) return ~0u;
    uint32_t at = 63u - uint32_t(__builtin_clzll(v));
    return Amount ? uint32_t(8 * sizeof(T) - 1) - at : at;
  }
};
struct Bfe {
  template <class T>
  static inline T f(T a, uint32_t b, uint32_t c) {
    constexpr uint32_t msb = 8 * sizeof(T) - 1;
    uint32_t at = b & 0xff, length = c & 0xff;
    uint32_t last = at + length - 1 < msb ? at + length - 1 : msb;
    bool sign = std::is_signed<T>::value && length && ((uint64_t(a) >> last) & 1);
    Unsigned<T> field = at > msb ? 0 : Unsigned<T>(Unsigned<T>(a) >> at);
    Unsigned<T> keep =
        length > msb ? Unsigned<T>(~Unsigned<T>(0)) : Unsigned<T>((Unsigned<T>(1) << length) - 1);
    uint32_t there = at > msb ? 0 : msb + 1 - at;  // bits that the source still has
    Unsigned<T> have =
        there > msb ? Unsigned<T>(~Unsigned<T>(0)) : Unsigned<T>((Unsigned<T>(1) << there) - 1);
    field &= keep & have;
    return T(sign ? field | ~(keep & have) : field);
  }
};
struct Bfi {
  template <class T>
  static inline T f(T a, T b, uint32_t c, uint32_t d) {
    constexpr uint32_t width = 8 * sizeof(T);
    uint32_t at = c & 0xff, length = d & 0xff;
    if (at >= width || !length) return b;
    T keep = length >= width ? T(~T(0)) : T((T(1) << length) - 1);
    return T((b & ~T(keep << at)) | T((a & keep) << at));
  }
};
template <bool Clamp>
struct Bmsk {
  static inline uint32_t f(uint32_t a, uint32_t b) {
    if (Clamp ? a >= 32 : false) return 0;
    a &= 31;
    if (!Clamp) b &= 31;
    uint32_t ones = b >= 32 ? ~0u : (1u << b) - 1;
    return ones << a;
  }
};
template <bool Clamp, bool Sign>
struct Szext {
  static inline uint32_t f(uint32_t a, uint32_t b) {
    if (Clamp ? b >= 32 : false) return a;
    b &= 31;
    if (!b) return 0;
    uint32_t shift = 32 - b;
    return Sign ? uint32_t(int32_t(a << shift) >> shift) : (a << shift) >> shift;
  }
};
template <bool Left, bool Clamp>
struct Shf {
  static inline uint32_t f(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t n = Clamp ? (c > 32 ? 32 : c) : c & 31;
    uint64_t both = uint64_t(b) << 32 | a;
    return Left ? uint32_t((both << n) >> 32) : uint32_t(both >> n);
  }
};
template <class A, class B>
struct Dp4a {
  static inline uint32_t f(uint32_t a, uint32_t b, uint32_t c) {
    for (int k = 0; k < 4; ++k) c += uint32_t(int32_t(A(a >> 8 * k)) * int32_t(B(b >> 8 * k)));
    return c;
  }
};
template <class A, class B, bool High>
struct Dp2a {
  static inline uint32_t f(uint32_t a, uint32_t b, uint32_t c) {
    for (int k = 0; k < 2; ++k)
      c += uint32_t(int32_t(A(a >> 16 * k)) * int32_t(B(b >> (8 * k + (High ? 16 : 0)))));
    return c;
  }
};
// The offset-th set bit of a from position b on, upwards or downwards; all ones when there is none.
struct Fns {
  static inline uint32_t f(uint32_t a, uint32_t b, int32_t c) {
    const int step = c >= 0 ? 1 : -1;
    int64_t left = c == 0 ? 1 : c < 0 ? -int64_t(c) : c;
    for (int64_t at = b & 31; at >= 0 && at < 32; at += step) {
      if ((a >> at) & 1 && --left == 0) return uint32_t(at);
      if (c == 0) break;
    }
    return ~0u;
  }
};
inline uint32_t prmt_select(uint64_t both, uint32_t selector) {
  uint32_t byte = uint32_t(both >> (8 * (selector & 7))) & 0xff;
  return selector & 8 ? (byte & 0x80 ? 0xffu : 0u) : byte;
}
struct Prmt {
  static inline uint32_t f(uint32_t a, uint32_t b, uint32_t c) {
    uint64_t both = uint64_t(b) << 32 | a;
    return prmt_select(both, c) | prmt_select(both, c >> 4) << 8 | prmt_select(both, c >> 8) << 16 |
           prmt_select(both, c >> 12) << 24;
  }
};
// The special modes of prmt: selectors of the four bytes for each value of c's two low bits.
constexpr uint16_t prmt_modes[6][4] = {
    {0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123},
    {0x0000, 0x1111, 0x2222, 0x3333}, {0x3210, 0x3211, 0x3222, 0x3333},
    {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
template <int Mode>
struct PrmtMode {
  static inline uint32_t f(uint32_t a, uint32_t b, uint32_t c) {
    return Prmt::f(a, b, prmt_modes[Mode][c & 3]);
  }
};

void lop3(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t *a = w.reg<uint32_t>(i.a), *b = w.reg<uint32_t>(i.b), *c = w.reg<uint32_t>(i.c);
  uint32_t* d = w.reg<uint32_t>(i.d);
  uint32_t t[32] = {}, m[8];
  for (int k = 0; k < 8; ++k) m[k] = (i.imm >> k) & 1 ? ~0u : 0u;
  PTX_LANES(32) {
    uint32_t x = a[l], y = b[l], z = c[l];
    t[l] = (~x & ~y & ~z & m[0]) | (~x & ~y & z & m[1]) | (~x & y & ~z & m[2]) |
           (~x & y & z & m[3]) | (x & ~y & ~z & m[4]) | (x & ~y & z & m[5]) | (x & y & ~z & m[6]) |
           (x & y & z & m[7]);
  }
  blend<32>(d, t, mask);
}

template <class T>
void bfi(Warp& w, const Inst& i, uint32_t mask) {
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b);
  const uint32_t *c = w.reg<uint32_t>(i.c), *e = w.reg<uint32_t>(w.program->extra[i.x]);
  T t[32];
  PTX_LANES(32) t[l] = Bfi::f(a[l], b[l], c[l], e[l]);
  blend<32>(w.reg<T>(i.d), t, mask);
}

template <class Op>
void predicate2(Warp& w, const Inst& i, uint32_t mask) {
  set_mask(w, i.d, mask, Op::f(*w.reg<uint32_t>(i.a), *w.reg<uint32_t>(i.b)));
}
void predicate_not(Warp& w, const Inst& i, uint32_t mask) {
  set_mask(w, i.d, mask, ~*w.reg<uint32_t>(i.a));
}
void predicate_move(Warp& w, const Inst& i, uint32_t mask) {
  set_mask(w, i.d, mask, *w.reg<uint32_t>(i.a));
}

}  // namespace
}  // namespace ptx

#include "lanes_carry.h"

namespace ptx {
namespace {

// min.s16x2 and its kin: the halves of a register as an array of 64.
template <class T, class Op>
void put_pairs(Forms& out, const std::string& name, Ty type) {
  put(out, name, binary<T, T, T, Op, 64>, {type, type, type}, Class::integer);
}

template <class T>
void put_integer_type(Forms& out, const std::string& t, Ty type) {
  using U = Unsigned<T>;
  const Class k = Class::integer;
  const std::vector<Ty> two = {type, type}, three = {type, type, type},
                        four = {type, type, type, type};
  put(out, "add" + t, binary<U, U, U, Add>, three, k);
  put(out, "sub" + t, binary<U, U, U, Sub>, three, k);
  put(out, "mul.lo" + t, binary<U, U, U, MulLo>, three, k);
  put(out, "mul.hi" + t, binary<T, T, T, MulHi>, three, k);
  put(out, "mad.lo" + t, ternary<U, U, U, U, MadLo>, four, k);
  put(out, "mad.hi" + t, ternary<T, T, T, T, MadHi>, four, k);
  put(out, "div" + t, binary<T, T, T, Div>, three, k);
  put(out, "rem" + t, binary<T, T, T, Rem>, three, k);
  put(out, "min" + t, binary<T, T, T, Min>, three, k);
  put(out, "max" + t, binary<T, T, T, Max>, three, k);
  put(out, "sad" + t, ternary<T, T, T, T, Sad>, four, k);
  put(out, "shr" + t, binary<T, T, uint32_t, Shr>, {type, type, Ty::u32}, k);
  if (std::is_signed<T>::value) {
    put(out, "abs" + t, unary<T, T, Abs>, two, k);
    put(out, "neg" + t, unary<T, T, Neg>, two, k);
  }
  if constexpr (sizeof(T) < 8) {
    using W = typename WideOf<T>::type;
    Ty wide = sizeof(T) == 2             ? (std::is_signed<T>::value ? Ty::s32 : Ty::u32)
              : std::is_signed<T>::value ? Ty::s64
                                         : Ty::u64;
    put(out, "mul.wide" + t, binary<W, T, T, MulWide>, {wide, type, type}, k);
    put(out, "mad.wide" + t, ternary<W, T, T, W, MadWide>, {wide, type, type, wide}, k);
  }
  if constexpr (sizeof(T) >= 4) {
    put(out, "bfe" + t, ternary<T, T, uint32_t, uint32_t, Bfe>, {type, type, Ty::u32, Ty::u32}, k);
    put(out, "bfind" + t, unary<uint32_t, T, Bfind<false>>, {Ty::u32, type}, k);
    put(out, "bfind.shiftamt" + t, unary<uint32_t, T, Bfind<true>>, {Ty::u32, type}, k);
    const Shape c = Shape::carry;
    put(out, "add.cc" + t, add_carry<U, 2>, three, k, 0, c);
    put(out, "addc" + t, add_carry<U, 1>, three, k, 0, c);
    put(out, "addc.cc" + t, add_carry<U, 3>, three, k, 0, c);
    put(out, "sub.cc" + t, add_carry<U, 6>, three, k, 0, c);
    put(out, "subc" + t, add_carry<U, 5>, three, k, 0, c);
    put(out, "subc.cc" + t, add_carry<U, 7>, three, k, 0, c);
    put(out, "mad.lo.cc" + t, mad_carry<T, 2, MulLo>, four, k, 0, c);
    put(out, "mad.hi.cc" + t, mad_carry<T, 2, MulHi>, four, k, 0, c);
    put(out, "madc.lo" + t, mad_carry<T, 1, MulLo>, four, k, 0, c);
    put(out, "madc.hi" + t, mad_carry<T, 1, MulHi>, four, k, 0, c);
    put(out, "madc.lo.cc" + t, mad_carry<T, 3, MulLo>, four, k, 0, c);
    put(out, "madc.hi.cc" + t, mad_carry<T, 3, MulHi>, four, k, 0, c);
  }
}

template <class T>
void put_bits_type(Forms& out, const std::string& t, Ty type) {
  const Class k = Class::integer;
  put(out, "and" + t, binary<T, T, T, And>, {type, type, type}, k);
  put(out, "or" + t, binary<T, T, T, Or>, {type, type, type}, k);
  put(out, "xor" + t, binary<T, T, T, Xor>, {type, type, type}, k);
  put(out, "not" + t, unary<T, T, Not>, {type, type}, k);
  put(out, "cnot" + t, unary<T, T, Cnot>, {type, type}, k);
  put(out, "shl" + t, binary<T, T, uint32_t, Shl>, {type, type, Ty::u32}, k);
  put(out, "shr" + t, binary<T, T, uint32_t, Shr>, {type, type, Ty::u32}, k);
}

void put_integer(Forms& out) {
  const Class k = Class::integer;
  put_integer_type<uint16_t>(out, ".u16", Ty::u16);
  put_integer_type<int16_t>(out, ".s16", Ty::s16);
  put_integer_type<uint32_t>(out, ".u32", Ty::u32);
  put_integer_type<int32_t>(out, ".s32", Ty::s32);
  put_integer_type<uint64_t>(out, ".u64", Ty::u64);
  put_integer_type<int64_t>(out, ".s64", Ty::s64);
  put_bits_type<uint16_t>(out, ".b16", Ty::b16);
  put_bits_type<uint32_t>(out, ".b32", Ty::b32);
  put_bits_type<uint64_t>(out, ".b64", Ty::b64);
  const Ty u = Ty::u32, s = Ty::s32, b = Ty::b32;
  put(out, "mul.wide.u32", binary<uint64_t, uint32_t, uint32_t, MulWide32>, {Ty::u64, u, u}, k);
  put(out, "add.sat.s32", binary<int32_t, int32_t, int32_t, SatAdd>, {s, s, s}, k);
  put(out, "sub.sat.s32", binary<int32_t, int32_t, int32_t, SatSub>, {s, s, s}, k);
  put(out, "mad.hi.sat.s32", ternary<int32_t, int32_t, int32_t, int32_t, SatMadHi>, {s, s, s, s},
      k);
  put(out, "min.relu.s32", binary<int32_t, int32_t, int32_t, MinRelu>, {s, s, s}, k);
  put(out, "max.relu.s32", binary<int32_t, int32_t, int32_t, MaxRelu>, {s, s, s}, k);
  put(out, "mul24.lo.u32", binary<uint32_t, uint32_t, uint32_t, Mul24Lo>, {u, u, u}, k);
  put(out, "mul24.lo.s32", binary<int32_t, int32_t, int32_t, Mul24Lo>, {s, s, s}, k);
  put(out, "mul24.hi.u32", binary<uint32_t, uint32_t, uint32_t, Mul24Hi>, {u, u, u}, k);
  put(out, "mul24.hi.s32", binary<int32_t, int32_t, int32_t, Mul24Hi>, {s, s, s}, k);
  put(out, "mad24.lo.u32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Mad24Lo>, {u, u, u, u},
      k);
  put(out, "mad24.lo.s32", ternary<int32_t, int32_t, int32_t, int32_t, Mad24Lo>, {s, s, s, s}, k);
  put(out, "mad24.hi.u32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Mad24Hi>, {u, u, u, u},
      k);
  put(out, "mad24.hi.s32", ternary<int32_t, int32_t, int32_t, int32_t, Mad24Hi>, {s, s, s, s}, k);
  put(out, "popc.b32", unary<uint32_t, uint32_t, Popc32>, {u, b}, k);
  put(out, "popc.b64", unary<uint32_t, uint64_t, Popc64>, {u, Ty::b64}, k);
  put(out, "clz.b32", unary<uint32_t, uint32_t, Clz32>, {u, b}, k);
  put(out, "clz.b64", unary<uint32_t, uint64_t, Clz64>, {u, Ty::b64}, k);
  put(out, "brev.b32", unary<uint32_t, uint32_t, Brev>, {b, b}, k);
  put(out, "brev.b64", unary<uint64_t, uint64_t, Brev>, {Ty::b64, Ty::b64}, k);
  put(out, "bfi.b32", bfi<uint32_t>, {b, b, b, u, u}, k);
  put(out, "bfi.b64", bfi<uint64_t>, {Ty::b64, Ty::b64, Ty::b64, u, u}, k);
  put(out, "bmsk.clamp.b32", binary<uint32_t, uint32_t, uint32_t, Bmsk<true>>, {b, b, b}, k);
  put(out, "bmsk.wrap.b32", binary<uint32_t, uint32_t, uint32_t, Bmsk<false>>, {b, b, b}, k);
  put(out, "szext.clamp.u32", binary<uint32_t, uint32_t, uint32_t, Szext<true, false>>, {u, u, u},
      k);
  put(out, "szext.wrap.u32", binary<uint32_t, uint32_t, uint32_t, Szext<false, false>>, {u, u, u},
      k);
  put(out, "szext.clamp.s32", binary<uint32_t, uint32_t, uint32_t, Szext<true, true>>, {s, s, u},
      k);
  put(out, "szext.wrap.s32", binary<uint32_t, uint32_t, uint32_t, Szext<false, true>>, {s, s, u},
      k);
  const std::vector<Ty> shf = {b, b, b, u};
  put(out, "shf.l.wrap.b32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Shf<true, false>>, shf,
      k);
  put(out, "shf.l.clamp.b32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Shf<true, true>>, shf,
      k);
  put(out, "shf.r.wrap.b32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Shf<false, false>>,
      shf, k);
  put(out, "shf.r.clamp.b32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Shf<false, true>>,
      shf, k);
  put(out, "prmt.b32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Prmt>, shf, k);
  put(out, "prmt.b32.f4e", ternary<uint32_t, uint32_t, uint32_t, uint32_t, PrmtMode<0>>, shf, k);
  put(out, "prmt.b32.b4e", ternary<uint32_t, uint32_t, uint32_t, uint32_t, PrmtMode<1>>, shf, k);
  put(out, "prmt.b32.rc8", ternary<uint32_t, uint32_t, uint32_t, uint32_t, PrmtMode<2>>, shf, k);
  put(out, "prmt.b32.ecl", ternary<uint32_t, uint32_t, uint32_t, uint32_t, PrmtMode<3>>, shf, k);
  put(out, "prmt.b32.ecr", ternary<uint32_t, uint32_t, uint32_t, uint32_t, PrmtMode<4>>, shf, k);
  put(out, "prmt.b32.rc16", ternary<uint32_t, uint32_t, uint32_t, uint32_t, PrmtMode<5>>, shf, k);
  put(out, "fns.b32", ternary<uint32_t, uint32_t, uint32_t, int32_t, Fns>, {b, b, b, Ty::s32}, k);
  put(out, "lop3.b32", lop3, {b, b, b, b}, k);
  using u8 = uint8_t;
  using s8 = int8_t;
  put(out, "dp4a.u32.u32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Dp4a<u8, u8>>,
      {u, b, b, u}, k);
  put(out, "dp4a.s32.s32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Dp4a<s8, s8>>,
      {s, b, b, s}, k);
  put(out, "dp4a.u32.s32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Dp4a<u8, s8>>,
      {s, b, b, s}, k);
  put(out, "dp4a.s32.u32", ternary<uint32_t, uint32_t, uint32_t, uint32_t, Dp4a<s8, u8>>,
      {s, b, b, s}, k);
  put(out, "dp2a.lo.u32.u32",
      ternary<uint32_t, uint32_t, uint32_t, uint32_t, Dp2a<uint16_t, u8, false>>, {u, b, b, u}, k);
  put(out, "dp2a.hi.u32.u32",
      ternary<uint32_t, uint32_t, uint32_t, uint32_t, Dp2a<uint16_t, u8, true>>, {u, b, b, u}, k);
  put(out, "dp2a.lo.s32.s32",
      ternary<uint32_t, uint32_t, uint32_t, uint32_t, Dp2a<int16_t, s8, false>>, {s, b, b, s}, k);
  put(out, "dp2a.hi.s32.s32",
      ternary<uint32_t, uint32_t, uint32_t, uint32_t, Dp2a<int16_t, s8, true>>, {s, b, b, s}, k);
  const Ty p = Ty::pred;
  put(out, "and.pred", predicate2<And>, {p, p, p}, Class::predicate);
  put(out, "or.pred", predicate2<Or>, {p, p, p}, Class::predicate);
  put(out, "xor.pred", predicate2<Xor>, {p, p, p}, Class::predicate);
  put(out, "not.pred", predicate_not, {p, p}, Class::predicate);
  put(out, "mov.pred", predicate_move, {p, p}, Class::predicate);
  put_pairs<uint16_t, Add>(out, "add.u16x2", b);
  put_pairs<uint16_t, Add>(out, "add.s16x2", b);
  put_pairs<uint16_t, Min>(out, "min.u16x2", b);
  put_pairs<uint16_t, Max>(out, "max.u16x2", b);
  put_pairs<int16_t, Min>(out, "min.s16x2", b);
  put_pairs<int16_t, Max>(out, "max.s16x2", b);
  for (const char* name : {"min.s32.relu", "max.s32.relu"})
    out[name] = out.at(std::string(name, 3) + ".relu.s32");
  put_pairs<int16_t, MinRelu>(out, "min.s16x2.relu", b);
  put_pairs<int16_t, MaxRelu>(out, "max.s16x2.relu", b);
  put_pairs<int16_t, MinRelu>(out, "min.relu.s16x2", b);
  put_pairs<int16_t, MaxRelu>(out, "max.relu.s16x2", b);
}

}  // namespace
}  // namespace ptx
