// The CUDA driver, opened at run time: libcuda.so.1 or nvcuda.dll. Types and prototypes are written
// by hand, so that neither headers nor a toolkit are needed to build, and one binary serves
// machines with and without a GPU. Names are the API's own.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#if defined(_WIN32)
#define GPTLOOM_CUDAAPI __stdcall
#else
#define GPTLOOM_CUDAAPI
#endif

namespace gptloom::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = uint64_t;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;
using CUgraph = struct CUgraph_st*;
using CUgraphNode = struct CUgraphNode_st*;
using CUgraphExec = struct CUgraphExec_st*;

constexpr CUresult kSuccess = 0;
constexpr CUresult kOutOfMemory = 2;
constexpr CUresult kDeinitialized = 4;

constexpr unsigned kContextBlockingSync = 4;
constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventBlockingSync = 1, kEventDisableTiming = 2;

// CUdevice_attribute
constexpr int kMultiprocessorCount = 16, kComputeCapabilityMajor = 75, kComputeCapabilityMinor = 76,
              kMaxSharedMemoryPerBlockOptin = 97;
// CUfunction_attribute
constexpr int kFunctionSharedSize = 1, kFunctionBinaryVersion = 6, kFunctionMaxDynamicShared = 8;
// CUjit_option
constexpr int kJitErrorLog = 5, kJitErrorLogBytes = 6;

struct CUDA_KERNEL_NODE_PARAMS {
  CUfunction func;
  unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
  void** kernelParams;
  void** extra;
};

struct CUDA_MEMSET_NODE_PARAMS {
  CUdeviceptr dst;
  size_t pitch;
  unsigned value, elementSize;
  size_t width, height;
};

// X(name, parameters): the entry cu<name>, with the version that the prototype belongs to.
#define GPTLOOM_DRIVER_ENTRIES(X)                                                                 \
  X(Init, (unsigned flags))                                                                       \
  X(DriverGetVersion, (int* version))                                                             \
  X(GetErrorName, (CUresult error, const char** name))                                            \
  X(GetErrorString, (CUresult error, const char** text))                                          \
  X(DeviceGetCount, (int* count))                                                                 \
  X(DeviceGet, (CUdevice * device, int ordinal))                                                  \
  X(DeviceGetName, (char* name, int bytes, CUdevice device))                                      \
  X(DeviceTotalMem_v2, (size_t * bytes, CUdevice device))                                         \
  X(DeviceGetAttribute, (int* value, int attribute, CUdevice device))                             \
  X(DevicePrimaryCtxSetFlags_v2, (CUdevice device, unsigned flags))                               \
  X(DevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                               \
  X(DevicePrimaryCtxRelease_v2, (CUdevice device))                                                \
  X(CtxPushCurrent_v2, (CUcontext context))                                                       \
  X(CtxPopCurrent_v2, (CUcontext * context))                                                      \
  X(ModuleLoadDataEx,                                                                             \
    (CUmodule * module, const void* image, unsigned count, int* options, void** values))          \
  X(ModuleUnload, (CUmodule module))                                                              \
  X(ModuleGetFunction, (CUfunction * function, CUmodule module, const char* name))                \
  X(FuncGetAttribute, (int* value, int attribute, CUfunction function))                           \
  X(FuncSetAttribute, (CUfunction function, int attribute, int value))                            \
  X(LaunchKernel, (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,        \
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,         \
                   CUstream stream, void** params, void** extra))                                 \
  X(MemGetInfo_v2, (size_t * free, size_t * total))                                               \
  X(MemAlloc_v2, (CUdeviceptr * address, size_t bytes))                                           \
  X(MemFree_v2, (CUdeviceptr address))                                                            \
  X(MemHostAlloc, (void** host, size_t bytes, unsigned flags))                                    \
  X(MemFreeHost, (void* host))                                                                    \
  X(MemcpyHtoDAsync_v2, (CUdeviceptr to, const void* from, size_t bytes, CUstream stream))        \
  X(MemcpyDtoHAsync_v2, (void* to, CUdeviceptr from, size_t bytes, CUstream stream))              \
  X(MemsetD8Async, (CUdeviceptr to, unsigned char value, size_t count, CUstream stream))          \
  X(StreamCreate, (CUstream * stream, unsigned flags))                                            \
  X(StreamDestroy_v2, (CUstream stream))                                                          \
  X(StreamSynchronize, (CUstream stream))                                                         \
  X(EventCreate, (CUevent * event, unsigned flags))                                               \
  X(EventDestroy_v2, (CUevent event))                                                             \
  X(EventRecord, (CUevent event, CUstream stream))                                                \
  X(EventSynchronize, (CUevent event))                                                            \
  X(GraphCreate, (CUgraph * graph, unsigned flags))                                               \
  X(GraphDestroy, (CUgraph graph))                                                                \
  X(GraphAddKernelNode, (CUgraphNode * node, CUgraph graph, const CUgraphNode* dependencies,      \
                         size_t count, const CUDA_KERNEL_NODE_PARAMS* params))                    \
  X(GraphAddMemsetNode, (CUgraphNode * node, CUgraph graph, const CUgraphNode* dependencies,      \
                         size_t count, const CUDA_MEMSET_NODE_PARAMS* params, CUcontext context)) \
  X(GraphInstantiateWithFlags, (CUgraphExec * exec, CUgraph graph, unsigned long long flags))     \
  X(GraphExecKernelNodeSetParams,                                                                 \
    (CUgraphExec exec, CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* params))                  \
  X(GraphExecMemsetNodeSetParams, (CUgraphExec exec, CUgraphNode node,                            \
                                   const CUDA_MEMSET_NODE_PARAMS* params, CUcontext context))     \
  X(GraphLaunch, (CUgraphExec exec, CUstream stream))                                             \
  X(GraphExecDestroy, (CUgraphExec exec))

// Entries that only newer drivers have: null where they are missing.
#define GPTLOOM_DRIVER_OPTIONAL(X) \
  X(FuncGetParamInfo, (CUfunction function, size_t index, size_t * offset, size_t * size))

struct Driver {
#define GPTLOOM_POINTER(name, parameters) CUresult(GPTLOOM_CUDAAPI* name) parameters = nullptr;
  GPTLOOM_DRIVER_ENTRIES(GPTLOOM_POINTER)
  GPTLOOM_DRIVER_OPTIONAL(GPTLOOM_POINTER)
#undef GPTLOOM_POINTER

  // "ILLEGAL_ADDRESS (700): an illegal memory access was encountered"
  std::string explain(CUresult result) const;
};

struct Loaded {
  const Driver* driver;  // null: there is none
  std::string reason;    // why: what the loader or the driver answered
  int version;           // the highest CUDA version that the driver serves: 12040 for 12.4
};

// Opens the driver at the first call. It is never closed: its threads may run until the process
// ends.
const Loaded& load_driver();

}  // namespace gptloom::cuda
