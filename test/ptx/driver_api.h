// Prototypes of the driver API as this library exports it, under the versioned names that cuda.h maps to.
// `return` for all: CUDA_SUCCESS or the code a real driver gives. What is not listed here is exported by
// driver_missing.cc and answers CUDA_ERROR_NOT_SUPPORTED.
#pragma once
#include "driver_types.h"

#ifndef PTX_API
#define PTX_API extern "C" __attribute__((visibility("default"))) CUresult
#endif
typedef unsigned int PTX_uint;

// ---- driver, devices (driver_device.cc) -----------------------------------------------------------
PTX_API cuInit(PTX_uint flags);
PTX_API cuDriverGetVersion(int* version);
PTX_API cuDeviceGet(CUdevice* device, int ordinal);
PTX_API cuDeviceGetCount(int* count);
PTX_API cuDeviceGetName(char* name, int length, CUdevice device);
PTX_API cuDeviceGetUuid(CUuuid* uuid, CUdevice device);
PTX_API cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device);
PTX_API cuDeviceTotalMem_v2(size_t* bytes, CUdevice device);
PTX_API cuDeviceGetAttribute(int* value, int attribute, CUdevice device);
PTX_API cuDeviceComputeCapability(int* major, int* minor, CUdevice device);
PTX_API cuDeviceGetPCIBusId(char* id, int length, CUdevice device);
PTX_API cuDeviceGetByPCIBusId(CUdevice* device, const char* id);
PTX_API cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer);
PTX_API cuDeviceGetExecAffinitySupport(int* supported, int type, CUdevice device);
PTX_API cuGetErrorName(CUresult error, const char** name);
PTX_API cuGetErrorString(CUresult error, const char** text);
PTX_API cuGetProcAddress(const char* symbol, void** function, int version, uint64_t flags);
PTX_API cuGetProcAddress_v2(const char* symbol, void** function, int version, uint64_t flags, int* status);
PTX_API cuProfilerInitialize(const char* config, const char* output, int mode);
PTX_API cuProfilerStart(void);
PTX_API cuProfilerStop(void);

// ---- contexts (driver_context.cc) -----------------------------------------------------------------
PTX_API cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device);
PTX_API cuDevicePrimaryCtxRelease_v2(CUdevice device);
PTX_API cuDevicePrimaryCtxReset_v2(CUdevice device);
PTX_API cuDevicePrimaryCtxSetFlags_v2(CUdevice device, PTX_uint flags);
PTX_API cuDevicePrimaryCtxGetState(CUdevice device, PTX_uint* flags, int* active);
PTX_API cuCtxCreate_v2(CUcontext* context, PTX_uint flags, CUdevice device);
PTX_API cuCtxCreate_v3(CUcontext* context, void* affinity, int count, PTX_uint flags, CUdevice device);
PTX_API cuCtxCreate_v4(CUcontext* context, CUctxCreateParams* params, PTX_uint flags, CUdevice device);
PTX_API cuCtxDestroy_v2(CUcontext context);
PTX_API cuCtxPushCurrent_v2(CUcontext context);
PTX_API cuCtxPopCurrent_v2(CUcontext* context);
PTX_API cuCtxSetCurrent(CUcontext context);
PTX_API cuCtxGetCurrent(CUcontext* context);
PTX_API cuCtxGetDevice(CUdevice* device);
PTX_API cuCtxGetDevice_v2(CUdevice* device, CUcontext context);
PTX_API cuCtxGetFlags(PTX_uint* flags);
PTX_API cuCtxSetFlags(PTX_uint flags);
PTX_API cuCtxGetId(CUcontext context, unsigned long long* id);
PTX_API cuCtxGetApiVersion(CUcontext context, PTX_uint* version);
PTX_API cuCtxSynchronize(void);
PTX_API cuCtxSynchronize_v2(CUcontext context);
PTX_API cuCtxSetLimit(CUlimit limit, size_t value);
PTX_API cuCtxGetLimit(size_t* value, CUlimit limit);
PTX_API cuCtxGetCacheConfig(int* config);
PTX_API cuCtxSetCacheConfig(int config);
PTX_API cuCtxGetSharedMemConfig(int* config);
PTX_API cuCtxSetSharedMemConfig(int config);
PTX_API cuCtxGetStreamPriorityRange(int* least, int* greatest);
PTX_API cuCtxResetPersistingL2Cache(void);
PTX_API cuCtxEnablePeerAccess(CUcontext peer, PTX_uint flags);
PTX_API cuCtxDisablePeerAccess(CUcontext peer);

