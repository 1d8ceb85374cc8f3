// A small harness for the core's tests: one PTX statement run over many operands, kernels from
// text, faults expected.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "emulator.h"

namespace test {

using Operands = std::array<uint64_t, 3>;

extern int passed, failed;
void report(bool ok, const std::string& name, const std::string& detail = {});

struct Case {
  const char* name;
  void (*run)();
};
std::vector<Case>& cases();
struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};
#define PTX_TEST(name)                                  \
  static void name();                                   \
  static test::Register name##_registered(#name, name); \
  static void name()

ptx::Memory& memory();
ptx::DeviceProfile device(int major = 12, int minor = 0);

template <class To, class From>
To bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To out;
  memcpy(&out, &value, sizeof out);
  return out;
}
inline uint64_t f32(float v) { return bits<uint32_t>(v); }
inline uint64_t f64(double v) { return bits<uint64_t>(v); }
inline float as_f32(uint64_t v) { return bits<float>(uint32_t(v)); }
inline double as_f64(uint64_t v) { return bits<double>(v); }

struct Random {
  uint64_t state = 88172645463325252u;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
};

// Operand sets: corner values of a width crossed with each other, then random bits.
std::vector<Operands> integers(int bytes, int count = 2000);
std::vector<Operands> floats(int count = 4000);
std::vector<Operands> doubles(int count = 2000);

// Runs statements over operand sets, one a thread. They find %a %b %c (32 bits), %ha.. (16), %qa..
// (64), %pa (bit 0 of a) and leave their result in %d, %hd, %qd or %pd, as `width` says: 32, 16, 64
// or 1. Each set is run twice, once with all lanes and once with every other lane, and both must
// agree.
std::vector<uint64_t> evaluate(const std::string& statements, int width,
                               const std::vector<Operands>& sets);
using Expected = std::function<uint64_t(uint64_t, uint64_t, uint64_t)>;
void expect(const std::string& name, const std::string& statements, int width,
            const std::vector<Operands>& sets, const Expected& expected);
// Within `ulps` of a double-precision value, float32 results; infinities and NaN must agree.
void expect_near(const std::string& name, const std::string& statements,
                 const std::vector<Operands>& sets, double ulps, double absolute,
                 const std::function<double(float, float)>& expected);

// A module of one kernel `k` with the given body and parameters (u64 p0, u64 p1, u64 p2, u32 n).
std::string kernel_text(const std::string& body, const std::string& module_items = {},
                        const std::string& target = "sm_100");
struct Loaded {
  std::unique_ptr<ptx::Module> module;
  ptx::LoadError error;
};
Loaded load(const std::string& text);
struct Buffer {  // device memory filled from a vector, freed at its end
  uint64_t address;
  size_t bytes;
  explicit Buffer(size_t bytes);
  template <class T>
  explicit Buffer(const std::vector<T>& from) : Buffer(from.size() * sizeof(T)) {
    memory().write(address, from.data(), bytes);
  }
  ~Buffer() { memory().release(address); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  template <class T>
  std::vector<T> get() const {
    std::vector<T> out(bytes / sizeof(T));
    memory().read(out.data(), address, bytes);
    return out;
  }
};
ptx::LaunchResult run(const std::string& text, const ptx::LaunchConfig& config, uint64_t p0,
                      uint64_t p1 = 0, uint64_t p2 = 0, uint32_t n = 0);
ptx::LaunchConfig shape(uint32_t grid, uint32_t block, size_t dynamic = 0);
// Launches and expects a fault of this kind (none: no fault).
void expect_fault(const std::string& name, const std::string& text, const ptx::LaunchConfig& config,
                  ptx::FaultKind kind, uint64_t p0 = 0, uint64_t p1 = 0, uint64_t p2 = 0,
                  uint32_t n = 0);

}  // namespace test
