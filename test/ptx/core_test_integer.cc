// Integer, logic, bit-field and comparison instructions against plain C++.
#include <limits>

#include "core_test.h"

using namespace test;

template <class T>
static void arithmetic(const std::string& t, const std::string& r, int width) {
  using U = std::make_unsigned_t<T>;
  using W = std::conditional_t<std::is_signed<T>::value, __int128, unsigned __int128>;
  const auto sets = integers(int(sizeof(T)));
  auto two = [&](const std::string& op, T (*f)(T, T)) {
    expect(op + t, op + t + " " + r + "d, " + r + "a, " + r + "b;", width, sets,
           [f](uint64_t a, uint64_t b, uint64_t) { return uint64_t(U(f(T(a), T(b)))); });
  };
  two("add", [](T a, T b) { return T(U(a) + U(b)); });
  two("sub", [](T a, T b) { return T(U(a) - U(b)); });
  two("mul.lo", [](T a, T b) { return T(U(uint64_t(U(a)) * U(b))); });
  two("mul.hi", [](T a, T b) { return T((W(a) * W(b)) >> (8 * sizeof(T))); });
  two("min", [](T a, T b) { return a < b ? a : b; });
  two("max", [](T a, T b) { return a > b ? a : b; });
  // The manual leaves division by zero open; there the table's own choice stands.
  two("div", [](T a, T b) {
    return b == 0 ? T(-1) : std::is_signed<T>::value && b == T(-1) ? T(U(0) - U(a)) : T(a / b);
  });
  two("rem", [](T a, T b) {
    return b == 0 ? a : std::is_signed<T>::value && b == T(-1) ? T(0) : T(a % b);
  });
  expect(
      "mad.lo" + t, "mad.lo" + t + " " + r + "d, " + r + "a, " + r + "b, " + r + "c;", width, sets,
      [](uint64_t a, uint64_t b, uint64_t c) { return uint64_t(U(uint64_t(U(a)) * U(b) + U(c))); });
  // sad: d = c + |a - b|
  expect("sad" + t, "sad" + t + " " + r + "d, " + r + "a, " + r + "b, " + r + "c;", width, sets,
         [](uint64_t a, uint64_t b, uint64_t c) {
           W x = W(T(a)) - W(T(b));
           return uint64_t(U(U(c) + U(T(a) < T(b) ? -x : x)));
         });
  // shr: shifts in the sign for signed types; amounts above the width are clamped to it.
  expect("shr" + t, "shr" + t + " " + r + "d, " + r + "a, %b;", width, sets,
         [](uint64_t a, uint64_t b, uint64_t) {
           const uint32_t n = std::min<uint32_t>(uint32_t(b), 8 * sizeof(T));
           return uint64_t(U(W(T(a)) >> n));
         });
  const char* names[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  for (int k = 0; k < 6; ++k) {
    expect(std::string("setp.") + names[k] + t,
           std::string("setp.") + names[k] + t + " %pd, " + r + "a, " + r + "b;", 1, sets,
           [k](uint64_t x, uint64_t y, uint64_t) -> uint64_t {
             T a = T(x), b = T(y);
             return k == 0   ? a == b
                    : k == 1 ? a != b
                    : k == 2 ? a < b
                    : k == 3 ? a <= b
                    : k == 4 ? a > b
                             : a >= b;
           });
  }
}

PTX_TEST(integer_arithmetic) {
  arithmetic<uint16_t>(".u16", "%h", 16);
  arithmetic<int16_t>(".s16", "%h", 16);
  arithmetic<uint32_t>(".u32", "%", 32);
  arithmetic<int32_t>(".s32", "%", 32);
  arithmetic<uint64_t>(".u64", "%q", 64);
  arithmetic<int64_t>(".s64", "%q", 64);
}

PTX_TEST(integer_wide_and_carry) {
  const auto w = integers(4);
  expect("mul.wide.u32", "mul.wide.u32 %qd, %a, %b;", 64, w,
         [](uint64_t a, uint64_t b, uint64_t) { return a * b; });
  expect("mul.wide.s32", "mul.wide.s32 %qd, %a, %b;", 64, w, [](uint64_t a, uint64_t b, uint64_t) {
    return uint64_t(int64_t(int32_t(a)) * int32_t(b));
  });
  expect("mul.wide.u16", "mul.wide.u16 %d, %ha, %hb;", 32, integers(2),
         [](uint64_t a, uint64_t b, uint64_t) { return a * b; });
  expect("mad.wide.u32", "mad.wide.u32 %qd, %a, %b, %qc;", 64, w,
         [](uint64_t a, uint64_t b, uint64_t c) { return a * b + c; });
  expect("mad.hi.u32", "mad.hi.u32 %d, %a, %b, %c;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t c) { return (a * b >> 32) + c; });
  auto clamp = [](int64_t v) {
    return uint64_t(uint32_t(v < INT32_MIN ? INT32_MIN : v > INT32_MAX ? INT32_MAX : v));
  };
  expect("add.sat.s32", "add.sat.s32 %d, %a, %b;", 32, w,
         [&](uint64_t a, uint64_t b, uint64_t) { return clamp(int64_t(int32_t(a)) + int32_t(b)); });
  expect("sub.sat.s32", "sub.sat.s32 %d, %a, %b;", 32, w,
         [&](uint64_t a, uint64_t b, uint64_t) { return clamp(int64_t(int32_t(a)) - int32_t(b)); });
  // A 64-bit sum and difference in 32-bit halves: a is the low word, b the high word of x; c of y,
  // twice.
  expect("add.cc addc",
         "{ .reg .b32 l, h; add.cc.u32 l, %a, %c; addc.u32 h, %b, %c; mov.b64 %qd, {l, h}; }", 64,
         w, [](uint64_t a, uint64_t b, uint64_t c) { return (b << 32 | a) + (c << 32 | c); });
  // The flag is the carry of a + ~b + 1, which nvcc's division of 128 bits reads by addc.
  expect("addc after sub.cc", "{ .reg .b32 l; sub.cc.u32 l, %a, %b; addc.u32 %d, 0, 0; }", 32,
         integers(4),
         [](uint64_t a, uint64_t b, uint64_t) { return uint64_t(uint32_t(a) >= uint32_t(b)); });
  expect("sub.cc subc",
         "{ .reg .b32 l, h; sub.cc.u32 l, %a, %c; subc.u32 h, %b, %c; mov.b64 %qd, {l, h}; }", 64,
         w, [](uint64_t a, uint64_t b, uint64_t c) { return (b << 32 | a) - (c << 32 | c); });
  expect("mad.lo.cc madc.hi",
         "{ .reg .b32 l, h; mad.lo.cc.u32 l, %a, %b, %c; madc.hi.u32 h, %a, %b, 0; mov.b64 %qd, "
         "{l, h}; }",
         64, w, [](uint64_t a, uint64_t b, uint64_t c) { return a * b + c; });
  expect("mul24.lo.u32", "mul24.lo.u32 %d, %a, %b;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) { return (a & 0xffffff) * (b & 0xffffff); });
  expect("abs.s32", "abs.s32 %d, %a;", 32, w,
         [](uint64_t a, uint64_t, uint64_t) { return int32_t(a) < 0 ? 0 - a : a; });
  expect("neg.s64", "neg.s64 %qd, %qa;", 64, integers(8),
         [](uint64_t a, uint64_t, uint64_t) { return 0 - a; });
}

PTX_TEST(integer_bits) {
  const auto w = integers(4), q = integers(8);
  expect("and.b32", "and.b32 %d, %a, %b;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) { return a & b; });
  expect("or.b16", "or.b16 %hd, %ha, %hb;", 16, w,
         [](uint64_t a, uint64_t b, uint64_t) { return a | b; });
  expect("xor.b64", "xor.b64 %qd, %qa, %qb;", 64, q,
         [](uint64_t a, uint64_t b, uint64_t) { return a ^ b; });
  expect("not.b32", "not.b32 %d, %a;", 32, w, [](uint64_t a, uint64_t, uint64_t) { return ~a; });
  expect("cnot.b32", "cnot.b32 %d, %a;", 32, w,
         [](uint64_t a, uint64_t, uint64_t) { return uint64_t(a == 0); });
  expect("shl.b32", "shl.b32 %d, %a, %b;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) { return b > 31 ? 0 : a << b; });
  expect("shl.b16", "shl.b16 %hd, %ha, %b;", 16, w,
         [](uint64_t a, uint64_t b, uint64_t) { return b > 15 ? 0 : a << b; });
  expect("shl.b64", "shl.b64 %qd, %qa, %b;", 64, q,
         [](uint64_t a, uint64_t b, uint64_t) { return uint32_t(b) > 63 ? 0 : a << uint32_t(b); });
  expect("popc.b32", "popc.b32 %d, %a;", 32, w,
         [](uint64_t a, uint64_t, uint64_t) { return uint64_t(__builtin_popcountll(a)); });
  expect("popc.b64", "popc.b64 %d, %qa;", 32, q,
         [](uint64_t a, uint64_t, uint64_t) { return uint64_t(__builtin_popcountll(a)); });
  expect("clz.b32", "clz.b32 %d, %a;", 32, w,
         [](uint64_t a, uint64_t, uint64_t) { return a ? uint64_t(__builtin_clzll(a) - 32) : 32; });
  expect("clz.b64", "clz.b64 %d, %qa;", 32, q,
         [](uint64_t a, uint64_t, uint64_t) { return a ? uint64_t(__builtin_clzll(a)) : 64; });
  expect("brev.b32", "brev.b32 %d, %a;", 32, w, [](uint64_t a, uint64_t, uint64_t) {
    uint64_t r = 0;
    for (int k = 0; k < 32; ++k) r = r << 1 | ((a >> k) & 1);
    return r;
  });
  // bfind: position of the leading bit that differs from the sign, all ones when there is none.
  expect("bfind.u32", "bfind.u32 %d, %a;", 32, w, [](uint64_t a, uint64_t, uint64_t) {
    return a ? uint64_t(63 - __builtin_clzll(a)) : ~uint64_t(0);
  });
  expect("bfind.shiftamt.s32", "bfind.shiftamt.s32 %d, %a;", 32, w,
         [](uint64_t a, uint64_t, uint64_t) {
           for (int k = 31; k >= 0; --k)
             if (((a >> k) & 1) != (a >> 31)) return uint64_t(31 - k);
           return ~uint64_t(0);
         });
  // bfe and bfi: the manual's pseudo code, bit by bit.
  auto bfe = [](uint64_t a, uint64_t b, uint64_t c, int width, bool sign) {
    const int pos = int(b & 255), len = int(c & 255), msb = width - 1;
    const bool bit = !sign || !len ? false : (a >> std::min(pos + len - 1, msb)) & 1;
    uint64_t d = 0;
    for (int k = 0; k <= msb; ++k)
      d |= uint64_t(k < len && pos + k <= msb ? (a >> (pos + k)) & 1 : bit) << k;
    return d;
  };
  expect("bfe.u32", "bfe.u32 %d, %a, %b, %c;", 32, w,
         [&](uint64_t a, uint64_t b, uint64_t c) { return bfe(a, b, c, 32, false); });
  expect("bfe.s32", "bfe.s32 %d, %a, %b, %c;", 32, w,
         [&](uint64_t a, uint64_t b, uint64_t c) { return bfe(a, b, c, 32, true); });
  expect("bfe.s64", "bfe.s64 %qd, %qa, %b, %c;", 64, q,
         [&](uint64_t a, uint64_t b, uint64_t c) { return bfe(a, b, c, 64, true); });
  expect("bfi.b32", "bfi.b32 %d, %a, %b, %c, 5;", 32, w, [](uint64_t a, uint64_t b, uint64_t c) {
    uint64_t f = b;
    for (int k = 0; k < 5 && int(c & 255) + k <= 31; ++k) {
      const int at = int(c & 255) + k;
      f = (f & ~(uint64_t(1) << at)) | ((a >> k) & 1) << at;
    }
    return f;
  });
  expect("bmsk.clamp.b32", "bmsk.clamp.b32 %d, %a, %b;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) {
           uint64_t d = 0;
           for (uint64_t k = 0; k < 32; ++k) d |= uint64_t(k >= a && k - a < b) << k;
           return d;
         });
  expect("szext.wrap.s32", "szext.wrap.s32 %d, %a, %b;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) {
           const int n = int(b & 31);
           return n ? uint64_t(uint32_t(int32_t(uint32_t(a) << (32 - n)) >> (32 - n))) : 0;
         });
  for (bool left : {true, false}) {
    for (bool wrap : {true, false}) {
      const std::string op =
          std::string("shf.") + (left ? "l." : "r.") + (wrap ? "wrap" : "clamp") + ".b32";
      expect(op, op + " %d, %a, %b, %c;", 32, w, [=](uint64_t a, uint64_t b, uint64_t c) {
        const uint64_t n = wrap ? c & 31 : std::min<uint64_t>(c, 32), both = b << 32 | a;
        return left ? (both << n) >> 32 : both >> n;
      });
    }
  }
  // prmt: each selector nibble takes a byte of {b, a}; its top bit replicates the byte's sign.
  expect("prmt.b32", "prmt.b32 %d, %a, %b, %c;", 32, w, [](uint64_t a, uint64_t b, uint64_t c) {
    uint64_t d = 0;
    for (int k = 0; k < 4; ++k) {
      const uint64_t s = c >> (4 * k), byte = (b << 32 | a) >> (8 * (s & 7)) & 255;
      d |= (s & 8 ? (byte & 128 ? 255 : 0) : byte) << (8 * k);
    }
    return d;
  });
  // Modes of prmt for c = 1, from the manual's table, with a = 03020100 and b = 07060504.
  const std::vector<Operands> one = {{0x03020100, 0x07060504, 1}};
  const struct {
    const char* mode;
    uint32_t want;
  } modes[] = {{"f4e", 0x04030201}, {"b4e", 0x06070001}, {"rc8", 0x01010101},
               {"ecl", 0x03020101}, {"ecr", 0x01010100}, {"rc16", 0x03020302}};
  for (auto& m : modes)
    expect(std::string("prmt.b32.") + m.mode,
           std::string("prmt.b32.") + m.mode + " %d, %a, %b, %c;", 32, one,
           [&](uint64_t, uint64_t, uint64_t) { return uint64_t(m.want); });
  for (int table : {0x00, 0x96, 0xe8, 0x1a, 0x80, 0xfe, 0xb1}) {
    expect(
        "lop3 " + std::to_string(table), "lop3.b32 %d, %a, %b, %c, " + std::to_string(table) + ";",
        32, w, [table](uint64_t a, uint64_t b, uint64_t c) {
          uint64_t d = 0;
          for (int k = 0; k < 32; ++k)
            d |= uint64_t((table >> (((a >> k) & 1) * 4 + ((b >> k) & 1) * 2 + ((c >> k) & 1))) & 1)
                 << k;
          return d;
        });
  }
  expect("dp4a.s32.u32", "dp4a.s32.u32 %d, %a, %b, %c;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t c) {
           for (int k = 0; k < 4; ++k)
             c += uint64_t(int64_t(int8_t(a >> 8 * k)) * uint8_t(b >> 8 * k));
           return c;
         });
  expect("dp4a.u32.u32", "dp4a.u32.u32 %d, %a, %b, %c;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t c) {
           for (int k = 0; k < 4; ++k) c += uint64_t(uint8_t(a >> 8 * k)) * uint8_t(b >> 8 * k);
           return c;
         });
  expect("dp2a.hi.s32.s32", "dp2a.hi.s32.s32 %d, %a, %b, %c;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t c) {
           for (int k = 0; k < 2; ++k)
             c += uint64_t(int64_t(int16_t(a >> 16 * k)) * int8_t(b >> (16 + 8 * k)));
           return c;
         });
}

