// The runtime's API by the driver's: devices, memory, streams, events, launches, graphs.
#include <cstring>

#include "runtime.h"

using namespace runtime;

static CUdeviceptr* place(void** p) { return reinterpret_cast<CUdeviceptr*>(p); }

static int find(const void* symbol, size_t count, size_t offset, CUdeviceptr* at) {
  size_t bytes = 0;
  const int error = find_variable(symbol, at, &bytes);
  if (error) return error;
  if (offset > bytes || count > bytes - offset) return cudaErrorInvalidValue;
  *at += offset;
  return 0;
}

// The runtime has a code of its own for a shape that no kernel can have.
static bool impossible(dim3 grid, dim3 block) {
  int most = 0;
  cuDeviceGetAttribute(&most, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0);
  const uint64_t threads = uint64_t(block.x) * block.y * block.z,
                 blocks = uint64_t(grid.x) * grid.y * grid.z;
  return !blocks || !threads || threads > uint64_t(most) || block.z > 64 || grid.y > 65535 ||
         grid.z > 65535 || grid.x > 0x7fffffff;
}

static int launch(const void* host, dim3 grid, dim3 block, void** arguments, size_t shared,
                  cudaStream_t stream, bool cooperative) {
  CUfunction f = nullptr;
  if (const int error = find_function(host, &f)) return error;
  const int error =
      cooperative ? cuLaunchCooperativeKernel(f, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                              unsigned(shared), stream, arguments)
                  : cuLaunchKernel(f, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                                   unsigned(shared), stream, arguments, nullptr);
  return error == CUDA_ERROR_INVALID_VALUE && impossible(grid, block) ? cudaErrorInvalidConfiguration
                                                                     : error;
}

static int attribute(int* value, int which) {
  return cuDeviceGetAttribute(value, static_cast<CUdevice_attribute>(which), 0);
}

