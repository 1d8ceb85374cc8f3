// Kernels from outside (see native/gptloom.h) over the device's threads.
#include "foreign.h"

#include "cpu/ops.h"

namespace gptloom::cpu {

namespace {

void parallel(const gptloom_call* call, int64_t n, int64_t grain, gptloom_body body, void* state) {
  if (n <= 0) return;
  static_cast<Context*>(call->internal)
      ->pool.run_ranges(n, grain > 0 ? grain : n,
                        [&](int64_t begin, int64_t end, int) { body(state, begin, end); });
}

}  // namespace

void foreign(Context& context, const gptloom_kernel& kernel, const std::vector<Array>& arrays,
             const std::vector<uint8_t>& params) {
  const std::vector<gptloom_array> given = foreign_arrays(arrays);
  const gptloom_call call{GPTLOOM_CPU,   static_cast<int32_t>(given.size()),
                          given.data(),  params.data(),
                          params.size(), parallel,
                          nullptr,       &context};
  call_foreign(kernel, kernel.cpu, call, "the CPU");
}

}  // namespace gptloom::cpu