PTX_TEST(selection_and_predicates) {
  const auto w = integers(4), q = integers(8);
  expect("selp.b32", "selp.b32 %d, %a, %b, %pa;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) { return a & 1 ? a : b; });
  expect("selp.b64", "selp.b64 %qd, %qa, %qb, %pa;", 64, q,
         [](uint64_t a, uint64_t b, uint64_t) { return a & 1 ? a : b; });
  expect("selp.b16", "selp.b16 %hd, %ha, %hb, %pa;", 16, w,
         [](uint64_t a, uint64_t b, uint64_t) { return a & 1 ? a : b; });
  expect("slct.s32", "slct.b32.s32 %d, %a, %b, %c;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t c) { return int32_t(c) >= 0 ? a : b; });
  expect("setp.and", "setp.lt.and.u32 %pd, %a, %b, !%pa;", 1, w,
         [](uint64_t a, uint64_t b, uint64_t) { return uint64_t(a < b && !(a & 1)); });
  // p|q: the second predicate takes the negated comparison.
  expect("setp p|q", "{ .reg .pred x; setp.lt.or.u32 x|%pd, %a, %b, %pa; }", 1, w,
         [](uint64_t a, uint64_t b, uint64_t) { return uint64_t(!(a < b) || (a & 1)); });
  expect("set.u32", "set.ge.u32.s32 %d, %a, %b;", 32, w, [](uint64_t a, uint64_t b, uint64_t) {
    return int32_t(a) >= int32_t(b) ? ~uint64_t(0) : 0;
  });
  expect("set.f32", "set.lt.f32.u32 %d, %a, %b;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) { return a < b ? f32(1) : 0; });
  expect("pred logic",
         "{ .reg .pred x, y; setp.lt.u32 x, %a, %b; and.pred y, x, %pa; xor.pred y, y, x; not.pred "
         "y, y; "
         "or.pred %pd, y, %pa; }",
         1, w, [](uint64_t a, uint64_t b, uint64_t) {
           const bool x = a < b, p = a & 1;
           return uint64_t(!((x && p) != x) || p);
         });
  expect("guards", "mov.u32 %d, %b; @%pa mov.u32 %d, %a; @!%pa add.u32 %d, %d, 1;", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) { return a & 1 ? a : b + 1; });
  expect("mov packing",
         "{ .reg .b16 l, h; .reg .b32 x, y; mov.b32 {l, h}, %a; mov.b32 x, {h, l}; mov.b64 {_, y}, "
         "%qb; "
         "mov.b64 %qd, {x, y}; }",
         64, q, [](uint64_t a, uint64_t b, uint64_t) {
           return (b >> 32) << 32 | uint32_t(uint32_t(a) << 16 | uint32_t(a) >> 16);
         });
  expect("set.b16 lo", "setp.lo.u16 %pd, %ha, %hb;", 1, integers(2),
         [](uint64_t a, uint64_t b, uint64_t) { return uint64_t(a < b); });
}
