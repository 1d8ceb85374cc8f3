// cvt: exhaustive over the 16-bit types, corner values and random bits for the rest, against
// independent code here.
#include <algorithm>
#include <cfenv>
#include <limits>

#include "core_test.h"

using namespace test;

namespace {

// An independent reading of small floating-point formats: value of the bits, and rounding by search
// among neighbours.
struct Format {
  int exponent, mantissa;
};
const Format half{5, 10}, brain{8, 7};

double value_of(uint64_t bits, Format f) {
  const int bias = (1 << (f.exponent - 1)) - 1, top = (1 << f.exponent) - 1;
  const int e = int(bits >> f.mantissa) & top;
  const uint64_t m = bits & ((uint64_t(1) << f.mantissa) - 1);
  double v = e == top ? (m ? NAN : INFINITY)
             : e      ? std::ldexp(1.0 + double(m) / double(1 << f.mantissa), e - bias)
                      : std::ldexp(double(m) / double(1 << f.mantissa), 1 - bias);
  return (bits >> (f.mantissa + f.exponent)) & 1 ? -v : v;
}

enum Rounding { nearest, zero, down, up };

// The magnitude is bracketed by two neighbours, found by bisection over the ordered bit patterns.
uint64_t round_to(double v, Format f, Rounding mode) {
  if (v != v) return 0x7fff;
  const uint64_t sign = std::signbit(v) ? uint64_t(1) << (f.mantissa + f.exponent) : 0;
  const uint64_t infinity = uint64_t((1 << f.exponent) - 1) << f.mantissa;
  const double a = std::fabs(v);
  uint64_t low = 0, high = infinity;
  if (a == INFINITY) return sign | infinity;
  while (high - low > 1) {
    const uint64_t middle = (low + high) / 2;
    (value_of(middle, f) <= a ? low : high) = middle;
  }
  if (value_of(low, f) == a) return sign | low;
  bool away;
  if (mode == nearest) {
    const double below = value_of(low, f);
    const double above = high == infinity ? 2 * below - value_of(low - 1, f)
                                          : value_of(high, f);  // where the next would be
    away = a - below > above - a || (a - below == above - a && (low & 1));
  } else {
    away = mode == (sign ? down : up);
  }
  return sign | (away ? high : low);
}

const char* const names[] = {".rn", ".rz", ".rm", ".rp"};

std::vector<Operands> all16() {
  std::vector<Operands> out;
  for (uint64_t k = 0; k < 65536; ++k) out.push_back({k, 0, 0});
  return out;
}

uint64_t canonical(double v) { return v != v ? 0x7fffffffu : f32(float(v)); }

// float32 in any mode from a wider value: the neighbour on the right side.
uint64_t single(long double v, Rounding mode) {
  if (v != v) return 0x7fffffff;
  float r = float(v);
  if (mode == zero && (r > 0 ? (long double)(r) > v : (long double)(r) < v))
    r = std::nextafter(r, 0.f);
  if (mode == down && (long double)(r) > v) r = std::nextafter(r, -INFINITY);
  if (mode == up && (long double)(r) < v) r = std::nextafter(r, INFINITY);
  return f32(r);
}

}  // namespace

