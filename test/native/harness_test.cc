// The harness itself: a check that could not fail would prove nothing.
#include "test.h"

namespace gptloom::test {

namespace {

template <class F>
bool fails(F&& f) {
  try {
    f();
  } catch (const Failure&) {
    return true;
  }
  return false;
}

}  // namespace

TEST(harness_close_finds_what_is_off) {
  const std::vector<float> a = {1, 2, 3};
  close(a.data(), std::vector<double>{1, 2, 3.0000001}, 0, 1e-6, "near");
  CHECK(fails([&] { close(a.data(), std::vector<double>{1, 2, 3.1}, 0, 1e-6, "far"); }));
  CHECK(fails([&] { close(a.data(), std::vector<double>{1, NAN, 3}, 1, 1, "expected NaN"); }));
  CHECK(fails([&] { close(a.data(), std::vector<double>{1, INFINITY, 3}, 1, 1, "expected inf"); }));
  const std::vector<float> odd = {NAN, INFINITY};
  close(odd.data(), std::vector<double>{NAN, INFINITY}, 0, 0, "NaN and infinity");
  CHECK(fails([&] { close(odd.data(), std::vector<double>{0, INFINITY}, 1, 1, "NaN"); }));
  CHECK(fails([&] { close(odd.data(), std::vector<double>{NAN, 1}, 1, 1, "infinity"); }));
}

TEST(harness_same_bits_tells_zeros_apart) {
  const float zero = 0, minus_zero = -0.0f;
  same_bits(&zero, &zero, 1, "zero");
  CHECK(fails([&] { same_bits(&zero, &minus_zero, 1, "signed zero"); }));
}

TEST(harness_throws_asks_for_the_code) {
  throws("ERR_INDEX", [] { throw Error("ERR_INDEX", "message"); });
  CHECK(fails([] { throws("ERR_INDEX", [] { throw Error("ERR_OTHER", "message"); }); }));
  CHECK(fails([] { throws("ERR_INDEX", [] {}); }));
}

TEST(harness_memory_starts_as_nan) {
  Floats x(7);
  for (int i = 0; i < 7; i++) CHECK(std::isnan(x[i]));
  GuardedSource source;
  double* scratch = static_cast<double*>(source.take(3 * sizeof(double)));
  for (int i = 0; i < 3; i++) CHECK(std::isnan(scratch[i]));
  CHECK(reinterpret_cast<uintptr_t>(scratch) % 64 == 0);
  source.give_back(scratch, 3 * sizeof(double));
}

TEST(harness_results_must_not_depend_on_threads) {
  CHECK(fails([] {
    for_each_result(
        1,
        [](cpu::Context& context, float* out) {
          *out = static_cast<float>(context.pool.threads());
        },
        [](const float*) {});
  }));
}

TEST(harness_gelu_derivative_is_that_of_gelu) {
  for (double x = -6; x <= 6; x += 0.37) {
    for (const Gelu form : {Gelu::tanh, Gelu::exact}) {
      const double slope = (gelu(x + 1e-6, form) - gelu(x - 1e-6, form)) / 2e-6;
      const double derivative = gelu_derivative(x, form);
      close(&derivative, &slope, 1, 1e-8, 1e-8, "gelu'");
    }
  }
}

}  // namespace gptloom::test
