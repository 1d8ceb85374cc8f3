// float32 and float64: the four roundings, .ftz, .sat, NaN, minimum and maximum, approximations.
#include <cfenv>

#include "core_test.h"

using namespace test;

// NaN results of float32 arithmetic are 0x7fffffff (manual, "Floating-Point Instructions").
static uint64_t canonical(float v) { return v != v ? 0x7fffffffu : f32(v); }
static float flush(float v) {
  return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.f, v) : v;
}

struct Mode {
  const char* name;
  int round;
};
static const Mode modes[] = {
    {".rn", FE_TONEAREST}, {".rz", FE_TOWARDZERO}, {".rm", FE_DOWNWARD}, {".rp", FE_UPWARD}};

// The oracle computes in the same rounding mode on single volatile values, so that no compiler
// moves or folds it.
template <class T>
static T rounded(int mode, T (*f)(T, T, T), T a, T b, T c) {
  volatile T x = a, y = b, z = c;
  std::fesetround(mode);
  volatile T r = f(x, y, z);
  std::fesetround(FE_TONEAREST);
  return r;
}
template <class T>
static T sum(T a, T b, T) {
  volatile T r = a + b;
  return r;
}
template <class T>
static T difference(T a, T b, T) {
  volatile T r = a - b;
  return r;
}
template <class T>
static T product(T a, T b, T) {
  volatile T r = a * b;
  return r;
}
template <class T>
static T quotient(T a, T b, T) {
  volatile T r = a / b;
  return r;
}
template <class T>
static T fused(T a, T b, T c) {
  return std::fma(a, b, c);
}
template <class T>
static T root(T a, T, T) {
  return std::sqrt(a);
}
template <class T>
static T inverse(T a, T, T) {
  volatile T r = T(1) / a;
  return r;
}

PTX_TEST(float32_arithmetic) {
  const auto sets = floats();
  const struct {
    const char* op;
    float (*f)(float, float, float);
    int sources;
    bool bare;
  } ops[] = {{"add", sum, 2, true},     {"sub", difference, 2, true}, {"mul", product, 2, true},
             {"fma", fused, 3, false},  {"div", quotient, 2, false},  {"sqrt", root, 1, false},
             {"rcp", inverse, 1, false}};
  for (auto& o : ops) {
    for (int z = 0; z < 2; ++z) {
      auto one = [&](const std::string& name, int round) {
        const char* sources[] = {"", "%a", "%a, %b", "%a, %b, %c"};
        expect(name, name + " %d, " + sources[o.sources] + ";", 32, sets,
               [&, z, round](uint64_t a, uint64_t b, uint64_t c) {
                 float x = as_f32(a), y = as_f32(b), w = as_f32(c);
                 if (z) x = flush(x), y = flush(y), w = flush(w);
                 float r = rounded(round, o.f, x, y, w);
                 return canonical(z ? flush(r) : r);
               });
      };
      const std::string end = z ? ".ftz.f32" : ".f32";
      if (o.bare) one(o.op + end, FE_TONEAREST);
      for (auto& m : modes) one(o.op + std::string(m.name) + end, m.round);
    }
  }
  auto saturate = [](float v) {
    return v > 0 ? f32(v < 1 ? v : 1.f) : uint64_t(0);
  };  // NaN becomes +0
  expect("add.sat.f32", "add.sat.f32 %d, %a, %b;", 32, sets,
         [&](uint64_t a, uint64_t b, uint64_t) { return saturate(as_f32(a) + as_f32(b)); });
  expect("fma.rn.sat.f32", "fma.rn.sat.f32 %d, %a, %b, %c;", 32, sets,
         [&](uint64_t a, uint64_t b, uint64_t c) {
           return saturate(std::fma(as_f32(a), as_f32(b), as_f32(c)));
         });
  expect("neg.ftz.f32", "neg.ftz.f32 %d, %a;", 32, floats(0),
         [](uint64_t a, uint64_t, uint64_t) { return f32(-flush(as_f32(a))); });
  expect("abs.f32", "abs.f32 %d, %a;", 32, sets,
         [](uint64_t a, uint64_t, uint64_t) { return a & 0x7fffffff; });
  // copysign: the sign of a, the magnitude of b.
  expect("copysign.f32", "copysign.f32 %d, %a, %b;", 32, sets,
         [](uint64_t a, uint64_t b, uint64_t) { return (a & 0x80000000) | (b & 0x7fffffff); });
}

// min, max: NaN loses to a number (with .NaN it wins), -0 < +0; two NaN give the canonical one.
static uint64_t pick(float a, float b, bool greater, bool nan) {
  if (a != a || b != b) return nan || (a != a && b != b) ? 0x7fffffffu : f32(a != a ? b : a);
  if (a == b) return f32(std::signbit(a) == greater ? b : a);
  return f32((a > b) == greater ? a : b);
}