extern "C" {

// ---- Errors, device

cudaError_t cudaGetLastError() { return last_error(true); }
cudaError_t cudaPeekAtLastError() { return last_error(false); }
cudaError_t cudaGetDeviceCount(int* count) { CALL(cuDeviceGetCount(count)); }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  CALL(0);
}
cudaError_t cudaSetDevice(int device) { CALL(device ? cudaErrorInvalidDevice : 0); }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  CALL(attribute(value, int(which)));
}
cudaError_t cudaDeviceSynchronize() { CALL(cuCtxSynchronize()); }
cudaError_t cudaDeviceReset() { return done(reset()); }
cudaError_t cudaDeviceSetLimit(cudaLimit limit, size_t value) {
  CALL(cuCtxSetLimit(static_cast<CUlimit>(limit), value));
}
cudaError_t cudaDeviceGetLimit(size_t* value, cudaLimit limit) {
  CALL(cuCtxGetLimit(value, static_cast<CUlimit>(limit)));
}
cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache config) {
  CALL(cuCtxSetCacheConfig(static_cast<CUfunc_cache>(config)));
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  CALL(cuCtxGetStreamPriorityRange(least, greatest));
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  CALL(0);
}
cudaError_t cudaDriverGetVersion(int* version) { return done(cuDriverGetVersion(version)); }
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  if (const int error = enter()) return done(error);
  *p = cudaDeviceProp{};
  cuDeviceGetName(p->name, sizeof p->name, 0);
  cuDeviceTotalMem(&p->totalGlobalMem, 0);
  auto get = [](int which) {
    int value = 0;
    attribute(&value, which);
    return value;
  };
  p->major = get(cudaDevAttrComputeCapabilityMajor);
  p->minor = get(cudaDevAttrComputeCapabilityMinor);
  p->warpSize = 32;
  p->multiProcessorCount = get(cudaDevAttrMultiProcessorCount);
  p->maxThreadsPerBlock = get(cudaDevAttrMaxThreadsPerBlock);
  p->maxThreadsPerMultiProcessor = get(cudaDevAttrMaxThreadsPerMultiProcessor);
  p->maxBlocksPerMultiProcessor = get(cudaDevAttrMaxBlocksPerMultiprocessor);
  for (int k = 0; k < 3; ++k) {
    p->maxThreadsDim[k] = get(cudaDevAttrMaxBlockDimX + k);
    p->maxGridSize[k] = get(cudaDevAttrMaxGridDimX + k);
  }
  p->sharedMemPerBlock = size_t(get(cudaDevAttrMaxSharedMemoryPerBlock));
  p->sharedMemPerBlockOptin = size_t(get(cudaDevAttrMaxSharedMemoryPerBlockOptin));
  p->sharedMemPerMultiprocessor = size_t(get(cudaDevAttrMaxSharedMemoryPerMultiprocessor));
  p->reservedSharedMemPerBlock = size_t(get(cudaDevAttrReservedSharedMemoryPerBlock));
  p->regsPerBlock = get(cudaDevAttrMaxRegistersPerBlock);
  p->regsPerMultiprocessor = get(cudaDevAttrMaxRegistersPerMultiprocessor);
  p->totalConstMem = size_t(get(cudaDevAttrTotalConstantMemory));
  p->l2CacheSize = get(cudaDevAttrL2CacheSize);
  p->memoryBusWidth = get(cudaDevAttrGlobalMemoryBusWidth);
  p->concurrentKernels = get(cudaDevAttrConcurrentKernels);
  p->asyncEngineCount = get(cudaDevAttrAsyncEngineCount);
  p->streamPrioritiesSupported = get(cudaDevAttrStreamPrioritiesSupported);
  p->globalL1CacheSupported = get(cudaDevAttrGlobalL1CacheSupported);
  p->localL1CacheSupported = get(cudaDevAttrLocalL1CacheSupported);
  p->computePreemptionSupported = get(cudaDevAttrComputePreemptionSupported);
  p->concurrentManagedAccess = get(cudaDevAttrConcurrentManagedAccess);
  p->canUseHostPointerForRegisteredMem = get(cudaDevAttrCanUseHostPointerForRegisteredMem);
  p->hostRegisterSupported = get(cudaDevAttrHostRegisterSupported);
  p->memoryPoolsSupported = get(cudaDevAttrMemoryPoolsSupported);
  p->cooperativeLaunch = get(cudaDevAttrCooperativeLaunch);
  p->clusterLaunch = get(cudaDevAttrClusterLaunch);
  p->managedMemory = get(cudaDevAttrManagedMemory);
  p->memPitch = size_t(get(cudaDevAttrMaxPitch));
  p->pciDeviceID = get(cudaDevAttrPciDeviceId);
  p->unifiedAddressing = 1;
  p->canMapHostMemory = 1;
  cuDeviceGetUuid(&p->uuid, 0);
  p->textureAlignment = 512;
  return cudaSuccess;
}
cudaError_t cudaProfilerStart() { CALL(cuProfilerStart()); }
cudaError_t cudaProfilerStop() { CALL(cuProfilerStop()); }

// ---- Memory

