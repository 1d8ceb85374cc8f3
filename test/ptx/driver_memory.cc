// Memory: device, pinned, registered, managed.
#include <algorithm>

#include "driver_state.h"

namespace ptx::driver {

uint64_t allocate_block(Call& call, size_t bytes, MemoryKind kind, Block block) {
  const uint64_t address = call.s.memory->allocate(bytes, kind);
  if (!address) return 0;
  block.context = call.context;
  block.bytes = bytes;
  call.s.blocks[address] = std::move(block);
  return address;
}

CUresult release_block(Call& call, uint64_t address) {
  const auto at = call.s.blocks.find(address);
  if (at == call.s.blocks.end()) return CUDA_ERROR_INVALID_VALUE;
  const Block block = at->second;
  if (block.graph) return CUDA_SUCCESS;
  call.s.blocks.erase(at);
  if (block.pool) block.pool->used -= block.bytes;
  if (block.registered) call.s.memory->remove_external(reinterpret_cast<void*>(address));
  else call.s.memory->release(address);
  return CUDA_SUCCESS;
}

namespace {

CUresult allocate(Call& call, CUdeviceptr* out, size_t bytes, MemoryKind kind, Block block) {
  if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult error = forbidden_in_capture(call)) return error;
  const uint64_t address = allocate_block(call, bytes, kind, std::move(block));
  if (!address) return CUDA_ERROR_OUT_OF_MEMORY;
  *out = address;
  return CUDA_SUCCESS;
}

CUresult allocate_host(void** out, size_t bytes, unsigned flags) {
  return enter_context([&](Call& call) -> CUresult {
    CUdeviceptr address = 0;
    Block block;
    block.host = true;
    block.flags = flags;
    const CUresult error =
        out ? allocate(call, &address, bytes, MemoryKind::host, block) : CUDA_ERROR_INVALID_VALUE;
    if (!error) *out = reinterpret_cast<void*>(address);
    return error;
  });
}

// What is wrong with an address handed to free, in words.
CUresult bad_free(Call& call, const char* name, uint64_t address) {
  complain("%s of 0x%llx, which is %s", name, static_cast<unsigned long long>(address),
           call.s.memory->describe(address).c_str());
  return CUDA_ERROR_INVALID_VALUE;
}

// The live block that begins at, or holds, an address of the host.
const Block* host_block(const State& s, const void* host, uint64_t* base) {
  Allocation allocation;
  if (!s.memory->find(reinterpret_cast<uint64_t>(host), &allocation) || allocation.freed) return nullptr;
  const auto at = s.blocks.find(allocation.begin);
  if (at == s.blocks.end() || !at->second.host) return nullptr;
  *base = allocation.begin;
  return &at->second;
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  return enter_context([&](Call& call) {
    if (!free || !total) return CUDA_ERROR_INVALID_VALUE;
    *total = call.s.memory->limit();
    *free = *total - std::min(*total, call.s.memory->used());
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  return enter_context(
      [&](Call& call) { return allocate(call, address, bytes, ptx::MemoryKind::device, {}); });
}

CUresult cuMemAllocPitch_v2(CUdeviceptr* address, size_t* pitch, size_t width, size_t height,
                            PTX_uint element) {
  return enter_context([&](Call& call) -> CUresult {
    if (!pitch || width == 0 || height == 0 || width > SIZE_MAX / 2) return CUDA_ERROR_INVALID_VALUE;
    if (element != 4 && element != 8 && element != 16) return CUDA_ERROR_INVALID_VALUE;
    const size_t row = (width + 511) / 512 * 512;
    if (height > SIZE_MAX / row) return CUDA_ERROR_OUT_OF_MEMORY;
    const CUresult error = allocate(call, address, row * height, ptx::MemoryKind::device, {});
    if (!error) *pitch = row;
    return error;
  });
}

CUresult cuMemAllocManaged(CUdeviceptr* address, size_t bytes, PTX_uint flags) {
  return enter_context([&](Call& call) -> CUresult {
    if (flags != 1 && flags != 2) return CUDA_ERROR_INVALID_VALUE;  // CU_MEM_ATTACH_GLOBAL, _HOST
    Block block;
    block.managed = true;
    return allocate(call, address, bytes, ptx::MemoryKind::host, block);
  });
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  return enter_context([&](Call& call) -> CUresult {
    if (!address) return CUDA_SUCCESS;
    if (const CUresult error = forbidden_in_capture(call)) return error;
    const auto at = call.s.blocks.find(address);
    if (at == call.s.blocks.end() || at->second.host) return bad_free(call, "cuMemFree", address);
    if (const CUresult error = wait_idle(call, call.context)) return error;
    return release_block(call, address);
  });
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
  return enter_context([&](Call& call) {
    ptx::Allocation allocation;
    if (!call.s.memory->find(address, &allocation) || allocation.freed) return CUDA_ERROR_NOT_FOUND;
    if (base) *base = allocation.begin;
    if (bytes) *bytes = allocation.end - allocation.begin;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAllocHost_v2(void** host, size_t bytes) { return allocate_host(host, bytes, 0); }

CUresult cuMemHostAlloc(void** host, size_t bytes, PTX_uint flags) {
  return flags > 7 ? CUDA_ERROR_INVALID_VALUE : allocate_host(host, bytes, flags);
}

CUresult cuMemFreeHost(void* host) {
  return enter_context([&](Call& call) -> CUresult {
    const auto address = reinterpret_cast<uint64_t>(host);
    if (!host) return CUDA_SUCCESS;
    if (const CUresult error = forbidden_in_capture(call)) return error;
    const auto at = call.s.blocks.find(address);
    if (at == call.s.blocks.end() || !at->second.host || at->second.registered)
      return bad_free(call, "cuMemFreeHost", address);
    if (const CUresult error = wait_idle(call, call.context)) return error;
    return release_block(call, address);
  });
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* address, void* host, PTX_uint flags) {
  return enter_context([&](Call& call) {
    uint64_t base = 0;
    if (!address || flags || !host_block(call.s, host, &base)) return CUDA_ERROR_INVALID_VALUE;
    *address = reinterpret_cast<CUdeviceptr>(host);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostGetFlags(PTX_uint* flags, void* host) {
  return enter_context([&](Call& call) {
    uint64_t base = 0;
    const Block* block = host_block(call.s, host, &base);
    if (!flags || !block || block->registered) return CUDA_ERROR_INVALID_VALUE;
    *flags = block->flags | 2;  // mapped, as all of it is
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostRegister_v2(void* host, size_t bytes, PTX_uint flags) {
  return enter_context([&](Call& call) {
    if (!host || bytes == 0 || flags > 15) return CUDA_ERROR_INVALID_VALUE;
    uint64_t base = 0;
    if (host_block(call.s, host, &base) || !call.s.memory->add_external(host, bytes))
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    Block block;
    block.context = call.context;
    block.bytes = bytes;
    block.flags = flags;
    block.host = block.registered = true;
    call.s.blocks[reinterpret_cast<uint64_t>(host)] = block;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostUnregister(void* host) {
  return enter_context([&](Call& call) -> CUresult {
    const auto at = call.s.blocks.find(reinterpret_cast<uint64_t>(host));
    if (at == call.s.blocks.end() || !at->second.registered) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    if (const CUresult error = wait_idle(call, call.context)) return error;
    return release_block(call, reinterpret_cast<uint64_t>(host));
  });
}

namespace {

// Managed memory is plain memory that both sides reach: advice and prefetching have nothing to do.
CUresult managed_range(CUdeviceptr address, size_t bytes) {
  return enter_context([&](Call& call) {
    return call.s.memory->check(address, bytes) == ptx::AddressError::none ? CUDA_SUCCESS
                                                                           : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // namespace

CUresult cuMemAdvise(CUdeviceptr address, size_t bytes, int, CUdevice) {
  return managed_range(address, bytes);
}
CUresult cuMemAdvise_v2(CUdeviceptr address, size_t bytes, int, CUmemLocation) {
  return managed_range(address, bytes);
}
CUresult cuMemPrefetchAsync(CUdeviceptr address, size_t bytes, CUdevice, CUstream) {
  return managed_range(address, bytes);
}
CUresult cuMemPrefetchAsync_v2(CUdeviceptr address, size_t bytes, CUmemLocation, PTX_uint, CUstream) {
  return managed_range(address, bytes);
}
