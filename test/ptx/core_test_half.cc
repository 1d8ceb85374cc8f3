// float16 and bfloat16 arithmetic. Every pair of halves is exact in float64, sums and products too
// (fma in long double with 64 bits, checked for ties), so a single rounding by search gives the
// expected bits.
#include <cmath>

#include "core_test.h"

using namespace test;

namespace {

double up(uint16_t h, bool brain) {
  if (brain) return as_f32(uint64_t(h) << 16);
  const int e = (h >> 10) & 31, m = h & 1023;
  const double v = e == 31 ? (m ? NAN : INFINITY)
                   : e     ? std::ldexp(1024.0 + m, e - 25)
                           : std::ldexp(double(m), -24);
  return h & 0x8000 ? -v : v;
}

// Nearest even by comparing with both neighbours; `rest` says on which side of v the exact value
// lies.
uint16_t nearest(double v, double rest, bool brain) {
  if (v != v) return 0x7fff;
  const uint16_t sign = std::signbit(v) ? 0x8000 : 0, infinity = brain ? 0x7f80 : 0x7c00;
  const double a = std::fabs(v), beyond = sign ? -rest : rest;
  uint32_t low = 0, high = infinity;
  if (std::isinf(v)) return sign | infinity;
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (up(uint16_t(middle), brain) <= a ? low : high) = middle;
  }
  const double below = up(uint16_t(low), brain);
  const double above =
      high == infinity ? 2 * below - up(uint16_t(low - 1), brain) : up(uint16_t(high), brain);
  const double left = a - below, right = above - a;
  const bool away = left > right || (left == right && (beyond > 0 || (beyond == 0 && (low & 1))));
  return uint16_t(sign | (away ? high : low));
}

std::vector<Operands> halves(bool brain) {
  std::vector<Operands> out;
  Random random;
  const uint16_t corners[] = {0,      0x8000, 1,      0x8001, 0x3ff,  0x400,  0x3c00,
                              0xbc00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x3f80,
                              0x7f7f, 0x7f80, 0xff80, 0x7fc0, 0x3555};
  for (uint16_t a : corners)
    for (uint16_t b : corners)
      for (uint16_t c : {0, 0x3c00, 0x8001, 0x7bff, 0x3f80}) out.push_back({a, b, uint64_t(c)});
  for (int k = 0; k < 60000; ++k) {
    const uint64_t r = random.next();
    uint64_t a = r & 0xffff, b = (r >> 16) & 0xffff, c = (r >> 32) & 0xffff;
    if (brain && k & 1)
      a = (a & 0x807f) | 0x3f80, b = (b & 0x807f) | 0x3f00,
      c = (c & 0x807f) | (0x3f80 - ((r >> 50) % 40) * 0x80);
    out.push_back({a, b, c});
  }
  return out;
}

}  // namespace

PTX_TEST(half_arithmetic) {
  for (bool brain : {false, true}) {
    const auto sets = halves(brain);
    const std::string t = brain ? ".bf16" : ".f16";
    auto two = [&](const std::string& op, double (*f)(double, double)) {
      expect(op + t, op + t + " %hd, %ha, %hb;", 16, sets, [=](uint64_t a, uint64_t b, uint64_t) {
        const double x = up(uint16_t(a), brain), y = up(uint16_t(b), brain), r = f(x, y);
        // The sum of two bfloat16 may need more bits than a double has: the error tells the side.
        double rest = 0;
        if (op == "add" || op == "sub") {
          const double z = op == "add" ? y : -y, s = r - x;
          rest = (x - (r - s)) + (z - s);
          if (rest != rest) rest = 0;
        }
        return uint64_t(nearest(r, rest, brain));
      });
    };
    two("add", [](double a, double b) { return a + b; });
    two("sub", [](double a, double b) { return a - b; });
    two("mul", [](double a, double b) { return a * b; });
    expect("fma.rn" + t, "fma.rn" + t + " %hd, %ha, %hb, %hc;", 16, sets,
           [=](uint64_t a, uint64_t b, uint64_t c) {
             const double p = up(uint16_t(a), brain) * up(uint16_t(b), brain),
                          z = up(uint16_t(c), brain), r = p + z, s = r - p;
             double rest = (p - (r - s)) + (z - s);
             if (rest != rest) rest = 0;
             return uint64_t(nearest(r, rest, brain));
           });
    expect("fma.rn.relu" + t, "fma.rn.relu" + t + " %hd, %ha, %hb, %hc;", 16, sets,
           [=](uint64_t a, uint64_t b, uint64_t c) {
             const double p = up(uint16_t(a), brain) * up(uint16_t(b), brain),
                          z = up(uint16_t(c), brain), r = p + z, s = r - p;
             double rest = (p - (r - s)) + (z - s);
             if (rest != rest) rest = 0;
             return r != r ? uint64_t(0x7fff) : r > 0 ? uint64_t(nearest(r, rest, brain)) : 0;
           });
    expect("max" + t, "max" + t + " %hd, %ha, %hb;", 16, sets,
           [=](uint64_t a, uint64_t b, uint64_t) {
             const double x = up(uint16_t(a), brain), y = up(uint16_t(b), brain);
             if (x != x || y != y) return x == x ? a : y == y ? b : uint64_t(0x7fff);
             return x == y ? (std::signbit(x) ? b : a) : x > y ? a : b;
           });
    expect("min.NaN" + t, "min.NaN" + t + " %hd, %ha, %hb;", 16, sets,
           [=](uint64_t a, uint64_t b, uint64_t) {
             const double x = up(uint16_t(a), brain), y = up(uint16_t(b), brain);
             if (x != x || y != y) return uint64_t(0x7fff);
             return x == y ? (std::signbit(x) ? a : b) : x < y ? a : b;
           });
    expect("neg" + t, "neg" + t + " %hd, %ha;", 16, sets,
           [](uint64_t a, uint64_t, uint64_t) { return a ^ 0x8000; });
    expect("setp.ltu" + t, "setp.ltu" + t + " %pd, %ha, %hb;", 1, sets,
           [=](uint64_t a, uint64_t b, uint64_t) {
             return uint64_t(!(up(uint16_t(a), brain) >= up(uint16_t(b), brain)));
           });
  }
}

