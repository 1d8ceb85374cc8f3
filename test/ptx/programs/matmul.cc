// Tiled product by cp.async, ldmatrix and mma.sync in bfloat16, against float64.
#include "program.h"

using namespace program;

struct Case {
  int M, N, K;
};

struct Data {
  std::vector<uint16_t> a, b;
  int ld;
  explicit Data(const Case& c) : ld((c.K + 7) / 8 * 8) {
    a = bf16_normals(static_cast<size_t>(c.M) * ld, 5), b = bf16_normals(static_cast<size_t>(c.N) * ld, 6);
  }
};

static CUdeviceptr run(CUmodule module, const char* name, const Case& c) {
  const Data data(c);
  const CUdeviceptr a = upload(data.a), b = upload(data.b);
  CUdeviceptr out = 0;
  OK(CU(cuMemAlloc_v2)(&out, 4 * static_cast<size_t>(c.M) * c.N));
  const unsigned grid_x = (static_cast<unsigned>(c.N) + 63) / 64,
                 grid_y = (static_cast<unsigned>(c.M) + 63) / 64;
  OK(launch(function_of(module, name), {grid_x, grid_y}, {128}, 0, nullptr, out, a, b, c.M, c.N, c.K,
            data.ld, data.ld));
  return out;
}

// float32 sums of exact products: K roundings of at most 2^-23 each, as tensor cores may truncate.
static void check(const std::vector<float>& out, const Case& c) {
  const Data data(c);
  std::vector<double> expected(out.size()), tolerance(out.size());
  for (int y = 0; y < c.M; y++) {
    for (int x = 0; x < c.N; x++) {
      double sum = 0, size = 0;
      for (int k = 0; k < c.K; k++) {
        const double term = from_bf16(data.a[static_cast<size_t>(y) * data.ld + k]) *
                            from_bf16(data.b[static_cast<size_t>(x) * data.ld + k]);
        sum += term, size += std::fabs(term);
      }
      expected[static_cast<size_t>(y) * c.N + x] = sum;
      tolerance[static_cast<size_t>(y) * c.N + x] = 1e-9 + std::ldexp(size, -20);
    }
  }
  CHECK(worst(out, expected, tolerance) <= 1);
}

constexpr Case cases[] = {{1, 1, 1},      {64, 64, 32},  {33, 31, 17},
                          {127, 65, 129}, {65, 130, 71}, {3, 200, 96}};

int main(int count, char** arguments) {
  right_under_every_schedule([](CUmodule module) {
    uint64_t state = 0;
    for (const Case& c : cases) {
      const auto out = download<float>(run(module, "matmul", c), static_cast<size_t>(c.M) * c.N);
      check(out, c);
      state = hash(out, state);
    }
    return state;
  });
  for (const char* name : {"matmul_unwaited", "matmul_unsynced"}) {
    caught_under_every_schedule(name, {"async_unwaited", "race", "uninitialised"},
                                [name](CUmodule module) { run(module, name, {65, 130, 129}); });
  }
  tests().push_back(
      {"counts", [] {
         char path[] = "/tmp/emulator-counters-XXXXXX";
         close(mkstemp(path));
         setenv("EMULATOR_COUNTERS", path, 1);
         run(load(), "matmul", {65, 130, 71});
         OK(CU(cuCtxSynchronize)());
         std::ifstream file(path);
         std::string line;
         std::getline(file, line);
         unlink(path);
         // 2 x 3 tiles of 64 x 64, K in 2 steps of 64.
         CHECK(contains(line, "\"flops\":{\"tensor\":" + std::to_string(2 * 6 * 64 * 64 * 128) + ","));
         CHECK(contains(line, "\"bankConflicts\":0,"));
         CHECK(contains(line, "\"registers\":") &&
               !contains(line, "\"registers\":null"));  // of the machine code
       }});
  return main_of(count, arguments);
}