// ---- modules, libraries, functions (driver_module.cc, driver_function.cc) -------------------------
PTX_API cuModuleLoad(CUmodule* module, const char* path);
PTX_API cuModuleLoadData(CUmodule* module, const void* image);
PTX_API cuModuleLoadDataEx(CUmodule* module, const void* image, PTX_uint count, CUjit_option* options,
                           void** values);
PTX_API cuModuleLoadFatBinary(CUmodule* module, const void* fatbin);
PTX_API cuModuleUnload(CUmodule module);
PTX_API cuModuleGetLoadingMode(int* mode);
PTX_API cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name);
PTX_API cuModuleGetFunctionCount(PTX_uint* count, CUmodule module);
PTX_API cuModuleEnumerateFunctions(CUfunction* functions, PTX_uint count, CUmodule module);
PTX_API cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name);
PTX_API cuLinkCreate_v2(PTX_uint count, CUjit_option* options, void** values, CUlinkState* state);
PTX_API cuLinkAddData_v2(CUlinkState state, int type, void* data, size_t bytes, const char* name,
                         PTX_uint count, CUjit_option* options, void** values);
PTX_API cuLinkAddFile_v2(CUlinkState state, int type, const char* path, PTX_uint count,
                         CUjit_option* options, void** values);
PTX_API cuLinkComplete(CUlinkState state, void** image, size_t* bytes);
PTX_API cuLinkDestroy(CUlinkState state);
PTX_API cuLibraryLoadData(CUlibrary* library, const void* image, CUjit_option* options, void** values,
                          PTX_uint count, int* library_options, void** library_values,
                          PTX_uint library_count);
PTX_API cuLibraryLoadFromFile(CUlibrary* library, const char* path, CUjit_option* options, void** values,
                              PTX_uint count, int* library_options, void** library_values,
                              PTX_uint library_count);
PTX_API cuLibraryUnload(CUlibrary library);
PTX_API cuLibraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name);
PTX_API cuLibraryGetKernelCount(PTX_uint* count, CUlibrary library);
PTX_API cuLibraryEnumerateKernels(CUkernel* kernels, PTX_uint count, CUlibrary library);
PTX_API cuLibraryGetModule(CUmodule* module, CUlibrary library);
PTX_API cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name);
PTX_API cuLibraryGetManaged(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name);
PTX_API cuKernelGetFunction(CUfunction* function, CUkernel kernel);
PTX_API cuKernelGetLibrary(CUlibrary* library, CUkernel kernel);
PTX_API cuKernelGetName(const char** name, CUkernel kernel);
PTX_API cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* size);
PTX_API cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device);
PTX_API cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device);
PTX_API cuKernelSetCacheConfig(CUkernel kernel, int config, CUdevice device);
PTX_API cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function);
PTX_API cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value);
PTX_API cuFuncSetCacheConfig(CUfunction function, int config);
PTX_API cuFuncSetSharedMemConfig(CUfunction function, int config);
PTX_API cuFuncGetModule(CUmodule* module, CUfunction function);
PTX_API cuFuncGetName(const char** name, CUfunction function);
PTX_API cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size);
PTX_API cuFuncIsLoaded(int* state, CUfunction function);
PTX_API cuFuncLoad(CUfunction function);

// ---- occupancy (driver_occupancy.cc) --------------------------------------------------------------
PTX_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads,
                                                    size_t shared);
PTX_API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int threads,
                                                             size_t shared, PTX_uint flags);
PTX_API cuOccupancyMaxPotentialBlockSize(int* grid, int* threads, CUfunction function,
                                         CUoccupancyB2DSize shared_of, size_t shared, int limit);
