// The runtime's API by the driver's, what is called more rarely: graphs built by hand, pools,
// hints, callbacks, occupancy of clusters, entries of the driver by name.
#include "runtime.h"

using namespace runtime;

static CUlaunchConfig config_of(const cudaLaunchConfig_t& c) {
  CUlaunchConfig config{};
  config.gridDimX = c.gridDim.x, config.gridDimY = c.gridDim.y, config.gridDimZ = c.gridDim.z;
  config.blockDimX = c.blockDim.x, config.blockDimY = c.blockDim.y;
  config.blockDimZ = c.blockDim.z;
  config.sharedMemBytes = unsigned(c.dynamicSmemBytes);
  config.hStream = c.stream;
  config.attrs = reinterpret_cast<CUlaunchAttribute*>(c.attrs);  // the same layout
  config.numAttrs = c.numAttrs;
  return config;
}

static int kernel_node(const cudaKernelNodeParams& p, CUDA_KERNEL_NODE_PARAMS* out) {
  *out = CUDA_KERNEL_NODE_PARAMS{};
  out->gridDimX = p.gridDim.x, out->gridDimY = p.gridDim.y, out->gridDimZ = p.gridDim.z;
  out->blockDimX = p.blockDim.x, out->blockDimY = p.blockDim.y, out->blockDimZ = p.blockDim.z;
  out->sharedMemBytes = p.sharedMemBytes;
  out->kernelParams = p.kernelParams, out->extra = p.extra;
  return find_function(p.func, &out->func);
}

extern "C" {

// ---- Device

cudaError_t cudaSetDeviceFlags(unsigned) { CALL(0); }
cudaError_t cudaGetDeviceFlags(unsigned* flags) {
  *flags = 0;
  CALL(0);
}
cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  CALL(device ? cudaErrorInvalidDevice : 0);
}
cudaError_t cudaDeviceGetPCIBusId(char* out, int length, int device) {
  CALL(cuDeviceGetPCIBusId(out, length, device));
}
cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr, int, int) {
  *value = 0;  // the one device has no peer
  return done(cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceDisablePeerAccess(int) { return done(cudaErrorPeerAccessNotEnabled); }
cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return done(cudaErrorInvalidDevice); }
cudaError_t cudaDeviceSetSharedMemConfig(cudaSharedMemConfig) { CALL(0); }
cudaError_t cudaFuncSetSharedMemConfig(const void*, cudaSharedMemConfig) { CALL(0); }
cudaError_t cudaCtxResetPersistingL2Cache() { CALL(cuCtxResetPersistingL2Cache()); }
cudaError_t cudaGetFuncBySymbol(cudaFunction_t* function, const void* host) {
  return done(find_function(host, function));
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                             unsigned long long flags,
                                             cudaDriverEntryPointQueryResult* status) {
  CUdriverProcAddressQueryResult found{};
  const int error = enter();
  const int asked =
      error ? error : cuGetProcAddress(name, function, int(version), flags, &found);
  if (status) *status = static_cast<cudaDriverEntryPointQueryResult>(found);
  return done(asked == CUDA_ERROR_NOT_FOUND && status ? 0 : asked);
}
cudaError_t cudaGetDriverEntryPoint(const char* name, void** function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* status) {
  return cudaGetDriverEntryPointByVersion(name, function, CUDART_VERSION, flags, status);
}

// ---- Memory

cudaError_t cudaMemset2DAsync(void* p, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  CALL(cuMemsetD2D8Async(address(p), pitch, static_cast<unsigned char>(value), width, height,
                         stream));
}
cudaError_t cudaHostGetFlags(unsigned* flags, void* p) { CALL(cuMemHostGetFlags(flags, p)); }
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, size_t bytes) {
  CALL(cuMemcpy(address(to), address(from), bytes));
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes,
                                cudaStream_t stream) {
  CALL(cuMemcpyAsync(address(to), address(from), bytes, stream));
}
// Hints: managed memory is where both sides reach it.
cudaError_t cudaMemPrefetchAsync(const void*, size_t, cudaMemLocation, unsigned, cudaStream_t) {
  CALL(0);
}
cudaError_t cudaMemAdvise(const void*, size_t, cudaMemoryAdvise, cudaMemLocation) { CALL(0); }
cudaError_t cudaStreamAttachMemAsync(cudaStream_t, void*, size_t, unsigned) { CALL(0); }
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  CALL(cuDeviceGetDefaultMemPool(pool, device));
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* pool, int device) {
  CALL(cuDeviceGetMemPool(pool, device));
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr which, void* value) {
  CALL(cuMemPoolSetAttribute(pool, static_cast<CUmemPool_attribute>(which), value));
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr which, void* value) {
  CALL(cuMemPoolGetAttribute(pool, static_cast<CUmemPool_attribute>(which), value));
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* props) {
  CALL(cuMemPoolCreate(pool, reinterpret_cast<const CUmemPoolProps*>(props)));
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) { CALL(cuMemPoolDestroy(pool)); }
cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool) {
  CALL(cuDeviceSetMemPool(device, pool));
}
cudaError_t cudaMallocFromPoolAsync(void** p, size_t bytes, cudaMemPool_t pool,
                                    cudaStream_t stream) {
  CALL(cuMemAllocFromPoolAsync(reinterpret_cast<CUdeviceptr*>(p), bytes, pool, stream));
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t keep) {
  CALL(cuMemPoolTrimTo(pool, keep));
}