PTX_TEST(convert_16_bits_exhaustive) {
  const auto sets = all16();
  expect("cvt.f32.f16", "cvt.f32.f16 %d, %ha;", 32, sets,
         [](uint64_t a, uint64_t, uint64_t) { return canonical(value_of(a, half)); });
  expect("cvt.f32.bf16", "cvt.f32.bf16 %d, %ha;", 32, sets,
         [](uint64_t a, uint64_t, uint64_t) { return canonical(value_of(a, brain)); });
  // The payload of a float64 NaN is not promised.
  expect("cvt.f64.f16",
         "{ .reg .pred x; cvt.f64.f16 %qd, %ha; setp.nan.f64 x, %qd, %qd; @x mov.b64 %qd, 1; }", 64,
         sets, [](uint64_t a, uint64_t, uint64_t) {
           const double v = value_of(a, half);
           return v != v ? uint64_t(1) : f64(v);
         });
  expect("cvt.u32.u16", "cvt.u32.u16 %d, %ha;", 32, sets,
         [](uint64_t a, uint64_t, uint64_t) { return a; });
  expect("cvt.s32.s16", "cvt.s32.s16 %d, %ha;", 32, sets,
         [](uint64_t a, uint64_t, uint64_t) { return uint64_t(int64_t(int16_t(a))); });
  expect("cvt.s32.s8", "cvt.s32.s8 %d, %ha;", 32, sets,
         [](uint64_t a, uint64_t, uint64_t) { return uint64_t(int64_t(int8_t(a))); });
  expect("cvt.s16.s8", "cvt.s16.s8 %hd, %ha;", 16, sets,
         [](uint64_t a, uint64_t, uint64_t) { return uint64_t(int64_t(int8_t(a))); });
  expect("cvt.u32.u8", "cvt.u32.u8 %d, %a;", 32, sets,
         [](uint64_t a, uint64_t, uint64_t) { return a & 255; });
  expect("cvt.sat.u8.s16", "cvt.sat.u8.s16 %hd, %ha;", 16, sets,
         [](uint64_t a, uint64_t, uint64_t) {
           return uint64_t(std::min(255, std::max(0, int(int16_t(a)))));
         });
  for (int m = 0; m < 4; ++m) {
    expect(std::string("cvt f16 from u16") + names[m],
           std::string("cvt") + names[m] + ".f16.u16 %hd, %ha;", 16, sets,
           [m](uint64_t a, uint64_t, uint64_t) { return round_to(double(a), half, Rounding(m)); });
    const char* integral[] = {"rni", "rzi", "rmi", "rpi"};
    // Out of range clamps; NaN becomes 0 where no 64-bit type takes part.
    expect(std::string("cvt s16 from f16 ") + integral[m],
           std::string("cvt.") + integral[m] + ".s16.f16 %hd, %ha;", 16, sets,
           [m](uint64_t a, uint64_t, uint64_t) -> uint64_t {
             const double v = value_of(a, half);
             if (v != v) return 0;
             const double r = m == 0   ? std::nearbyint(v)
                              : m == 1 ? std::trunc(v)
                              : m == 2 ? std::floor(v)
                                       : std::ceil(v);
             return uint64_t(int64_t(std::min(32767.0, std::max(-32768.0, r))));
           });
  }
}

