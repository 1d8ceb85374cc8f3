// What the parts of the runtime share: the primary context, the last error, registered symbols.
#pragma once
#include <cuda.h>
#include <cudaProfiler.h>
#include <cuda_runtime_api.h>

#include <string>
#include <vector>

namespace runtime {

cudaError_t done(int error);         // keeps an error for cudaGetLastError, and returns it
cudaError_t last_error(bool clear);  // of this thread
int enter();                         // makes the primary context current; 0 or the error
int reset();                         // of the primary context: the next call enters anew
int find_function(const void* host, CUfunction* out);
int find_variable(const void* host, CUdeviceptr* address, size_t* bytes);

inline CUdeviceptr address(const void* p) { return reinterpret_cast<CUdeviceptr>(p); }

}  // namespace runtime

extern "C" cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block,
                                          void** arguments, size_t shared, cudaStream_t stream);

// Every call: the context, then the driver's entry; the codes of both APIs are the same numbers.
#define CALL(...)                                   \
  do {                                              \
    const int entered = enter();                    \
    return done(entered ? entered : (__VA_ARGS__)); \
  } while (0)
