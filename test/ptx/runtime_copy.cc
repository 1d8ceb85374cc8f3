// The runtime's API by the driver's: boxes of pitched memory, and what graphs do with them.
#include "runtime.h"

using namespace runtime;

namespace {

// A box by the driver's numbers. The runtime's extent counts bytes as long as no array takes part.
int box_of(const cudaMemcpy3DParms& p, CUDA_MEMCPY3D* out) {
  *out = CUDA_MEMCPY3D{};
  if (p.srcArray || p.dstArray) return cudaErrorNotSupported;
  out->srcMemoryType = out->dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  out->srcXInBytes = p.srcPos.x, out->srcY = p.srcPos.y, out->srcZ = p.srcPos.z;
  out->srcDevice = address(p.srcPtr.ptr);
  out->srcPitch = p.srcPtr.pitch, out->srcHeight = p.srcPtr.ysize;
  out->dstXInBytes = p.dstPos.x, out->dstY = p.dstPos.y, out->dstZ = p.dstPos.z;
  out->dstDevice = address(p.dstPtr.ptr);
  out->dstPitch = p.dstPtr.pitch, out->dstHeight = p.dstPtr.ysize;
  out->WidthInBytes = p.extent.width, out->Height = p.extent.height, out->Depth = p.extent.depth;
  return 0;
}

bool empty(const cudaExtent& e) { return !e.width || !e.height || !e.depth; }

}  // namespace

extern "C" {

// What it describes, textures and arrays, is missing; to describe it is no error.
cudaChannelFormatDesc cudaCreateChannelDesc(int x, int y, int z, int w,
                                            cudaChannelFormatKind kind) {
  return {x, y, z, w, kind};
}

cudaError_t cudaMalloc3D(cudaPitchedPtr* out, cudaExtent extent) {
  *out = cudaPitchedPtr{nullptr, 0, extent.width, extent.height};
  if (empty(extent)) return done(enter());
  CUdeviceptr at = 0;
  const int error = enter();
  const int made = error ? error
                         : cuMemAllocPitch(&at, &out->pitch, extent.width,
                                           extent.height * extent.depth, 16);
  out->ptr = reinterpret_cast<void*>(at);
  return done(made);
}
cudaError_t cudaMemcpy3DAsync(const cudaMemcpy3DParms* p, cudaStream_t stream) {
  CUDA_MEMCPY3D box;
  const int error = box_of(*p, &box);
  CALL(error ? error : empty(p->extent) ? 0 : int(cuMemcpy3DAsync(&box, stream)));
}
cudaError_t cudaMemcpy3D(const cudaMemcpy3DParms* p) {
  CUDA_MEMCPY3D box;
  const int error = box_of(*p, &box);
  CALL(error ? error : empty(p->extent) ? 0 : int(cuMemcpy3D(&box)));
}
cudaError_t cudaMemset3DAsync(cudaPitchedPtr to, int value, cudaExtent extent,
                              cudaStream_t stream) {
  if (const int error = enter()) return done(error);
  if (empty(extent)) return cudaSuccess;
  for (size_t z = 0; z < extent.depth; ++z) {
    const int error =
        cuMemsetD2D8Async(address(to.ptr) + z * to.pitch * to.ysize, to.pitch,
                          static_cast<unsigned char>(value), extent.width, extent.height, stream);
    if (error) return done(error);
  }
  return cudaSuccess;
}
cudaError_t cudaMemset3D(cudaPitchedPtr to, int value, cudaExtent extent) {
  return cudaMemset3DAsync(to, value, extent, nullptr);
}
cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                   const cudaGraphNode_t* after, size_t count,
                                   const cudaMemcpy3DParms* p) {
  CUcontext context = nullptr;
  CUDA_MEMCPY3D box;
  int error = box_of(*p, &box);
  if (!error) error = enter();
  if (!error) error = cuCtxGetCurrent(&context);
  return done(error ? error : cuGraphAddMemcpyNode(node, graph, after, count, &box, context));
}

}  // extern "C"