PTX_TEST(float32_minimum_maximum) {
  const auto sets = floats();
  for (int k = 0; k < 8; ++k) {
    const bool greater = k & 1, nan = k & 2, z = k & 4;
    const std::string op =
        std::string(greater ? "max" : "min") + (z ? ".ftz" : "") + (nan ? ".NaN" : "") + ".f32";
    expect(op, op + " %d, %a, %b;", 32, sets, [=](uint64_t a, uint64_t b, uint64_t) {
      return z ? pick(flush(as_f32(a)), flush(as_f32(b)), greater, nan)
               : pick(as_f32(a), as_f32(b), greater, nan);
    });
  }
  expect("max of three", "max.f32 %d, %a, %b, %c;", 32, sets,
         [](uint64_t a, uint64_t b, uint64_t c) {
           return pick(as_f32(pick(as_f32(a), as_f32(b), true, false)), as_f32(c), true, false);
         });
  // .xorsign.abs: the smaller magnitude with the exclusive or of both signs.
  expect("min.xorsign.abs.f32", "min.xorsign.abs.f32 %d, %a, %b;", 32, sets,
         [](uint64_t a, uint64_t b, uint64_t) {
           const uint64_t r = pick(std::fabs(as_f32(a)), std::fabs(as_f32(b)), false, false);
           return as_f32(r) != as_f32(r) ? r : r | ((a ^ b) & 0x80000000);
         });
}

PTX_TEST(float_comparisons) {
  const struct {
    const char* op;
    int less, equal, greater, unordered;
  } ops[] = {{"eq", 0, 1, 0, 0},  {"ne", 1, 0, 1, 0},  {"lt", 1, 0, 0, 0},  {"le", 1, 1, 0, 0},
             {"gt", 0, 0, 1, 0},  {"ge", 0, 1, 1, 0},  {"equ", 0, 1, 0, 1}, {"neu", 1, 0, 1, 1},
             {"ltu", 1, 0, 0, 1}, {"leu", 1, 1, 0, 1}, {"gtu", 0, 0, 1, 1}, {"geu", 0, 1, 1, 1},
             {"num", 1, 1, 1, 0}, {"nan", 0, 0, 0, 1}};
  for (auto& o : ops) {
    auto answer = [&o](double a, double b) {
      return uint64_t(a != a || b != b ? o.unordered
                      : a < b          ? o.less
                      : a > b          ? o.greater
                                       : o.equal);
    };
    const std::string head = std::string("setp.") + o.op;
    expect(head + ".f32", head + ".f32 %pd, %a, %b;", 1, floats(500),
           [&](uint64_t a, uint64_t b, uint64_t) { return answer(as_f32(a), as_f32(b)); });
    expect(head + ".ftz.f32", head + ".ftz.f32 %pd, %a, %b;", 1, floats(500),
           [&](uint64_t a, uint64_t b, uint64_t) {
             return answer(flush(as_f32(a)), flush(as_f32(b)));
           });
    expect(head + ".f64", head + ".f64 %pd, %qa, %qb;", 1, doubles(500),
           [&](uint64_t a, uint64_t b, uint64_t) { return answer(as_f64(a), as_f64(b)); });
  }
  const struct {
    const char* kind;
    int classes[5];
  } tests[] = {// NaN, infinite, zero, subnormal, normal
               {"finite", {0, 0, 1, 1, 1}}, {"infinite", {0, 1, 0, 0, 0}},
               {"number", {0, 1, 1, 1, 1}}, {"notanumber", {1, 0, 0, 0, 0}},
               {"normal", {0, 0, 1, 0, 1}}, {"subnormal", {0, 0, 0, 1, 0}}};
  for (auto& t : tests) {
    const std::string op = std::string("testp.") + t.kind + ".f32";
    expect(op, op + " %pd, %a;", 1, floats(500), [&](uint64_t a, uint64_t, uint64_t) {
      switch (std::fpclassify(as_f32(a))) {
        case FP_NAN:
          return uint64_t(t.classes[0]);
        case FP_INFINITE:
          return uint64_t(t.classes[1]);
        case FP_ZERO:
          return uint64_t(t.classes[2]);
        case FP_SUBNORMAL:
          return uint64_t(t.classes[3]);
        default:
          return uint64_t(t.classes[4]);
      }
    });
  }
}

PTX_TEST(float64_arithmetic) {
  const auto sets = doubles();
  const struct {
    const char* op;
    double (*f)(double, double, double);
    int sources;
  } ops[] = {{"add", sum, 2},      {"sub", difference, 2}, {"mul", product, 2}, {"fma", fused, 3},
             {"div", quotient, 2}, {"sqrt", root, 1},      {"rcp", inverse, 1}};
  for (auto& o : ops) {
    for (auto& m : modes) {
      const std::string name = o.op + std::string(m.name) + ".f64";
      const char* sources[] = {"", "%qa", "%qa, %qb", "%qa, %qb, %qc"};
      // NaN payloads are not promised: any NaN will do.
      expect(name,
             "{ .reg .pred x; " + name + " %qd, " + sources[o.sources] +
                 "; setp.nan.f64 x, %qd, %qd; @x mov.b64 %qd, 1; }",
             64, sets, [&](uint64_t a, uint64_t b, uint64_t c) {
               const double r = rounded(m.round, o.f, as_f64(a), as_f64(b), as_f64(c));
               return r != r ? uint64_t(1) : f64(r);
             });
    }
  }
  expect("max.f64", "max.f64 %qd, %qa, %qb;", 64, doubles(500),
         [](uint64_t a, uint64_t b, uint64_t) {
           const double x = as_f64(a), y = as_f64(b);
           return x != x ? b : y != y ? a : x == y ? (std::signbit(x) ? b : a) : x > y ? a : b;
         });
}

