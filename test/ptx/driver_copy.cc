// Copies and fills. Every copy is a box of rows; ranges are checked when the call is made.
#include <algorithm>
#include <cstring>

#include "driver_state.h"

namespace ptx::driver {

namespace {

struct Side {
  uint64_t address = 0;  // of the first byte
  size_t pitch = 0, slice = 0;
  bool known = false;  // to Memory: device, pinned, managed, registered
  bool pinned = false;
};

// Whether [address, address + bytes) may be touched; an address that Memory does not know is the program's
// own memory.
CUresult check_range(Call& call, const Side& side, bool device, const char* what, uint64_t bytes) {
  const Memory& memory = *call.s.memory;
  if (!side.known && !device) return CUDA_SUCCESS;
  if (memory.check(side.address, bytes) == AddressError::none) return CUDA_SUCCESS;
  complain("copy or memset: %s of %llu bytes at 0x%llx: %s", what, static_cast<unsigned long long>(bytes),
           static_cast<unsigned long long>(side.address), memory.describe(side.address).c_str());
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult find_side(Call& call, int type, uint64_t host, uint64_t device, Side* side) {
  if (type == CU_MEMORYTYPE_ARRAY) {
    complain("copies of CUDA arrays are not supported");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (type < CU_MEMORYTYPE_HOST || type > CU_MEMORYTYPE_UNIFIED) return CUDA_ERROR_INVALID_VALUE;
  side->address = type == CU_MEMORYTYPE_HOST ? host : device;
  if (!side->address) return CUDA_ERROR_INVALID_VALUE;
  Allocation allocation;
  side->known = call.s.memory->find(side->address, &allocation);
  if (side->known) {
    const auto at = call.s.blocks.find(allocation.begin);
    side->pinned = at != call.s.blocks.end() && (at->second.host || at->second.managed);
  }
  return CUDA_SUCCESS;
}

bool multiply(uint64_t a, uint64_t b, uint64_t* out) { return !__builtin_mul_overflow(a, b, out); }

// Bytes from the first to past the last of a box; false when they do not fit in 64 bits.
bool span(const Side& side, const CUDA_MEMCPY3D& p, uint64_t* bytes) {
  uint64_t rows = 0, slices = 0;
  return multiply(p.Height - 1, side.pitch, &rows) && multiply(p.Depth - 1, side.slice, &slices) &&
         !__builtin_add_overflow(rows, slices, bytes) &&
         !__builtin_add_overflow(*bytes, p.WidthInBytes, bytes) &&
         !__builtin_add_overflow(*bytes, side.address, &rows);
}

bool place(Side* side, size_t x, size_t y, size_t z, size_t pitch, size_t height, const CUDA_MEMCPY3D& p) {
  side->pitch = pitch ? pitch : p.WidthInBytes;
  const size_t rows = height ? height : p.Height;
  uint64_t slice = 0, offset = 0, part = 0;
  if (p.Height > 1 && side->pitch < p.WidthInBytes) return false;
  if (p.Depth > 1 && rows < p.Height) return false;
  if (!multiply(side->pitch, rows, &slice)) return false;
  side->slice = slice;
  if (!multiply(z, slice, &offset) || !multiply(y, side->pitch, &part)) return false;
  side->address += offset + part + x;
  return true;
}

void warn_unwritten(Call& call, const CopyOp& op, uint64_t bytes) {
  const uint64_t at = call.s.memory->first_unwritten(op.from, bytes);
  if (at)
    complain("the host copies out what nobody wrote, from 0x%llx on: %s",
             static_cast<unsigned long long>(at), call.s.memory->describe(at).c_str());
}

}  // namespace

CUresult make_copy(Call& call, const CUDA_MEMCPY3D& p, bool snapshot, CopyOp* op) {
  if (p.srcLOD || p.dstLOD) return CUDA_ERROR_INVALID_VALUE;
  Side from, to;
  if (const CUresult error =
          find_side(call, p.srcMemoryType, reinterpret_cast<uint64_t>(p.srcHost), p.srcDevice, &from))
    return error;
  if (const CUresult error =
          find_side(call, p.dstMemoryType, reinterpret_cast<uint64_t>(p.dstHost), p.dstDevice, &to))
    return error;
  if (!place(&from, p.srcXInBytes, p.srcY, p.srcZ, p.srcPitch, p.srcHeight, p) ||
      !place(&to, p.dstXInBytes, p.dstY, p.dstZ, p.dstPitch, p.dstHeight, p))
    return CUDA_ERROR_INVALID_VALUE;
  op->params = p;
  op->width = p.WidthInBytes, op->height = p.Height, op->depth = p.Depth;
  op->from = from.address, op->from_known = from.known, op->from_pitch = from.pitch,
  op->from_slice = from.slice;
  op->to = to.address, op->to_known = to.known, op->to_pitch = to.pitch, op->to_slice = to.slice;
  if (p.WidthInBytes == 0 || p.Height == 0 || p.Depth == 0) {
    op->height = 0;
    return CUDA_SUCCESS;
  }
  uint64_t from_bytes = 0, to_bytes = 0;
  if (!span(from, p, &from_bytes) || !span(to, p, &to_bytes)) return CUDA_ERROR_INVALID_VALUE;
  const bool from_device = p.srcMemoryType == CU_MEMORYTYPE_DEVICE,
             to_device = p.dstMemoryType == CU_MEMORYTYPE_DEVICE;
  if (const CUresult error = check_range(call, from, from_device, "source", from_bytes)) return error;
  if (const CUresult error = check_range(call, to, to_device, "destination", to_bytes)) return error;
  if (!snapshot || from.known) return CUDA_SUCCESS;
  // Pageable memory is read when the call is made: the caller may reuse it at once.
  op->staged = std::make_shared<std::vector<uint8_t>>(op->width * op->height * op->depth);
  uint8_t* at = op->staged->data();
  for (size_t z = 0; z < op->depth; z++) {
    for (size_t y = 0; y < op->height; y++, at += op->width)
      std::memcpy(at, reinterpret_cast<const void*>(op->from + z * op->from_slice + y * op->from_pitch),
                  op->width);
  }
  return CUDA_SUCCESS;
}

CUresult make_fill(Call& call, const CUDA_MEMSET_NODE_PARAMS& p, FillOp* op) {
  if (p.elementSize != 1 && p.elementSize != 2 && p.elementSize != 4) return CUDA_ERROR_INVALID_VALUE;
  if (p.dst % p.elementSize) return CUDA_ERROR_INVALID_VALUE;
  op->params = p;
  if (p.width == 0 || p.height == 0) {
    op->params.height = 0;
    return CUDA_SUCCESS;
  }
  uint64_t row = 0, rows = 0, bytes = 0;
  if (!multiply(p.width, p.elementSize, &row) || !multiply(p.height - 1, p.pitch, &rows) ||
      __builtin_add_overflow(row, rows, &bytes) ||
      (p.height > 1 && (p.pitch < row || p.pitch % p.elementSize)))
    return CUDA_ERROR_INVALID_VALUE;
  Side side;
  side.address = p.dst;
  return check_range(call, side, true, "destination", bytes);
}

namespace {

CUresult run_copy(const CUDA_MEMCPY3D& params, CUstream handle, bool wait) {
  return enter_context([&](Call& call) -> CUresult {
    const auto stream = stream_of(call, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (wait) {
      if (const CUresult error = forbidden_in_capture(call)) return error;
    }
    CopyOp op;
    if (const CUresult error = make_copy(call, params, !wait && !stream->capture, &op)) return error;
    const bool pageable_target = !op.to_known;
    if (call.s.settings.host_reads && op.from_known && pageable_target && !stream->capture &&
        op.height == 1) {
      if (const CUresult error = wait_idle(call, call.context)) return error;
      warn_unwritten(call, op, op.width);
    }
    if (wait) return run_now(call, std::move(op));
    // A copy to pageable memory returns when it is done, as a real driver's does; elsewhere the call
    // returns at once.
    std::shared_ptr<Task> task;
    const CUresult error = enqueue(call, *stream, std::move(op), &task);
    return error || !task || !pageable_target ? error : wait_for(call, task);
  });
}

CUDA_MEMCPY3D linear(CUmemorytype to_type, uint64_t to, CUmemorytype from_type, uint64_t from,
                     size_t bytes) {
  CUDA_MEMCPY3D p = {};
  p.dstMemoryType = to_type, p.srcMemoryType = from_type;
  p.dstDevice = to, p.dstHost = reinterpret_cast<void*>(to);
  p.srcDevice = from, p.srcHost = reinterpret_cast<const void*>(from);
  p.WidthInBytes = bytes, p.Height = 1, p.Depth = 1;
  return p;
}

// A copy of nothing is no error, wherever it points.
CUresult copy_linear(CUmemorytype to_type, uint64_t to, CUmemorytype from_type, uint64_t from, size_t bytes,
                     CUstream stream, bool wait) {
  if (bytes == 0) return enter_context([](Call&) { return CUDA_SUCCESS; });
  return run_copy(linear(to_type, to, from_type, from, bytes), stream, wait);
}

CUDA_MEMCPY3D from_2d(const CUDA_MEMCPY2D& q) {
  CUDA_MEMCPY3D p = {};
  p.srcXInBytes = q.srcXInBytes, p.srcY = q.srcY, p.srcMemoryType = q.srcMemoryType, p.srcHost = q.srcHost;
  p.srcDevice = q.srcDevice, p.srcArray = q.srcArray, p.srcPitch = q.srcPitch;
  p.dstXInBytes = q.dstXInBytes, p.dstY = q.dstY, p.dstMemoryType = q.dstMemoryType, p.dstHost = q.dstHost;
  p.dstDevice = q.dstDevice, p.dstArray = q.dstArray, p.dstPitch = q.dstPitch;
  p.WidthInBytes = q.WidthInBytes, p.Height = q.Height, p.Depth = 1;
  return p;
}

CUresult run_fill(CUdeviceptr to, size_t pitch, PTX_uint value, PTX_uint element, size_t width,
                  size_t height, CUstream handle, bool wait) {
  return enter_context([&](Call& call) -> CUresult {
    const auto stream = stream_of(call, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (wait) {
      if (const CUresult error = forbidden_in_capture(call)) return error;
    }
    FillOp op;
    if (const CUresult error = make_fill(call, {to, pitch, value, element, width, height}, &op))
      return error;
    return wait ? run_now(call, std::move(op)) : enqueue(call, *stream, std::move(op));
  });
}

constexpr CUmemorytype host = CU_MEMORYTYPE_HOST, device = CU_MEMORYTYPE_DEVICE,
                       unified = CU_MEMORYTYPE_UNIFIED;

uint64_t address_of(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy_linear(unified, to, unified, from, bytes, nullptr, true);
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  return copy_linear(device, to, host, address_of(from), bytes, nullptr, true);
}
CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  return copy_linear(host, address_of(to), device, from, bytes, nullptr, true);
}
CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy_linear(device, to, device, from, bytes, nullptr, true);
}
CUresult cuMemcpyPeer(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes) {
  return copy_linear(device, to, device, from, bytes, nullptr, true);
}
CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_linear(unified, to, unified, from, bytes, stream, false);
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  return copy_linear(device, to, host, address_of(from), bytes, stream, false);
}
CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_linear(host, address_of(to), device, from, bytes, stream, false);
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return copy_linear(device, to, device, from, bytes, stream, false);
}
CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes,
                           CUstream stream) {
  return copy_linear(device, to, device, from, bytes, stream, false);
}
CUresult cuMemcpy2D_v2(const CUDA_MEMCPY2D* copy) {
  return copy ? run_copy(from_2d(*copy), nullptr, true) : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D* copy) { return cuMemcpy2D_v2(copy); }
CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D* copy, CUstream stream) {
  return copy ? run_copy(from_2d(*copy), stream, false) : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemcpy3D_v2(const CUDA_MEMCPY3D* copy) {
  return copy ? run_copy(*copy, nullptr, true) : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemcpy3DAsync_v2(const CUDA_MEMCPY3D* copy, CUstream stream) {
  return copy ? run_copy(*copy, stream, false) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) {
  return run_fill(to, 0, value, 1, count, 1, nullptr, true);
}
CUresult cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t count) {
  return run_fill(to, 0, value, 2, count, 1, nullptr, true);
}
CUresult cuMemsetD32_v2(CUdeviceptr to, PTX_uint value, size_t count) {
  return run_fill(to, 0, value, 4, count, 1, nullptr, true);
}
CUresult cuMemsetD2D8_v2(CUdeviceptr to, size_t pitch, unsigned char value, size_t width, size_t height) {
  return run_fill(to, pitch, value, 1, width, height, nullptr, true);
}
CUresult cuMemsetD2D16_v2(CUdeviceptr to, size_t pitch, unsigned short value, size_t width, size_t height) {
  return run_fill(to, pitch, value, 2, width, height, nullptr, true);
}
CUresult cuMemsetD2D32_v2(CUdeviceptr to, size_t pitch, PTX_uint value, size_t width, size_t height) {
  return run_fill(to, pitch, value, 4, width, height, nullptr, true);
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  return run_fill(to, 0, value, 1, count, 1, stream, false);
}
CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, CUstream stream) {
  return run_fill(to, 0, value, 2, count, 1, stream, false);
}
CUresult cuMemsetD32Async(CUdeviceptr to, PTX_uint value, size_t count, CUstream stream) {
  return run_fill(to, 0, value, 4, count, 1, stream, false);
}
CUresult cuMemsetD2D8Async(CUdeviceptr to, size_t pitch, unsigned char value, size_t width, size_t height,
                           CUstream stream) {
  return run_fill(to, pitch, value, 1, width, height, stream, false);
}
CUresult cuMemsetD2D16Async(CUdeviceptr to, size_t pitch, unsigned short value, size_t width, size_t height,
                            CUstream stream) {
  return run_fill(to, pitch, value, 2, width, height, stream, false);
}
CUresult cuMemsetD2D32Async(CUdeviceptr to, size_t pitch, PTX_uint value, size_t width, size_t height,
                            CUstream stream) {
  return run_fill(to, pitch, value, 4, width, height, stream, false);
}
