// What the acceptance programs share: the image, schedules, bfloat16, hashes that outlive a test's process.
//
//   program IMAGE.fatbin [part of a test's name]
#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <random>

#include "driver_client.h"

namespace program {

using namespace client;

inline std::string image_path;

inline CUmodule load() {
  start();
  CUmodule module = nullptr;
  OK(CU(cuModuleLoad)(&module, image_path.c_str()));
  return module;
}

inline uint16_t to_bf16(float value) {  // to the nearest, ties to even; no NaN comes here
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
inline double from_bf16(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}

inline std::vector<float> normals(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

inline std::vector<uint16_t> bf16_normals(size_t count, unsigned seed) {
  std::vector<uint16_t> result;
  for (const float value : normals(count, seed)) result.push_back(to_bf16(value));
  return result;
}

// The largest |actual - expected| / tolerance, each with its own tolerance; NaN counts as endless.
inline double worst(const std::vector<float>& actual, const std::vector<double>& expected,
                    const std::vector<double>& tolerance) {
  double result = 0;
  for (size_t i = 0; i < actual.size(); i++) {
    const double error = std::fabs(static_cast<double>(actual[i]) - expected[i]) / tolerance[i];
    result = error <= result ? result : std::isnan(error) ? INFINITY : error;
  }
  return result;
}

// ---- schedules ------------------------------------------------------------------------------------

struct Schedule {
  const char *name, *order, *seed, *device;
};
inline constexpr Schedule schedules[] = {
    {"forward", "forward", "1", "8.0"},          {"reverse", "reverse", "1", "8.0"},
    {"random_1", "random", "1", "8.0"},          {"random_2", "random", "2", "8.0"},
    {"code_100", "forward", "1", "10.0"},  // PTX of the other code generator
    {"code_100_reverse", "reverse", "1", "10.0"}};
constexpr size_t schedule_count = sizeof schedules / sizeof *schedules;

// Written by the tests' processes, read by the last test.
inline uint64_t* hashes() {
  static auto* const shared = static_cast<uint64_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return shared;
}

template <class T>
uint64_t hash(const std::vector<T>& values, uint64_t state = 1469598103934665603u) {  // FNV-1a
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  for (size_t i = 0; i < values.size() * sizeof(T); i++) state = (state ^ bytes[i]) * 1099511628211u;
  return state;
}

inline void use(const Schedule& schedule) {
  setenv("EMULATOR_ORDER", schedule.order, 1);
  setenv("EMULATOR_SEED", schedule.seed, 1);
  setenv("EMULATOR_DEVICE", schedule.device, 1);
}

// Registers a test for each schedule and one that compares their results bit for bit, a code generator at a
// time. `body` returns the hash of all its results.
inline void right_under_every_schedule(const std::function<uint64_t(CUmodule)>& body) {
  hashes();
  for (size_t i = 0; i < schedule_count; i++) {
    tests().push_back({std::string("right_") + schedules[i].name, [i, body] {
                         use(schedules[i]);
                         hashes()[i] = body(load());
                         EQUAL(reported(), "");
                       }});
  }
  tests().push_back({"same_under_every_schedule", [] {
                       for (size_t i = 1; i < schedule_count; i++) {
                         const size_t first = std::strcmp(schedules[i].device, "8.0") == 0 ? 0 : 4;
                         if (hashes()[i] != hashes()[first])
                           fail(__FILE__, __LINE__, std::string("not under ") + schedules[i].name);
                       }
                     }});
}

// Registers a test for each schedule in which `body` launches a kernel with a planted bug; every one must
// report `kernel` and one of the words.
inline void caught_under_every_schedule(const char* kernel, const std::vector<const char*>& words,
                                        const std::function<void(CUmodule)>& body) {
  for (const Schedule& schedule : schedules) {
    tests().push_back({std::string("caught_") + kernel + "_" + schedule.name, [=] {
                         use(schedule);
                         body(load());
                         CHECK(CU(cuCtxSynchronize)() != CUDA_SUCCESS);
                         const std::string text = reported();
                         CHECK(contains(text, kernel));
                         CHECK(std::any_of(words.begin(), words.end(),
                                           [&](const char* word) { return contains(text, word); }));
                       }});
  }
}

inline int main_of(int count, char** arguments) {
  if (count < 2) {
    std::printf("usage: %s IMAGE.fatbin [part of a test's name]\n", arguments[0]);
    return 1;
  }
  image_path = arguments[1];
  return run_all(count - 1, arguments + 1);
}

}  // namespace program
