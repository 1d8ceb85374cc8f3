// Flash-style causal attention, against float64.
#include "program.h"

using namespace program;

constexpr int D = 64;
constexpr float scale = 0.125f;

struct Result {
  CUdeviceptr o = 0, l = 0;
};

static std::vector<uint16_t> input(int heads, int T, unsigned seed) {
  return bf16_normals(static_cast<size_t>(heads) * T * D, seed);
}

static Result run(CUmodule module, const char* name, int heads, int T) {
  const CUdeviceptr q = upload(input(heads, T, 1)), k = upload(input(heads, T, 2)),
                    v = upload(input(heads, T, 3));
  Result result;
  OK(CU(cuMemAlloc_v2)(&result.o, 4 * static_cast<size_t>(heads) * T * D));
  OK(CU(cuMemAlloc_v2)(&result.l, 4 * static_cast<size_t>(heads) * T));
  const unsigned blocks = (static_cast<unsigned>(T) + 63) / 64;
  OK(launch(function_of(module, name), {blocks, static_cast<unsigned>(heads)}, {128}, 0, nullptr, result.o,
            result.l, q, k, v, T, scale));
  return result;
}

static void check(const std::vector<float>& o, const std::vector<float>& l, int heads, int T) {
  const auto q = input(heads, T, 1), k = input(heads, T, 2), v = input(heads, T, 3);
  std::vector<double> expected(o.size()), tolerance(o.size()), logs(l.size());
  for (size_t row = 0; row < l.size(); row++) {
    const size_t head = row / T * T, keys = row % T + 1;
    std::vector<double> p(keys);
    double total = 0;
    for (size_t j = 0; j < keys; j++) {
      double score = 0;
      for (int d = 0; d < D; d++) score += from_bf16(q[row * D + d]) * from_bf16(k[(head + j) * D + d]);
      total += p[j] = std::exp(score * scale);
    }
    logs[row] = std::log(total);
    for (int d = 0; d < D; d++) {
      double sum = 0, size = 0;
      for (size_t j = 0; j < keys; j++) {
        const double term = p[j] / total * from_bf16(v[(head + j) * D + d]);
        sum += term, size += std::fabs(term);
      }
      expected[row * D + d] = sum;
      tolerance[row * D + d] = 1e-6 + std::ldexp(size, -8);  // P in bfloat16, and what float32 adds to it
    }
  }
  CHECK(worst(o, expected, tolerance) <= 1);
  CHECK(worst(l, logs, std::vector<double>(l.size(), 1e-5)) <= 1);
}

int main(int count, char** arguments) {
  right_under_every_schedule([](CUmodule module) {
    uint64_t state = 0;
    for (const int T : {1, 31, 64, 65, 127, 193}) {
      const Result result = run(module, "attention", 3, T);
      const auto o = download<float>(result.o, static_cast<size_t>(3) * T * D);
      const auto l = download<float>(result.l, static_cast<size_t>(3) * T);
      check(o, l, 3, T);
      state = hash(l, hash(o, state));
    }
    return state;
  });
  for (const char* name : {"attention_unwaited", "attention_unsynced"}) {
    caught_under_every_schedule(name, {"async_unwaited", "race", "uninitialised"},
                                [name](CUmodule module) { run(module, name, 2, 193); });
  }
  return main_of(count, arguments);
}