// Bounds of the manual: ex2 2^-22.5 relative (2 ulp), lg2 absolute 2^-22 near 1 and 1 ulp
// elsewhere, rcp 1 ulp, sqrt and rsqrt 2^-22.9 relative, div 2 ulp, sin and cos 2^-20.9 absolute in
// [-pi, pi], tanh 2^-11 relative.
PTX_TEST(approximations) {
  auto keep = [](const std::vector<Operands>& all, float low, float high) {
    std::vector<Operands> out;
    for (auto& s : all)
      if (as_f32(s[0]) >= low && as_f32(s[0]) <= high) out.push_back(s);
    return out;
  };
  const auto all = floats();
  auto near = [&](const std::string& op, const std::vector<Operands>& sets, double ulps,
                  double absolute, double (*f)(double, double)) {
    expect_near(op, op + " %d, %a" + (op.find("div") == 0 ? ", %b;" : ";"), sets, ulps, absolute,
                [f](float a, float b) { return f(a, b); });
  };
  auto moderate = [&] {
    std::vector<Operands> out;
    for (auto& s : all)
      if (std::fabs(as_f32(s[1])) < 0x1p126f && std::fabs(as_f32(s[1])) > 0x1p-126f)
        out.push_back(s);
    return out;
  }();
  near("ex2.approx.f32", all, 2, 0, [](double a, double) { return std::exp2(a); });
  near("ex2.approx.ftz.f32", keep(all, -100, 200), 2, 1.2e-38,
       [](double a, double) { return std::exp2(a); });
  near("lg2.approx.f32", keep(all, 1e-44f, INFINITY), 1, 2.4e-7,
       [](double a, double) { return std::log2(a); });
  near("rcp.approx.f32", all, 1, 0, [](double a, double) { return 1 / a; });
  near("rsqrt.approx.f32", all, 1.1, 0, [](double a, double) { return 1 / std::sqrt(a); });
  near("sqrt.approx.f32", all, 1.1, 0, [](double a, double) { return std::sqrt(a); });
  near("sin.approx.f32", keep(all, -3.14f, 3.14f), 0, 5e-7,
       [](double a, double) { return std::sin(a); });
  near("cos.approx.f32", keep(all, -3.14f, 3.14f), 0, 5e-7,
       [](double a, double) { return std::cos(a); });
  near("tanh.approx.f32", all, 4096, 0, [](double a, double) { return std::tanh(a); });
  near("div.approx.f32", moderate, 2, 0, [](double a, double b) { return a / b; });
  near("div.full.f32", moderate, 2, 0, [](double a, double b) { return a / b; });
  // Corner values of the manual's tables.
  const std::vector<Operands> corners = {
      {f32(-INFINITY), 0, 0}, {f32(INFINITY), 0, 0}, {f32(0), 0, 0}, {f32(-0.f), 0, 0}};
  const struct {
    const char* op;
    uint32_t want[4];
  } tables[] = {{"ex2.approx.f32", {0, 0x7f800000, 0x3f800000, 0x3f800000}},
                {"lg2.approx.f32", {0x7fffffff, 0x7f800000, 0xff800000, 0xff800000}},
                {"rcp.approx.f32", {0x80000000, 0, 0x7f800000, 0xff800000}},
                {"rsqrt.approx.f32", {0x7fffffff, 0, 0x7f800000, 0xff800000}},
                {"sqrt.approx.f32", {0x7fffffff, 0x7f800000, 0, 0x80000000}},
                {"sin.approx.f32", {0x7fffffff, 0x7fffffff, 0, 0x80000000}},
                {"cos.approx.f32", {0x7fffffff, 0x7fffffff, 0x3f800000, 0x3f800000}}};
  for (auto& t : tables) {
    expect(std::string(t.op) + " corners", std::string(t.op) + " %d, %a;", 32, corners,
           [&](uint64_t a, uint64_t, uint64_t) {
             for (size_t k = 0; k < 4; ++k)
               if (corners[k][0] == a) return uint64_t(t.want[k]);
             return uint64_t(0);
           });
  }
  expect("rcp.approx.ftz.f64", "rcp.approx.ftz.f64 %qd, %qa;", 64,
         {{f64(4), 0, 0}, {f64(-0.5), 0, 0}},
         [](uint64_t a, uint64_t, uint64_t) { return f64(1 / as_f64(a)); });
}
