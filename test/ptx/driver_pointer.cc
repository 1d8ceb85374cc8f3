// What an address is.
#include <cstring>

#include "driver_state.h"

namespace ptx::driver {

namespace {

struct Pointer {
  bool known = false;
  Allocation allocation;
  Block block;
  uint64_t address = 0;
};

Pointer look_up(const State& s, uint64_t address) {
  Pointer p;
  p.address = address;
  p.known = s.memory->find(address, &p.allocation) && !p.allocation.freed;
  const auto at = p.known ? s.blocks.find(p.allocation.begin) : s.blocks.end();
  if (at != s.blocks.end()) p.block = at->second;
  return p;
}

template <class T>
CUresult put(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
  return CUDA_SUCCESS;
}

CUresult get(const State& s, const Pointer& p, CUpointer_attribute attribute, void* to) {
  const Allocation& a = p.allocation;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: return put(to, p.block.context ? p.block.context : s.primary);
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return put(to, p.block.host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: return put(to, p.address);
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      if (!p.block.host && !p.block.managed) return CUDA_ERROR_INVALID_VALUE;
      return put(to, p.address);
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS: return put(to, 0);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID: return put(to, a.serial);
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: return put(to, static_cast<unsigned>(p.block.managed));
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: return put(to, 0);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: return put(to, a.begin);
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: return put(to, a.end - a.begin);
    case CU_POINTER_ATTRIBUTE_MAPPED: return put(to, 1u);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS: return put(to, 3);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: return put(to, p.block.pool.get());
  }
  return CUDA_ERROR_NOT_SUPPORTED;
}

// What an attribute is when the address is none: the sizes of the values differ.
void put_nothing(CUpointer_attribute attribute, void* to) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: put(to, -2); break;
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    case CU_POINTER_ATTRIBUTE_MAPPED:
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS: put(to, 0); break;
    default: put(to, uint64_t(0));
  }
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  return enter_context([&](Call& call) -> CUresult {
    const Pointer pointer = look_up(call.s, address);
    if (!value || !pointer.known) return CUDA_ERROR_INVALID_VALUE;
    return get(call.s, pointer, attribute, value);
  });
}

CUresult cuPointerGetAttributes(PTX_uint count, CUpointer_attribute* attributes, void** values,
                                CUdeviceptr address) {
  return enter_context([&](Call& call) -> CUresult {
    if (count == 0 || !attributes || !values) return CUDA_ERROR_INVALID_VALUE;
    const Pointer pointer = look_up(call.s, address);
    for (PTX_uint i = 0; i < count; i++) {
      if (!values[i]) return CUDA_ERROR_INVALID_VALUE;
      const CUresult error =
          pointer.known ? get(call.s, pointer, attributes[i], values[i]) : CUDA_ERROR_UNKNOWN;
      if (error == CUDA_ERROR_NOT_SUPPORTED) return error;
      if (error) put_nothing(attributes[i], values[i]);  // as the manual has it: no error, a null value
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  return enter_context([&](Call& call) -> CUresult {
    if (!value || !look_up(call.s, address).known) return CUDA_ERROR_INVALID_VALUE;
    return attribute == CU_POINTER_ATTRIBUTE_SYNC_MEMOPS ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}