PTX_TEST(half_pairs) {
  for (bool brain : {false, true}) {
    auto sets = halves(brain);
    const std::string t = brain ? ".bf16x2" : ".f16x2";
    for (size_t k = 0; k < sets.size(); ++k)
      for (size_t j = 0; j < 3; ++j)
        sets[k][j] |= sets[(k * 31 + j * 7 + 5) % sets.size()][(j + 1) % 3] << 16 & 0xffff0000;
    auto each = [brain](uint64_t a, uint64_t b, uint64_t c, auto f) {
      return f(uint16_t(a >> 16), uint16_t(b >> 16), uint16_t(c >> 16), brain) << 16 |
             f(uint16_t(a), uint16_t(b), uint16_t(c), brain);
    };
    expect("mul" + t, "mul" + t + " %d, %a, %b;", 32, sets,
           [&](uint64_t a, uint64_t b, uint64_t c) {
             return each(a, b, c, [](uint16_t x, uint16_t y, uint16_t, bool br) {
               return uint64_t(nearest(up(x, br) * up(y, br), 0, br));
             });
           });
    expect("fma.rn" + t, "fma.rn" + t + " %d, %a, %b, %c;", 32, sets,
           [&](uint64_t a, uint64_t b, uint64_t c) {
             return each(a, b, c, [](uint16_t x, uint16_t y, uint16_t w, bool br) {
               const double p = up(x, br) * up(y, br), z = up(w, br), r = p + z, s = r - p;
               double rest = (p - (r - s)) + (z - s);
               if (rest != rest) rest = 0;
               return uint64_t(nearest(r, rest, br));
             });
           });
    expect("set.gt" + t, "set.gt.u32" + t + " %d, %a, %b;", 32, sets,
           [&](uint64_t a, uint64_t b, uint64_t c) {
             return each(a, b, c, [](uint16_t x, uint16_t y, uint16_t, bool br) {
               return uint64_t(up(x, br) > up(y, br) ? 0xffff : 0);
             });
           });
    expect("setp.eq" + t, "{ .reg .pred x, y; setp.eq" + t + " x|y, %a, %b; xor.pred %pd, x, y; }",
           1, sets, [&](uint64_t a, uint64_t b, uint64_t) {
             return uint64_t((up(uint16_t(a), brain) == up(uint16_t(b), brain)) !=
                             (up(uint16_t(a >> 16), brain) == up(uint16_t(b >> 16), brain)));
           });
  }
}

PTX_TEST(half_approximations) {
  std::vector<Operands> sets;
  for (uint64_t k = 0; k < 65536; ++k) sets.push_back({k, 0, 0});
  for (bool brain : {false, true}) {
    // ex2 and tanh of halves: the manual allows 2^-9.9 and 2^-10.987 (f16), 2^-7 and 2^-8 (bf16)
    // relative: one unit.
    const std::string t = brain ? ".bf16" : ".f16";
    for (std::string op :
         {std::string("tanh.approx"), std::string(brain ? "ex2.approx.ftz" : "ex2.approx")}) {
      const auto got = evaluate(op + t + " %hd, %ha;", 16, sets);
      bool ok = true;
      uint64_t where = 0;
      for (uint64_t k = 0; k < 65536; ++k) {
        const double v = up(uint16_t(k), brain), want = op[0] == 't' ? std::tanh(v) : std::exp2(v),
                     is = up(uint16_t(got[k]), brain);
        const double bound =
            std::fabs(want) * (brain ? 0x1p-7 : 0x1p-9) + (brain ? 1.2e-38 : 0x1p-24);
        if (want != want ? is == is
                         : !(is == want || std::fabs(is - want) <= bound ||
                             (std::isinf(is) && want >= (brain ? 3.38e38 : 65504))))
          ok = false, where = k;
      }
      report(ok, op + t, "wrong for " + std::to_string(where));
    }
  }
}
