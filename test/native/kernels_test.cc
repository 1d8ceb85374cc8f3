// The choice of instruction set, and every set's vector operations against the C library in double.
#include <algorithm>
#include <cfloat>

#include "test.h"
#include "vec.h"

namespace gptloom::test {

extern const VecTable vec_portable;
#if defined(__x86_64__) || defined(_M_X64)
extern const VecTable vec_avx2, vec_avx512;
#elif defined(__aarch64__) || defined(_M_ARM64)
extern const VecTable vec_neon;
#endif

namespace {

constexpr int most = 16;  // the widest vector

const VecTable& table_of(const char* isa) {
#if defined(__x86_64__) || defined(_M_X64)
  const VecTable* const tables[] = {&vec_portable, &vec_avx2, &vec_avx512};
#elif defined(__aarch64__) || defined(_M_ARM64)
  const VecTable* const tables[] = {&vec_portable, &vec_neon};
#else
  const VecTable* const tables[] = {&vec_portable};
#endif
  for (const VecTable* table : tables) {
    if (std::strcmp(table->isa, isa) == 0) return *table;
  }
  fail(format("no vector table for %s", isa));
}

void for_each_table(const std::function<void(const VecTable&)>& f) {
  const cpu::Kernels* tables[4];
  const int count = cpu::runnable_kernels(tables);
  for (int i = 0; i < count; i++) f(table_of(tables[i]->isa));
}

// Distance in units of the last place of the float nearest to `expected`.
double ulps(float actual, double expected) {
  const float nearest = static_cast<float>(expected);
  if (std::isnan(expected)) return std::isnan(actual) ? 0 : INFINITY;
  if (std::isinf(nearest)) return actual == nearest ? 0 : INFINITY;
  const float size = std::fabs(nearest);
  return std::fabs(actual - expected) / (std::nextafter(size, INFINITY) - size);
}

// f within `bound` ulps over a fine grid of [low, high].
void check_function(const VecTable& table, void (*f)(float*, const float*),
                    double (*expected)(double), float low, float high, double bound,
                    const char* what) {
  constexpr int64_t steps = 100000;
  for (int64_t i = 0; i < steps; i += table.width) {
    float x[most], out[most];
    for (int lane = 0; lane < table.width; lane++) {
      x[lane] = low + (high - low) * static_cast<float>(i + lane) / steps;
    }
    f(out, x);
    for (int lane = 0; lane < table.width; lane++) {
      const double error = ulps(out[lane], expected(x[lane]));
      if (!(error <= bound)) {
        fail(format("%s(%.9g) is %.9g, off by %g ulp [%s]", what, x[lane], out[lane], error,
                    table.isa));
      }
    }
  }
}

float at(void (*f)(float*, const float*), float x) {
  float in[most], out[most];
  std::fill_n(in, most, x);
  f(out, in);
  return out[0];
}

}  // namespace

TEST(kernels_isa_tables) {
  const cpu::Kernels* tables[4];
  const int count = cpu::runnable_kernels(tables);
  CHECK(count >= 1 && count <= 4);
  CHECK(std::strcmp(tables[count - 1]->isa, "portable") == 0);
  for (int i = 0; i < count; i++) {
    CHECK(tables[i]->width == table_of(tables[i]->isa).width);
    for (int j = 0; j < i; j++) CHECK(std::strcmp(tables[i]->isa, tables[j]->isa) != 0);
  }
}

TEST(kernels_exp) {
  for_each_table([](const VecTable& t) {
    check_function(t, t.exp, std::exp, -104.5f, 89.5f, 1.5, "exp");
    check_function(t, t.exp, std::exp, -1, 1, 1.5, "exp");
    CHECK(at(t.exp, 0) == 1 && at(t.exp, -0.0f) == 1);
    CHECK(at(t.exp, -INFINITY) == 0 && at(t.exp, -1e30f) == 0 && at(t.exp, -FLT_MAX) == 0);
    CHECK(std::isinf(at(t.exp, INFINITY)) && std::isinf(at(t.exp, FLT_MAX)));
    CHECK(std::isnan(at(t.exp, NAN)));
  });
}

TEST(kernels_power_of_2_and_reciprocal) {
  for_each_table([](const VecTable& t) {
    check_function(t, t.power_of_2, std::exp2, -126, 127.4f, 2.5, "power_of_2");
    CHECK(at(t.power_of_2, 0) == 1 && at(t.power_of_2, 7) == 128);
    CHECK(at(t.power_of_2, -INFINITY) == 0 && at(t.power_of_2, -1e30f) == 0);
    CHECK(std::isnan(at(t.power_of_2, NAN)));
    const auto inverse = [](double x) { return 1 / x; };
    check_function(t, t.reciprocal, inverse, 1, 3, 2, "reciprocal");
    for (int n = -126; n <= 126; n++) {
      const double x = std::ldexp(1.0, n);
      CHECK(ulps(at(t.reciprocal, static_cast<float>(x)), 1 / x) <= 2);
    }
    CHECK(std::isnan(at(t.reciprocal, NAN)));
  });
}

TEST(kernels_tanh_and_gelu) {
  for_each_table([](const VecTable& t) {
    check_function(t, t.tanh, std::tanh, -12, 12, 3, "tanh");
    check_function(t, t.tanh, std::tanh, -0.01f, 0.01f, 3, "tanh");
    CHECK(at(t.tanh, INFINITY) == 1 && at(t.tanh, -INFINITY) == -1 && std::isnan(at(t.tanh, NAN)));
    CHECK(at(t.tanh, 1e-30f) == 1e-30f);
    for (const Gelu form : {Gelu::tanh, Gelu::exact}) {
      const bool exact = form == Gelu::exact;
      const auto f = exact ? t.exact_gelu : t.gelu, df = exact ? t.exact_gelu_slope : t.gelu_slope;
      for (float x = -12; x < 12; x += 0.003f) {
        const float value = at(f, x), slope = at(df, x);
        const double expected_value = gelu(x, form), expected_slope = gelu_derivative(x, form);
        close(&value, &expected_value, 1, 1e-7, 1e-6, "gelu");
        close(&slope, &expected_slope, 1, 1e-6, 1e-6, "gelu'");
      }
      for (float x : {1e4f, 1e20f, FLT_MAX}) {
        CHECK(at(f, x) == x && at(f, -x) == 0);
        CHECK(at(df, x) == 1 && at(df, -x) == 0);
      }
      CHECK(std::isnan(at(f, NAN)) && std::isnan(at(df, NAN)));
    }
  });
}

TEST(kernels_lane_by_lane) {
  for_each_table([](const VecTable& t) {
    const int W = t.width;
    const std::vector<float> x = normals(4 * most, 1, 100);
    const float *a = x.data(), *b = a + W, *c = b + W, *d = c + W;
    const auto same = [&](void (*f)(float*, const float*), const char* what, auto expected) {
      float out[most];
      f(out, a);
      for (int i = 0; i < W; i++) {
        const double want = expected(i);
        close(out + i, &want, 1, 0, 6e-8, format("%s [%s]", what, t.isa));
      }
    };
    same(t.add, "+", [&](int i) { return a[i] + b[i]; });
    same(t.subtract, "-", [&](int i) { return a[i] - b[i]; });
    same(t.multiply, "*", [&](int i) { return a[i] * b[i]; });
    same(t.divide, "/", [&](int i) { return a[i] / b[i]; });
    same(t.max, "max", [&](int i) { return std::fmax(a[i], b[i]); });
    same(t.min, "min", [&](int i) { return std::fmin(a[i], b[i]); });
    same(t.copy_sign, "copy_sign", [&](int i) { return std::copysign(a[i], b[i]); });
    same(t.if_less, "if_less", [&](int i) { return a[i] < b[i] ? c[i] : d[i]; });
    same(t.round, "round", [&](int i) { return std::nearbyint(a[i]); });
    same(t.abs, "abs", [&](int i) { return std::fabs(a[i]); });
    float out[most];
    t.fma(out, a);
    for (int i = 0; i < W; i++) {
      const double want = double{a[i]} * b[i] + c[i];
      close(out + i, &want, 1, 1e-3, 1e-7, "fma");
    }
    for (float value : {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 100000.5f}) {
      CHECK(at(t.round, value) == std::nearbyint(value));
    }
    CHECK(at(t.sqrt, 2) == std::sqrt(2.0f));
    // max and min give the second one where either is NaN.
    std::vector<float> nan_first(2 * most, 3), nan_second(2 * most, 3);
    for (int i = 0; i < W; i++) {
      nan_first[static_cast<size_t>(i)] = NAN;
      nan_second[static_cast<size_t>(W + i)] = NAN;
    }
    for (const auto f : {t.max, t.min}) {
      f(out, nan_first.data());
      CHECK(out[0] == 3);
      f(out, nan_second.data());
      CHECK(std::isnan(out[0]));
    }
  });
}

TEST(kernels_scale_by_power) {
  for_each_table([](const VecTable& t) {
    for (int n = -252; n <= 254; n++) {
      std::vector<float> x(2 * most, 1.75f);
      std::fill_n(x.data() + t.width, t.width, static_cast<float>(n));
      float out[most];
      t.scale_by_power(out, x.data());
      CHECK(ulps(out[0], std::ldexp(1.75, n)) <= 0.5);
    }
  });
}

TEST(kernels_reductions) {
  for_each_table([](const VecTable& t) {
    for (int lane = 0; lane < t.width; lane++) {
      std::vector<float> x(most, -2);
      x[static_cast<size_t>(lane)] = 7;
      CHECK(t.reduce_max(x.data()) == 7);
      CHECK(t.reduce_add(x.data()) == static_cast<float>(7 - 2 * (t.width - 1)));
    }
  });
}

TEST(kernels_parts_touch_nothing_past_them) {
  for_each_table([](const VecTable& t) {
    const std::vector<float> x = normals(most, 2);
    for (int n = 0; n <= t.width; n++) {
      // Guards of Floats and the sanitizer's red zone lie right behind the n floats.
      const Floats in(std::vector<float>(x.begin(), x.begin() + n));
      float loaded[most];
      t.load_part(loaded, in, n);
      for (int i = 0; i < t.width; i++) CHECK(loaded[i] == (i < n ? x[static_cast<size_t>(i)] : 0));
      Floats stored(n);
      t.store_part(stored, x.data(), n);
      same_bits(stored, x.data(), n, "store_part");
    }
  });
}

TEST(kernels_transpose) {
  for_each_table([](const VecTable& t) {
    const int W = t.width;
    const std::vector<float> x = normals(W * W, 3);
    std::vector<float> out(x.size());
    t.transpose(out.data(), x.data());
    for (int i = 0; i < W; i++) {
      for (int j = 0; j < W; j++)
        CHECK(out[static_cast<size_t>(i * W + j)] == x[static_cast<size_t>(j * W + i)]);
    }
  });
}

}  // namespace gptloom::test
