// Vector add at odd sizes.
#include "program.h"

using namespace program;

static void run(CUmodule module, const char* name, int n, std::vector<float>* out) {
  const auto a = normals(n, 1), b = normals(n, 2);
  const CUdeviceptr pa = upload(a), pb = upload(b);
  CUdeviceptr to = 0;
  OK(CU(cuMemAlloc_v2)(&to, 4 * static_cast<size_t>(n)));
  const unsigned blocks = (static_cast<unsigned>(n) + 127) / 128;
  OK(launch(function_of(module, name), {blocks}, {128}, 0, nullptr, to, pa, pb, n));
  if (!out) return;
  *out = download<float>(to, n);
  int wrong = 0;
  for (int i = 0; i < n; i++) wrong += (*out)[i] != a[i] + b[i];  // one rounding each: exact
  EQUAL(wrong, 0);
}

int main(int count, char** arguments) {
  right_under_every_schedule([](CUmodule module) {
    uint64_t state = 0;
    for (const int n : {1, 3, 4, 5, 31, 33, 127, 129, 1001, 65537}) {
      std::vector<float> out;
      run(module, "vecadd", n, &out);
      state = hash(out, state);
    }
    return state;
  });
  caught_under_every_schedule("vecadd_unbounded", {"out_of_bounds", "past the end"},
                              [](CUmodule module) { run(module, "vecadd_unbounded", 1001, nullptr); });
  return main_of(count, arguments);
}