PTX_TEST(convert_to_halves) {
  auto sets = floats(20000);
  Random random;  // values around the halves' own grids, where ties lie
  for (int k = 0; k < 20000; ++k) {
    const uint64_t r = random.next();
    sets.push_back(
        {(r & 0xffff0000u) | (r & 1 ? 0x8000u : 0) | (r & 2 ? 1 : 0), (r >> 32) & 0xffffe000u, 0});
    sets.push_back(
        {f32(float(value_of(r & 0xffff, half)) * (1 + ((r >> 20) & 3) * 0x1p-11f)), (r >> 32), 0});
  }
  for (int m = 0; m < 2; ++m) {
    const std::string n = std::string("cvt") + names[m];
    expect(n + ".f16.f32", n + ".f16.f32 %hd, %a;", 16, sets,
           [m](uint64_t a, uint64_t, uint64_t) { return round_to(as_f32(a), half, Rounding(m)); });
    expect(n + ".bf16.f32", n + ".bf16.f32 %hd, %a;", 16, sets,
           [m](uint64_t a, uint64_t, uint64_t) { return round_to(as_f32(a), brain, Rounding(m)); });
    // Pairs: the first source becomes the upper half.
    expect(n + ".bf16x2.f32", n + ".bf16x2.f32 %d, %a, %b;", 32, sets,
           [m](uint64_t a, uint64_t b, uint64_t) {
             return round_to(as_f32(a), brain, Rounding(m)) << 16 |
                    round_to(as_f32(b), brain, Rounding(m));
           });
    expect(n + ".f16x2.f32", n + ".f16x2.f32 %d, %a, %b;", 32, sets,
           [m](uint64_t a, uint64_t b, uint64_t) {
             return round_to(as_f32(a), half, Rounding(m)) << 16 |
                    round_to(as_f32(b), half, Rounding(m));
           });
  }
  for (int m = 0; m < 4; ++m)
    expect(std::string("cvt f16 from f32") + names[m],
           std::string("cvt") + names[m] + ".f16.f32 %hd, %a;", 16, sets,
           [m](uint64_t a, uint64_t, uint64_t) { return round_to(as_f32(a), half, Rounding(m)); });
  expect("cvt.rn.relu.bf16.f32", "cvt.rn.relu.bf16.f32 %hd, %a;", 16, sets,
         [](uint64_t a, uint64_t, uint64_t) {
           const float v = as_f32(a);
           return v > 0 || v != v ? round_to(v, brain, nearest) : 0;
         });
  // tf32: 10 bits of mantissa; rna rounds ties away from zero.
  expect("cvt.rna.tf32.f32", "cvt.rna.tf32.f32 %d, %a; and.b32 %d, %d, 0xffffe000;", 32, floats(0),
         [](uint64_t a, uint64_t, uint64_t) -> uint64_t {
           const float v = as_f32(a);
           if (v != v) return 0x7fffe000;
           if (std::isinf(v)) return a;
           return (a & 0x7fffffff) + 0x1000 >= 0x7f800000 ? (a & 0x80000000) | 0x7f800000
                                                          : (a + 0x1000) & 0xffffe000;
         });
  const std::vector<Operands> fp8 = {{f32(1), f32(-2), 0},
                                     {f32(448), f32(1000), 0},
                                     {f32(0.0625f), f32(1.0625f), 0},
                                     {f32(0x1p-9f), f32(NAN), 0},
                                     {f32(1.1875f), f32(-0.f), 0}};
  // e4m3 by hand: 1 = 0x38, -2 = 0xc0; 448 and above = 0x7e; 2^-4 = 0x18, 1.0625 ties to even =
  // 0x38; 2^-9 = 0x01, NaN = 0x7f; 1.1875 ties between 1.125 (0x39) and 1.25 (0x3a) to even = 0x3a,
  // -0 = 0x80.
  const uint64_t want[] = {0x38c0, 0x7e7e, 0x1838, 0x017f, 0x3a80};
  expect("cvt e4m3x2", "cvt.rn.satfinite.e4m3x2.f32 %hd, %a, %b;", 16, fp8,
         [&](uint64_t a, uint64_t b, uint64_t) {
           for (size_t k = 0; k < fp8.size(); ++k)
             if (fp8[k][0] == a && fp8[k][1] == b) return want[k];
           return uint64_t(0);
         });
  expect("cvt.rn.f16x2.e4m3x2", "cvt.rn.f16x2.e4m3x2 %d, %ha;", 32,
         {{0x38c0, 0, 0}, {0x017e, 0, 0}}, [](uint64_t a, uint64_t, uint64_t) {
           return uint64_t(a == 0x38c0 ? 0x3c00c000 : 0x18005f00);
         });
}