cudaError_t cudaMalloc(void** p, size_t bytes) {
  *p = nullptr;
  CALL(bytes ? cuMemAlloc(place(p), bytes) : CUDA_SUCCESS);
}
cudaError_t cudaMallocPitch(void** p, size_t* pitch, size_t width, size_t height) {
  CALL(cuMemAllocPitch(place(p), pitch, width, height, 16));
}
cudaError_t cudaFree(void* p) { CALL(p ? cuMemFree(address(p)) : CUDA_SUCCESS); }
cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t stream) {
  CALL(cuMemAllocAsync(place(p), bytes, stream));
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  CALL(cuMemFreeAsync(address(p), stream));
}
cudaError_t cudaMallocManaged(void** p, size_t bytes, unsigned flags) {
  CALL(cuMemAllocManaged(place(p), bytes, flags));
}
cudaError_t cudaMallocHost(void** p, size_t bytes) { CALL(cuMemAllocHost(p, bytes)); }
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned flags) {
  CALL(cuMemHostAlloc(p, bytes, flags));
}
cudaError_t cudaFreeHost(void* p) { CALL(p ? cuMemFreeHost(p) : CUDA_SUCCESS); }
cudaError_t cudaHostRegister(void* p, size_t bytes, unsigned flags) {
  CALL(cuMemHostRegister(p, bytes, flags));
}
cudaError_t cudaHostUnregister(void* p) { CALL(cuMemHostUnregister(p)); }
cudaError_t cudaHostGetDevicePointer(void** p, void* host, unsigned flags) {
  CALL(cuMemHostGetDevicePointer(place(p), host, flags));
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) { CALL(cuMemGetInfo(free, total)); }
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  CALL(bytes ? cuMemcpy(address(to), address(from), bytes) : CUDA_SUCCESS);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  CALL(bytes ? cuMemcpyAsync(address(to), address(from), bytes, stream) : CUDA_SUCCESS);
}
cudaError_t cudaMemset(void* p, int value, size_t bytes) {
  CALL(bytes ? cuMemsetD8(address(p), static_cast<unsigned char>(value), bytes) : CUDA_SUCCESS);
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  CALL(bytes ? cuMemsetD8Async(address(p), static_cast<unsigned char>(value), bytes, stream)
             : CUDA_SUCCESS);
}
cudaError_t cudaMemset2D(void* p, size_t pitch, int value, size_t width, size_t height) {
  CALL(cuMemsetD2D8(address(p), pitch, static_cast<unsigned char>(value), width, height));
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind, cudaStream_t stream) {
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  copy.srcDevice = address(from), copy.srcPitch = from_pitch;
  copy.dstDevice = address(to), copy.dstPitch = to_pitch;
  copy.WidthInBytes = width, copy.Height = height;
  CALL(cuMemcpy2DAsync(&copy, stream));
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                         size_t width, size_t height, cudaMemcpyKind kind) {
  const cudaError_t error =
      cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, nullptr);
  return error ? error : done(cuStreamSynchronize(nullptr));
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* out, const void* p) {
  *out = cudaPointerAttributes{};
  int type = 0, managed = 0;
  if (const int error = enter()) return done(error);
  const CUdeviceptr at = address(p);
  if (cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, at)) return cudaSuccess;
  cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, at);
  out->type = managed ? cudaMemoryTypeManaged : static_cast<cudaMemoryType>(type);
  out->devicePointer = out->hostPointer = const_cast<void*>(p);
  return cudaSuccess;
}

// ---- Symbols

cudaError_t cudaGetSymbolAddress(void** p, const void* symbol) {
  return done(find(symbol, 0, 0, place(p)));
}
cudaError_t cudaGetSymbolSize(size_t* bytes, const void* symbol) {
  CUdeviceptr at = 0;
  return done(find_variable(symbol, &at, bytes));
}
cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset,
                               cudaMemcpyKind) {
  CUdeviceptr at = 0;
  const int error = find(symbol, bytes, offset, &at);
  return done(error ? error : cuMemcpy(at, address(from), bytes));
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset,
                                 cudaMemcpyKind) {
  CUdeviceptr at = 0;
  const int error = find(symbol, bytes, offset, &at);
  return done(error ? error : cuMemcpy(address(to), at, bytes));
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes,
                                    size_t offset, cudaMemcpyKind, cudaStream_t stream) {
  CUdeviceptr at = 0;
  const int error = find(symbol, bytes, offset, &at);
  return done(error ? error : cuMemcpyAsync(at, address(from), bytes, stream));
}
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset,
                                      cudaMemcpyKind, cudaStream_t stream) {
  CUdeviceptr at = 0;
  const int error = find(symbol, bytes, offset, &at);
  return done(error ? error : cuMemcpyAsync(address(to), at, bytes, stream));
}

// ---- Launches

