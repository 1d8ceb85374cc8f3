// Kernels from outside (see native/gptloom.h): their own image, launched like ours.
#include "foreign.h"

#include <exception>

#include "cuda/ops.h"

namespace gptloom::cuda {

namespace {

struct Running {
  Context& context;
  const gptloom_kernel& kernel;
  std::exception_ptr failure;  // of the first launch that could not be queued
};

// Called from C, which exceptions must not cross.
void launch(const gptloom_call* call, const char* name, const uint32_t grid[3], uint32_t threads,
            uint32_t shared, const void* const* args, const size_t* sizes, size_t count) {
  auto& running = *static_cast<Running*>(call->internal);
  if (running.failure) return;
  try {
    running.context.launch_foreign(running.kernel, name, {grid[0], grid[1], grid[2]}, threads,
                                   shared, args, sizes, count);
  } catch (...) {
    running.failure = std::current_exception();
  }
}

}  // namespace

void foreign(Context& context, const gptloom_kernel& kernel, const std::vector<Array>& arrays,
             const std::vector<uint8_t>& params) {
  const std::vector<gptloom_array> given = foreign_arrays(arrays);
  Running running{context, kernel, nullptr};
  const gptloom_call call{GPTLOOM_CUDA,  static_cast<int32_t>(given.size()),
                          given.data(),  params.data(),
                          params.size(), nullptr,
                          launch,        &running};
  call_foreign(kernel, kernel.image ? kernel.cuda : nullptr, call, "CUDA");
  if (running.failure) std::rethrow_exception(running.failure);
}

}  // namespace gptloom::cuda
