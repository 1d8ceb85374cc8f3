// What `nvcc --default-stream per-thread` calls.
// Plan: X_ptsz and X_ptds are X with the thread's own stream in place of the null stream. Copies
//   without a stream wait either way, and the legacy stream, which they use, waits for the threads'
//   own: so they are X itself.
#include "runtime.h"

namespace runtime {

namespace {

template <class T>
T own(T argument) {
  return argument;
}
template <>
cudaStream_t own(cudaStream_t stream) {
  return stream ? stream : cudaStreamPerThread;
}

template <auto function>
struct PerThread;
template <class... A, cudaError_t (*function)(A...)>
struct PerThread<function> {
  static cudaError_t call(A... arguments) { return function(own(arguments)...); }
};

cudaError_t launch_config(const cudaLaunchConfig_t* c, const void* host, void** arguments) {
  cudaLaunchConfig_t config = *c;
  config.stream = own(config.stream);
  return cudaLaunchKernelExC(&config, host, arguments);
}

}  // namespace

}  // namespace runtime

// A variant jumps to its function, which keeps every argument in place.
#if defined(__x86_64__)
#define JUMP(pointer) "jmp *" pointer "(%rip)\n"
#elif defined(__aarch64__)
#define JUMP(pointer) "adrp x16, " pointer "\nldr x16, [x16, :lo12:" pointer "]\nbr x16\n"
#endif
#define VARIANT(name, suffix, function)                                               \
  extern "C" {                                                                        \
  extern __attribute__((visibility("hidden"))) void* const emulated_##name##_variant; \
  __attribute__((used)) void* const emulated_##name##_variant =                       \
      reinterpret_cast<void*>(&function);                                             \
  }                                                                                   \
  asm(".text\n.globl " #name "_" #suffix "\n.type " #name "_" #suffix                 \
      ", %function\n" #name "_" #suffix ":\n" JUMP("emulated_" #name "_variant"));
#define STREAM(name) VARIANT(name, ptsz, runtime::PerThread<&name>::call)
#define PLAIN(name) VARIANT(name, ptds, runtime::PerThread<&name>::call)

VARIANT(cudaLaunchKernelExC, ptsz, runtime::launch_config)
PLAIN(cudaMemcpy)
PLAIN(cudaMemcpy2D)
PLAIN(cudaMemcpy3D)
PLAIN(cudaMemcpyFromSymbol)
PLAIN(cudaMemcpyToSymbol)
PLAIN(cudaMemset)
PLAIN(cudaMemset2D)
PLAIN(cudaMemset3D)
STREAM(__cudaLaunchKernel)
STREAM(cudaEventRecord)
STREAM(cudaEventRecordWithFlags)
STREAM(cudaFreeAsync)
STREAM(cudaGetDriverEntryPointByVersion)
STREAM(cudaGraphLaunch)
STREAM(cudaGraphUpload)
STREAM(cudaLaunchCooperativeKernel)
STREAM(cudaLaunchHostFunc)
STREAM(cudaLaunchKernel)
STREAM(cudaMallocAsync)
STREAM(cudaMallocFromPoolAsync)
STREAM(cudaMemPrefetchAsync)
STREAM(cudaMemcpy2DAsync)
STREAM(cudaMemcpy3DAsync)
STREAM(cudaMemcpyAsync)
STREAM(cudaMemcpyFromSymbolAsync)
STREAM(cudaMemcpyToSymbolAsync)
STREAM(cudaMemset2DAsync)
STREAM(cudaMemset3DAsync)
STREAM(cudaMemsetAsync)
STREAM(cudaStreamAddCallback)
STREAM(cudaStreamAttachMemAsync)
STREAM(cudaStreamBeginCapture)
STREAM(cudaStreamEndCapture)
STREAM(cudaStreamGetCaptureInfo)
STREAM(cudaStreamGetFlags)
STREAM(cudaStreamGetId)
STREAM(cudaStreamGetPriority)
STREAM(cudaStreamIsCapturing)
STREAM(cudaStreamQuery)
STREAM(cudaStreamSetAttribute)
STREAM(cudaStreamSynchronize)
STREAM(cudaStreamWaitEvent)