PTX_API cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* threads, CUfunction function,
                                                  CUoccupancyB2DSize shared_of, size_t shared, int limit,
                                                  PTX_uint flags);
PTX_API cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction function, int blocks,
                                                int threads);
PTX_API cuOccupancyMaxPotentialClusterSize(int* size, CUfunction function, const CUlaunchConfig* config);
PTX_API cuOccupancyMaxActiveClusters(int* clusters, CUfunction function, const CUlaunchConfig* config);

// ---- launches (driver_launch.cc) ------------------------------------------------------------------
PTX_API cuLaunchKernel(CUfunction function, PTX_uint grid_x, PTX_uint grid_y, PTX_uint grid_z,
                       PTX_uint block_x, PTX_uint block_y, PTX_uint block_z, PTX_uint shared,
                       CUstream stream, void** params, void** extra);
PTX_API cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params, void** extra);
PTX_API cuLaunchCooperativeKernel(CUfunction function, PTX_uint grid_x, PTX_uint grid_y, PTX_uint grid_z,
                                  PTX_uint block_x, PTX_uint block_y, PTX_uint block_z, PTX_uint shared,
                                  CUstream stream, void** params);
PTX_API cuLaunchHostFunc(CUstream stream, CUhostFn function, void* data);

// ---- memory (driver_memory.cc, driver_pool.cc, driver_pointer.cc) ---------------------------------
PTX_API cuMemGetInfo_v2(size_t* free, size_t* total);
PTX_API cuMemAlloc_v2(CUdeviceptr* address, size_t bytes);
PTX_API cuMemAllocPitch_v2(CUdeviceptr* address, size_t* pitch, size_t width, size_t height,
                           PTX_uint element);
PTX_API cuMemAllocManaged(CUdeviceptr* address, size_t bytes, PTX_uint flags);
PTX_API cuMemFree_v2(CUdeviceptr address);
PTX_API cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address);
PTX_API cuMemAllocHost_v2(void** host, size_t bytes);
PTX_API cuMemHostAlloc(void** host, size_t bytes, PTX_uint flags);
PTX_API cuMemFreeHost(void* host);
PTX_API cuMemHostGetDevicePointer_v2(CUdeviceptr* address, void* host, PTX_uint flags);
PTX_API cuMemHostGetFlags(PTX_uint* flags, void* host);
PTX_API cuMemHostRegister_v2(void* host, size_t bytes, PTX_uint flags);
PTX_API cuMemHostUnregister(void* host);
PTX_API cuMemAdvise(CUdeviceptr address, size_t bytes, int advice, CUdevice device);
PTX_API cuMemAdvise_v2(CUdeviceptr address, size_t bytes, int advice, CUmemLocation location);
PTX_API cuMemPrefetchAsync(CUdeviceptr address, size_t bytes, CUdevice device, CUstream stream);
PTX_API cuMemPrefetchAsync_v2(CUdeviceptr address, size_t bytes, CUmemLocation location, PTX_uint flags,
                              CUstream stream);
PTX_API cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream);
PTX_API cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream);
PTX_API cuMemFreeAsync(CUdeviceptr address, CUstream stream);
PTX_API cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties);
PTX_API cuMemPoolDestroy(CUmemoryPool pool);
PTX_API cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value);
PTX_API cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void* value);
PTX_API cuMemPoolTrimTo(CUmemoryPool pool, size_t bytes);
PTX_API cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* map, size_t count);
PTX_API cuMemPoolGetAccess(int* flags, CUmemoryPool pool, CUmemLocation* location);
PTX_API cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device);
PTX_API cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device);
PTX_API cuDeviceSetMemPool(CUdevice device, CUmemoryPool pool);
PTX_API cuDeviceGraphMemTrim(CUdevice device);
PTX_API cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr address);
PTX_API cuPointerGetAttributes(PTX_uint count, CUpointer_attribute* attributes, void** values,
                               CUdeviceptr address);
PTX_API cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr address);

