// The harness of the engine's tests, which need no Node. A test file defines tests with TEST(name),
// main.cc runs every one that is linked in.
//
//   TEST(add_writes_the_sum) {
//     const std::vector<float> a = normals(127, 1), b = normals(127, 2);
//     const auto op = [&](cpu::Context& context, float* out) { cpu::add(context, out, ...); };
//     for_each_result(127, op, [&](const float* out) { close(out, sums, 0, 1e-6, "a + b"); });
//   }
//
// A check that fails throws and ends its test. What is found where nothing can be thrown (a guard
// that was written over, found in a destructor) is noted and fails the test when it ends.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/context.h"
#include "cpu/ops.h"
#include "error.h"

namespace gptloom::test {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Case {
  const char* name;
  void (*run)();
};
std::vector<Case>& cases();
struct Registration {
  Registration(const char* name, void (*run)()) { cases().push_back({name, run}); }
};
#define TEST(name)                                                                    \
  static void test_##name();                                                          \
  static const ::gptloom::test::Registration registration_##name{#name, test_##name}; \
  static void test_##name()

[[noreturn]] void fail(const std::string& message);
void note_failure(const std::string& message);  // for destructors: fails the test without throwing
std::string format(const char* pattern, ...);

#define CHECK(condition)                \
  ((condition) ? (void)0                \
               : ::gptloom::test::fail( \
                     ::gptloom::test::format("%s:%d: %s", __FILE__, __LINE__, #condition)))

// ---- comparing ----------------------------------------------------------------------------------

// Every |actual[i] - expected[i]| <= atol + rtol |expected[i]|. An expected NaN asks for a NaN, an
// infinity for itself.
template <class Actual, class Expected>
void close(const Actual* actual, const Expected* expected, int64_t n, double atol, double rtol,
           const std::string& what) {
  int64_t wrong = 0, worst = -1;
  double worst_excess = -1;
  for (int64_t i = 0; i < n; i++) {
    const double a = static_cast<double>(actual[i]), e = static_cast<double>(expected[i]);
    if (a == e || (std::isnan(a) && std::isnan(e))) continue;
    const double error = std::fabs(a - e), allowed = atol + rtol * std::fabs(e);
    if (std::isfinite(e) && error <= allowed) continue;
    const double excess = std::isfinite(error) && allowed > 0 ? error / allowed : INFINITY;
    wrong++;
    if (excess > worst_excess) worst_excess = excess, worst = i;
  }
  if (!wrong) return;
  fail(
      format("%s: %lld of %lld elements are off, the worst at %lld: %.9g where %.9g was expected "
             "(atol %g, rtol %g)",
             what.c_str(), static_cast<long long>(wrong), static_cast<long long>(n),
             static_cast<long long>(worst), static_cast<double>(actual[worst]),
             static_cast<double>(expected[worst]), atol, rtol));
}
template <class Actual, class Expected>
void close(const Actual& actual, const std::vector<Expected>& expected, double atol, double rtol,
           const std::string& what) {
  close(&actual[0], expected.data(), static_cast<int64_t>(expected.size()), atol, rtol, what);
}

// The same bits, NaN or not.
void same_bits(const float* actual, const float* expected, int64_t n, const std::string& what);

// f() throws gptloom::Error of this code.
template <class F>
void throws(const char* code, F&& f) {
  try {
    f();
  } catch (const Error& error) {
    if (std::strcmp(error.code, code) == 0) return;
    fail(format("%s was expected, %s came: %s", code, error.code, error.what()));
  }
  fail(format("%s was expected, nothing was thrown", code));
}

// ---- memory -------------------------------------------------------------------------------------

// n floats between guards, at an address aligned to no more than a float, so that a kernel which
// asks for more alignment or writes past the end is found without a sanitizer too. Fresh contents
// are NaN: what is read before it was written shows in the result.
class Floats {
 public:
  explicit Floats(int64_t n);
  Floats(const std::vector<float>& values) : Floats(static_cast<int64_t>(values.size())) {
    if (n_) std::memcpy(data_, values.data(), values.size() * sizeof(float));
  }
  ~Floats();
  Floats(const Floats& other) : Floats(other.n_) {
    if (n_) std::memcpy(data_, other.data_, static_cast<size_t>(n_) * sizeof(float));
  }
  Floats& operator=(const Floats&) = delete;
  operator float*() { return data_; }
  operator const float*() const { return data_; }
  float* data() { return data_; }
  const float* data() const { return data_; }
  int64_t size() const { return n_; }
  std::vector<float> vector() const { return {data_, data_ + n_}; }

 private:
  int64_t n_;
  char* block_;
  float* data_;
};

// Scratch from malloc: 64-byte aligned, filled with NaN, between guards that are looked at when it
// comes back.
class GuardedSource final : public cpu::ScratchSource {
 public:
  ~GuardedSource();
  void* take(size_t bytes) override;
  void give_back(void* block, size_t bytes) override;

 private:
  struct Block {
    char* base;
    void* data;
    size_t bytes;
  };
  std::vector<Block> blocks_;
};

// ---- contexts -----------------------------------------------------------------------------------

// f(context) for every instruction set that runs here, each with 1, 2 and 3 threads.
void for_each_context(const std::function<void(cpu::Context&)>& f);

// The usual test of an op: op(context, out) writes out[n] (which starts as NaN, or as `initial`) in
// every context; the bits must be those of one thread; check(out) is then called once for each
// instruction set.
void for_each_result(int64_t n, const std::function<void(cpu::Context&, float*)>& op,
                     const std::function<void(const float*)>& check,
                     const std::vector<float>* initial = nullptr);

// ---- numbers ------------------------------------------------------------------------------------

// SplitMix64 (Steele, Lea & Flood 2014): the same numbers on every platform.
class Generator {
 public:
  explicit Generator(uint64_t seed) : state_(seed) {}
  uint64_t next();
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double normal();
  int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }

 private:
  uint64_t state_;
};
std::vector<float> normals(int64_t n, uint64_t seed, double deviation = 1, double mean = 0);
std::vector<float> uniforms(int64_t n, uint64_t seed, double low, double high);
std::vector<int32_t> integers(int64_t n, uint64_t seed, int32_t low, int32_t high);  // [low, high)
inline std::vector<double> doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

// GELU and its derivative.
double gelu(double x, Gelu form);
double gelu_derivative(double x, Gelu form);

// The gradient of f() to each element of x by central differences, x being what f reads.
std::vector<double> finite_differences(std::vector<double>& x, const std::function<double()>& f,
                                       double step = 1e-5);

}  // namespace gptloom::test