// ---- Occupancy

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* host,
                                           const cudaLaunchConfig_t* c) {
  CUfunction f = nullptr;
  const int error = find_function(host, &f);
  const CUlaunchConfig config = config_of(*c);
  return done(error ? error : cuOccupancyMaxActiveClusters(clusters, f, &config));
}
cudaError_t cudaOccupancyMaxPotentialClusterSize(int* size, const void* host,
                                                 const cudaLaunchConfig_t* c) {
  CUfunction f = nullptr;
  const int error = find_function(host, &f);
  const CUlaunchConfig config = config_of(*c);
  return done(error ? error : cuOccupancyMaxPotentialClusterSize(size, f, &config));
}
cudaError_t cudaOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, const void* host, int blocks,
                                                      int threads) {
  CUfunction f = nullptr;
  const int error = find_function(host, &f);
  return done(error ? error : cuOccupancyAvailableDynamicSMemPerBlock(bytes, f, blocks, threads));
}

// ---- Streams and events

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data,
                                  unsigned flags) {
  CALL(cuStreamAddCallback(stream, reinterpret_cast<CUstreamCallback>(callback), data, flags));
}
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  CALL(cuStreamGetPriority(stream, priority));
}
cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned* flags) {
  CALL(cuStreamGetFlags(stream, flags));
}
cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  CALL(cuStreamGetId(stream, id));
}
cudaError_t cudaStreamSetAttribute(cudaStream_t stream, cudaStreamAttrID which,
                                   const cudaStreamAttrValue* value) {
  CALL(cuStreamSetAttribute(stream, static_cast<CUstreamAttrID>(which),
                            reinterpret_cast<const CUstreamAttrValue*>(value)));
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  CALL(cuThreadExchangeStreamCaptureMode(reinterpret_cast<CUstreamCaptureMode*>(mode)));
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  CALL(cuEventRecordWithFlags(event, stream, flags));
}

// ---- Graphs

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned flags) {
  CALL(cuGraphCreate(graph, flags));
}
cudaError_t cudaGraphClone(cudaGraph_t* made, cudaGraph_t from) { CALL(cuGraphClone(made, from)); }
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                   const cudaGraphNode_t* after, size_t count,
                                   const cudaKernelNodeParams* params) {
  CUDA_KERNEL_NODE_PARAMS p;
  const int error = kernel_node(*params, &p);
  return done(error ? error : cuGraphAddKernelNode(node, graph, after, count, &p));
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  CUDA_KERNEL_NODE_PARAMS p;
  const int error = kernel_node(*params, &p);
  return done(error ? error : cuGraphExecKernelNodeSetParams(exec, node, &p));
}
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph,
                                     const cudaGraphNode_t* after, size_t count, void* to,
                                     const void* from, size_t bytes, cudaMemcpyKind) {
  CUcontext context = nullptr;
  const int error = enter();
  if (error) return done(error);
  cuCtxGetCurrent(&context);
  CUDA_MEMCPY3D p{};
  p.srcMemoryType = p.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  p.srcDevice = address(from), p.dstDevice = address(to);
  p.WidthInBytes = bytes, p.Height = p.Depth = 1;
  return done(cuGraphAddMemcpyNode(node, graph, after, count, &p, context));
}
cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                   const cudaGraphNode_t* after, size_t count,
                                   const cudaMemsetParams* params) {
  CUcontext context = nullptr;
  const int error = enter();
  if (error) return done(error);
  cuCtxGetCurrent(&context);
  CUDA_MEMSET_NODE_PARAMS p{};
  p.dst = address(params->dst), p.pitch = params->pitch, p.value = params->value;
  p.elementSize = params->elementSize, p.width = params->width, p.height = params->height;
  return done(cuGraphAddMemsetNode(node, graph, after, count, &p, context));
}
cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                 const cudaGraphNode_t* after, size_t count,
                                 const cudaHostNodeParams* params) {
  CUDA_HOST_NODE_PARAMS p{};
  p.fn = params->fn, p.userData = params->userData;
  CALL(cuGraphAddHostNode(node, graph, after, count, &p));
}
cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                  const cudaGraphNode_t* after, size_t count) {
  CALL(cuGraphAddEmptyNode(node, graph, after, count));
}
cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from,
                                     const cudaGraphNode_t* to, const cudaGraphEdgeData* data,
                                     size_t count) {
  CALL(cuGraphAddDependencies(graph, from, to, reinterpret_cast<const CUgraphEdgeData*>(data),
                              count));
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  CALL(cuGraphGetNodes(graph, nodes, count));
}
cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  CALL(cuGraphGetRootNodes(graph, nodes, count));
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  CALL(cuGraphNodeGetType(node, reinterpret_cast<CUgraphNodeType*>(type)));
}
cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) { CALL(cuGraphDestroyNode(node)); }
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                       const cudaGraphNode_t* after, size_t count,
                                       cudaGraph_t child) {
  CALL(cuGraphAddChildGraphNode(node, graph, after, count, child));
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** after, const cudaGraphEdgeData** data,
                                     size_t* count) {
  cuuint64_t number = 0;
  const int error = enter();
  const int asked =
      error ? error
            : cuStreamGetCaptureInfo(stream, reinterpret_cast<CUstreamCaptureStatus*>(status),
                                     &number, graph, after,
                                     reinterpret_cast<const CUgraphEdgeData**>(data), count);
  if (id) *id = number;
  return done(asked);
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph,
                                          unsigned long long flags) {
  CALL(cuGraphInstantiateWithFlags(exec, graph, flags));
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* result) {
  CALL(cuGraphExecUpdate(exec, graph, reinterpret_cast<CUgraphExecUpdateResultInfo*>(result)));
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
  CALL(cuGraphUpload(exec, stream));
}

}  // extern "C"