// ---- copies and fills (driver_copy.cc) ------------------------------------------------------------
PTX_API cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes);
PTX_API cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes);
PTX_API cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes);
PTX_API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes);
PTX_API cuMemcpyPeer(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                     size_t bytes);
PTX_API cuMemcpy2D_v2(const CUDA_MEMCPY2D* copy);
PTX_API cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* copy);
PTX_API cuMemcpy3D_v2(const CUDA_MEMCPY3D* copy);
PTX_API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream);
PTX_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream);
PTX_API cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream);
PTX_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream);
PTX_API cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context,
                          size_t bytes, CUstream stream);
PTX_API cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, CUstream stream);
PTX_API cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* copy, CUstream stream);
PTX_API cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count);
PTX_API cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t count);
PTX_API cuMemsetD32_v2(CUdeviceptr to, PTX_uint value, size_t count);
PTX_API cuMemsetD2D8_v2(CUdeviceptr to, size_t pitch, unsigned char value, size_t width, size_t height);
PTX_API cuMemsetD2D16_v2(CUdeviceptr to, size_t pitch, unsigned short value, size_t width, size_t height);
PTX_API cuMemsetD2D32_v2(CUdeviceptr to, size_t pitch, PTX_uint value, size_t width, size_t height);
PTX_API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream);
PTX_API cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, CUstream stream);
PTX_API cuMemsetD32Async(CUdeviceptr to, PTX_uint value, size_t count, CUstream stream);
PTX_API cuMemsetD2D8Async(CUdeviceptr to, size_t pitch, unsigned char value, size_t width, size_t height,
                          CUstream stream);
PTX_API cuMemsetD2D16Async(CUdeviceptr to, size_t pitch, unsigned short value, size_t width, size_t height,
                           CUstream stream);
PTX_API cuMemsetD2D32Async(CUdeviceptr to, size_t pitch, PTX_uint value, size_t width, size_t height,
                           CUstream stream);

// ---- streams and events (driver_stream.cc, driver_event.cc) ---------------------------------------
PTX_API cuStreamCreate(CUstream* stream, PTX_uint flags);
PTX_API cuStreamCreateWithPriority(CUstream* stream, PTX_uint flags, int priority);
PTX_API cuStreamDestroy_v2(CUstream stream);
PTX_API cuStreamQuery(CUstream stream);
PTX_API cuStreamSynchronize(CUstream stream);
PTX_API cuStreamWaitEvent(CUstream stream, CUevent event, PTX_uint flags);
PTX_API cuStreamAddCallback(CUstream stream, CUstreamCallback callback, void* data, PTX_uint flags);
PTX_API cuStreamGetPriority(CUstream stream, int* priority);
PTX_API cuStreamGetFlags(CUstream stream, PTX_uint* flags);
PTX_API cuStreamGetId(CUstream stream, unsigned long long* id);
PTX_API cuStreamGetCtx(CUstream stream, CUcontext* context);
PTX_API cuStreamGetDevice(CUstream stream, CUdevice* device);
PTX_API cuStreamGetAttribute(CUstream stream, CUlaunchAttributeID attribute, CUlaunchAttributeValue* value);
PTX_API cuStreamSetAttribute(CUstream stream, CUlaunchAttributeID attribute,
                             const CUlaunchAttributeValue* value);
PTX_API cuStreamCopyAttributes(CUstream to, CUstream from);
PTX_API cuStreamAttachMemAsync(CUstream stream, CUdeviceptr address, size_t bytes, PTX_uint flags);
PTX_API cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr address, uint32_t value, PTX_uint flags);
PTX_API cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr address, uint64_t value, PTX_uint flags);
PTX_API cuEventCreate(CUevent* event, PTX_uint flags);
PTX_API cuEventDestroy_v2(CUevent event);
PTX_API cuEventRecord(CUevent event, CUstream stream);
PTX_API cuEventRecordWithFlags(CUevent event, CUstream stream, PTX_uint flags);
PTX_API cuEventQuery(CUevent event);
PTX_API cuEventSynchronize(CUevent event);
PTX_API cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end);
PTX_API cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end);

#include "graph_api.h"
