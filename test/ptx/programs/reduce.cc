// Block reduction with shuffles, against float64 sums.
#include "program.h"

using namespace program;

static CUdeviceptr run(CUmodule module, const char* name, int rows, int n, unsigned threads) {
  const CUdeviceptr x = upload(normals(static_cast<size_t>(rows) * n, 3));
  CUdeviceptr out = 0;
  OK(CU(cuMemAlloc_v2)(&out, 4 * static_cast<size_t>(rows)));
  OK(launch(function_of(module, name), {static_cast<unsigned>(rows)}, {threads}, 0, nullptr, out, x, n));
  return out;
}

static void check(const std::vector<float>& out, int rows, int n) {
  const auto x = normals(static_cast<size_t>(rows) * n, 3);
  std::vector<double> expected(rows), tolerance(rows);
  for (int r = 0; r < rows; r++) {
    double size = 0;
    for (int i = 0; i < n; i++) {
      const double value = x[static_cast<size_t>(r) * n + i];
      expected[r] += value, size += std::fabs(value);
    }
    tolerance[r] = 1e-7 + 1e-6 * size;
  }
  CHECK(worst(out, expected, tolerance) <= 1);
}

int main(int count, char** arguments) {
  right_under_every_schedule([](CUmodule module) {
    uint64_t state = 0;
    for (const int n : {1, 31, 33, 127, 1000, 4097}) {
      for (const unsigned threads : {32u, 96u, 1024u}) {
        const auto out = download<float>(run(module, "reduce", 7, n, threads), 7);
        check(out, 7, n);
        state = hash(out, state);
      }
    }
    return state;
  });
  caught_under_every_schedule("reduce_unsynced", {"race", "uninitialised"},
                              [](CUmodule module) { run(module, "reduce_unsynced", 3, 1000, 256); });
  caught_under_every_schedule("reduce_absent", {"absent_lane"},
                              [](CUmodule module) { run(module, "reduce_absent", 1, 20, 32); });
  return main_of(count, arguments);
}