cudaError_t cudaLaunchKernel(const void* f, dim3 grid, dim3 block, void** arguments, size_t shared,
                             cudaStream_t stream) {
  return done(launch(f, grid, block, arguments, shared, stream, false));
}
cudaError_t cudaLaunchCooperativeKernel(const void* f, dim3 grid, dim3 block, void** arguments,
                                        size_t shared, cudaStream_t stream) {
  return done(launch(f, grid, block, arguments, shared, stream, true));
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* host, void** arguments) {
  CUfunction f = nullptr;
  if (const int error = find_function(host, &f)) return done(error);
  CUlaunchConfig config{};
  config.gridDimX = c->gridDim.x, config.gridDimY = c->gridDim.y, config.gridDimZ = c->gridDim.z;
  config.blockDimX = c->blockDim.x, config.blockDimY = c->blockDim.y;
  config.blockDimZ = c->blockDim.z;
  config.sharedMemBytes = unsigned(c->dynamicSmemBytes);
  config.hStream = c->stream;
  config.attrs = reinterpret_cast<CUlaunchAttribute*>(c->attrs);  // the same layout
  config.numAttrs = c->numAttrs;
  return done(cuLaunchKernelEx(&config, f, arguments, nullptr));
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t f, void* data) {
  CALL(cuLaunchHostFunc(stream, f, data));
}
cudaError_t cudaFuncSetAttribute(const void* host, cudaFuncAttribute which, int value) {
  CUfunction f = nullptr;
  const int error = find_function(host, &f);
  return done(error ? error
                    : cuFuncSetAttribute(f, static_cast<CUfunction_attribute>(which), value));
}
cudaError_t cudaFuncSetCacheConfig(const void* host, cudaFuncCache config) {
  CUfunction f = nullptr;
  const int error = find_function(host, &f);
  return done(error ? error : cuFuncSetCacheConfig(f, static_cast<CUfunc_cache>(config)));
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* out, const void* host) {
  CUfunction f = nullptr;
  if (const int error = find_function(host, &f)) return done(error);
  *out = cudaFuncAttributes{};
  auto get = [f](CUfunction_attribute which) {
    int value = 0;
    cuFuncGetAttribute(&value, which, f);
    return value;
  };
  out->maxThreadsPerBlock = get(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  out->sharedSizeBytes = size_t(get(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES));
  out->constSizeBytes = size_t(get(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES));
  out->localSizeBytes = size_t(get(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES));
  out->numRegs = get(CU_FUNC_ATTRIBUTE_NUM_REGS);
  out->ptxVersion = get(CU_FUNC_ATTRIBUTE_PTX_VERSION);
  out->binaryVersion = get(CU_FUNC_ATTRIBUTE_BINARY_VERSION);
  out->maxDynamicSharedSizeBytes = get(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* host,
                                                                   int threads, size_t shared,
                                                                   unsigned flags) {
  CUfunction f = nullptr;
  const int error = find_function(host, &f);
  return done(error ? error
                    : cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, f, threads,
                                                                           shared, flags));
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* host,
                                                          int threads, size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, host, threads, shared, 0);
}

// ---- Streams and events

cudaError_t cudaStreamCreate(cudaStream_t* stream) { CALL(cuStreamCreate(stream, 0)); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  CALL(cuStreamCreate(stream, flags));
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  CALL(cuStreamCreateWithPriority(stream, flags, priority));
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { CALL(cuStreamDestroy(stream)); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { CALL(cuStreamSynchronize(stream)); }
cudaError_t cudaStreamQuery(cudaStream_t stream) { CALL(cuStreamQuery(stream)); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  CALL(cuStreamWaitEvent(stream, event, flags));
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { CALL(cuEventCreate(event, 0)); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  CALL(cuEventCreate(event, flags));
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { CALL(cuEventDestroy(event)); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  CALL(cuEventRecord(event, stream));
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { CALL(cuEventSynchronize(event)); }
cudaError_t cudaEventQuery(cudaEvent_t event) { CALL(cuEventQuery(event)); }
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  CALL(cuEventElapsedTime(ms, start, end));
}

// ---- Graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  CALL(cuStreamBeginCapture(stream, static_cast<CUstreamCaptureMode>(mode)));
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  CALL(cuStreamEndCapture(stream, graph));
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  CUstreamCaptureStatus value = CU_STREAM_CAPTURE_STATUS_NONE;
  const int error = enter();
  const int asked = error ? error : cuStreamIsCapturing(stream, &value);
  *status = static_cast<cudaStreamCaptureStatus>(value);
  return done(asked);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags) {
  CALL(cuGraphInstantiateWithFlags(exec, graph, flags));
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  CALL(cuGraphLaunch(exec, stream));
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { CALL(cuGraphDestroy(graph)); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { CALL(cuGraphExecDestroy(exec)); }

}  // extern "C"