PTX_TEST(convert_numbers) {
  const auto words = integers(4), longs = integers(8), reals = floats(), wide = doubles();
  const Rounding modes[] = {nearest, zero, down, up};
  for (Rounding m : modes) {
    const std::string n = std::string("cvt") + names[m];
    expect(n + ".f32.s32", n + ".f32.s32 %d, %a;", 32, words,
           [m](uint64_t a, uint64_t, uint64_t) { return single(int32_t(a), m); });
    expect(n + ".f32.u32", n + ".f32.u32 %d, %a;", 32, words,
           [m](uint64_t a, uint64_t, uint64_t) { return single(uint32_t(a), m); });
    expect(n + ".f32.u64", n + ".f32.u64 %d, %qa;", 32, longs,
           [m](uint64_t a, uint64_t, uint64_t) { return single(a, m); });
    expect(n + ".f32.s64", n + ".f32.s64 %d, %qa;", 32, longs,
           [m](uint64_t a, uint64_t, uint64_t) { return single(int64_t(a), m); });
    expect(n + ".f32.f64", n + ".f32.f64 %d, %qa;", 32, wide,
           [m](uint64_t a, uint64_t, uint64_t) { return single(as_f64(a), m); });
  }
  expect("cvt.rn.f64.u64", "cvt.rn.f64.u64 %qd, %qa;", 64, longs,
         [](uint64_t a, uint64_t, uint64_t) { return f64(double(a)); });
  expect("cvt.rn.f64.s32", "cvt.rn.f64.s32 %qd, %a;", 64, words,
         [](uint64_t a, uint64_t, uint64_t) { return f64(double(int32_t(a))); });
  expect("cvt.f64.f32",
         "{ .reg .pred x; cvt.f64.f32 %qd, %a; setp.nan.f64 x, %qd, %qd; @x mov.b64 %qd, 1; }", 64,
         reals, [](uint64_t a, uint64_t, uint64_t) {
           return as_f32(a) != as_f32(a) ? 1 : f64(as_f32(a));
         });
  const char* integral[] = {"rni", "rzi", "rmi", "rpi"};
  auto whole = [](double v, int m) {
    return m == 0   ? std::nearbyint(v)
           : m == 1 ? std::trunc(v)
           : m == 2 ? std::floor(v)
                    : std::ceil(v);
  };
  for (int m = 0; m < 4; ++m) {
    const std::string n = std::string("cvt.") + integral[m];
    expect(n + ".s32.f32", n + ".s32.f32 %d, %a;", 32, reals,
           [&](uint64_t a, uint64_t, uint64_t) -> uint64_t {
             const double v = as_f32(a);
             return v != v ? 0
                           : uint64_t(int64_t(
                                 std::min(2147483647.0, std::max(-2147483648.0, whole(v, m)))));
           });
    expect(n + ".u32.f32", n + ".u32.f32 %d, %a;", 32, reals,
           [&](uint64_t a, uint64_t, uint64_t) -> uint64_t {
             const double v = as_f32(a);
             return v != v ? 0 : uint64_t(std::min(4294967295.0, std::max(0.0, whole(v, m))));
           });
    expect(n + ".s64.f32", n + ".s64.f32 %qd, %a;", 64, reals,
           [&](uint64_t a, uint64_t, uint64_t) -> uint64_t {
             const double v = whole(as_f32(a), m);
             return v != v || v < -9.3e18        ? uint64_t(1) << 63
                    : v >= 9223372036854775808.0 ? ~uint64_t(0) >> 1
                                                 : uint64_t(int64_t(v));
           });
    expect(n + ".u64.f64", n + ".u64.f64 %qd, %qa;", 64, wide,
           [&](uint64_t a, uint64_t, uint64_t) -> uint64_t {
             const double v = whole(as_f64(a), m);
             return v != v                        ? uint64_t(1) << 63
                    : v < 0                       ? 0
                    : v >= 18446744073709551616.0 ? ~uint64_t(0)
                                                  : uint64_t(v);
           });
    expect(n + ".f32.f32", n + ".f32.f32 %d, %a;", 32, reals,
           [&](uint64_t a, uint64_t, uint64_t) { return canonical(whole(as_f32(a), m)); });
  }
  expect("cvt.rzi.ftz.s32.f32", "cvt.rpi.ftz.s32.f32 %d, %a;", 32, {{1, 0, 0}, {f32(0.5f), 0, 0}},
         [](uint64_t a, uint64_t, uint64_t) { return uint64_t(a == 1 ? 0 : 1); });
  expect("cvt.sat.f32.f32", "cvt.sat.f32.f32 %d, %a;", 32, reals,
         [](uint64_t a, uint64_t, uint64_t) {
           const float v = as_f32(a);
           return v > 0 ? f32(std::min(v, 1.f)) : uint64_t(0);
         });
  expect("cvt.u32.u64", "cvt.u32.u64 %d, %qa;", 32, longs,
         [](uint64_t a, uint64_t, uint64_t) { return a; });
  expect("cvt.s64.s32", "cvt.s64.s32 %qd, %a;", 64, words,
         [](uint64_t a, uint64_t, uint64_t) { return uint64_t(int64_t(int32_t(a))); });
  expect("cvt.sat.s32.s64", "cvt.sat.s32.s64 %d, %qa;", 32, longs,
         [](uint64_t a, uint64_t, uint64_t) {
           const int64_t v = int64_t(a);
           return uint64_t(std::min<int64_t>(INT32_MAX, std::max<int64_t>(INT32_MIN, v)));
         });
  expect("cvt.sat.u32.s32", "cvt.sat.u32.s32 %d, %a;", 32, words,
         [](uint64_t a, uint64_t, uint64_t) { return int32_t(a) < 0 ? 0 : a; });
  expect("cvt.pack.sat.s16.s32", "cvt.pack.sat.s16.s32 %d, %a, %b;", 32, words,
         [](uint64_t a, uint64_t b, uint64_t) {
           auto c = [](uint64_t x) {
             return uint64_t(uint16_t(std::min(32767, std::max(-32768, int32_t(x)))));
           };
           return c(a) << 16 | c(b);
         });
}
