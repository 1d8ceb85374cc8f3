// Stream-ordered memory: allocated when the call is made, freed when the stream gets there.
#include <algorithm>
#include <cstring>

#include "driver_state.h"

namespace ptx::driver {

namespace {

CUresult allocate(Call& call, CUdeviceptr* out, size_t bytes, const std::shared_ptr<Pool>& pool,
                  CUstream handle) {
  if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  const auto stream = stream_of(call, handle);
  if (!stream) return CUDA_ERROR_INVALID_HANDLE;
  Block block;
  block.graph = stream->capture != nullptr;  // then it lives as long as the graph
  if (!block.graph) block.pool = pool;
  const uint64_t address = allocate_block(call, bytes, MemoryKind::device, block);
  if (!address) return CUDA_ERROR_OUT_OF_MEMORY;
  if (!block.graph) {
    pool->used += bytes;
    pool->high = std::max(pool->high, pool->used);
  }
  *out = address;
  AllocOp op;
  op.params.bytesize = bytes;
  op.params.dptr = address;
  if (block.graph) op.owner = own_graph_memory(address);
  return enqueue(call, *stream, std::move(op));
}

template <class F>
CUresult with_pool(CUmemoryPool handle, F f) {
  return enter([&](Call& call) -> CUresult {
    const auto pool = call.s.pools.find(handle);
    return pool ? f(call, pool) : CUDA_ERROR_INVALID_HANDLE;
  });
}

template <class T>
void put(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace

// Releases a graph's memory once no graph and no executable graph holds the node. Runs under the lock or on
// the worker without it, so the release waits for the next call.
std::shared_ptr<void> own_graph_memory(uint64_t address) {
  return std::shared_ptr<void>(reinterpret_cast<void*>(address), [](void* memory) {
    State& s = state();
    s.memory->release(reinterpret_cast<uint64_t>(memory));
    const std::lock_guard<std::mutex> lock(s.dropped_mutex);
    s.dropped.push_back(reinterpret_cast<uint64_t>(memory));
  });
}

void forget_dropped(State& s) {
  const std::lock_guard<std::mutex> lock(s.dropped_mutex);
  for (const uint64_t address : s.dropped) s.blocks.erase(address);
  s.dropped.clear();
}

}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream) {
  return enter_context(
      [&](Call& call) { return allocate(call, address, bytes, call.s.current_pool, stream); });
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool handle, CUstream stream) {
  return enter_context([&](Call& call) -> CUresult {
    const auto pool = call.s.pools.find(handle);
    return pool ? allocate(call, address, bytes, pool, stream) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream handle) {
  return enter_context([&](Call& call) -> CUresult {
    if (!address) return CUDA_SUCCESS;
    const auto stream = stream_of(call, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    const auto at = call.s.blocks.find(address);
    if (at == call.s.blocks.end() || at->second.host) {
      complain("cuMemFreeAsync of 0x%llx, which is %s", address, call.s.memory->describe(address).c_str());
      return CUDA_ERROR_INVALID_VALUE;
    }
    return enqueue(call, *stream, FreeOp{address});
  });
}

CUresult cuMemPoolCreate(CUmemoryPool* out, const CUmemPoolProps* properties) {
  return enter([&](Call& call) {
    if (!out || !properties || properties->allocType != 1) return CUDA_ERROR_INVALID_VALUE;
    if (properties->handleTypes != 0) return CUDA_ERROR_NOT_SUPPORTED;
    *out = reinterpret_cast<CUmemoryPool>(call.s.pools.add(std::make_shared<Pool>()));
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool handle) {
  return with_pool(handle, [&](Call& call, const std::shared_ptr<Pool>& pool) {
    if (pool == call.s.default_pool) return CUDA_ERROR_INVALID_VALUE;
    if (pool == call.s.current_pool) call.s.current_pool = call.s.default_pool;
    call.s.pools.remove(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return with_pool(handle, [&](Call&, const std::shared_ptr<Pool>& pool) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    if (attribute >= CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES &&
        attribute <= CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES)
      std::memcpy(&pool->reuse[attribute], value, sizeof(int));
    else if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) std::memcpy(&pool->threshold, value, 8);
    else if (attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH) pool->high = pool->used;
    else if (attribute != CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT + 1) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void* value) {
  return with_pool(handle, [&](Call&, const std::shared_ptr<Pool>& pool) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    switch (static_cast<int>(attribute)) {
      case 1:
      case 2:
      case 3: put(value, pool->reuse[attribute]); return CUDA_SUCCESS;
      case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: put(value, pool->threshold); return CUDA_SUCCESS;
      case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
      case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: put(value, pool->used); return CUDA_SUCCESS;
      case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT + 1:
      case CU_MEMPOOL_ATTR_USED_MEM_HIGH: put(value, pool->high); return CUDA_SUCCESS;
      default: return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t) {
  return with_pool(handle, [](Call&, const std::shared_ptr<Pool>&) { return CUDA_SUCCESS; });
}

CUresult cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc* map, size_t count) {
  return with_pool(handle, [&](Call&, const std::shared_ptr<Pool>&) {
    for (size_t i = 0; i < count; i++) {
      if (!map || map[i].location.type != 1 || map[i].location.id != 0) return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolGetAccess(int* flags, CUmemoryPool handle, CUmemLocation* location) {
  return with_pool(handle, [&](Call&, const std::shared_ptr<Pool>&) {
    if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
    *flags = location->type == 1 && location->id == 0 ? 3 : 0;  // read and write
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  return enter([&](Call& call) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    *pool = reinterpret_cast<CUmemoryPool>(call.s.default_pool.get());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  return enter([&](Call& call) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    *pool = reinterpret_cast<CUmemoryPool>(call.s.current_pool.get());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceSetMemPool(CUdevice device, CUmemoryPool handle) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  return with_pool(handle, [&](Call& call, const std::shared_ptr<Pool>& pool) {
    call.s.current_pool = pool;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGraphMemTrim(CUdevice device) {
  return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
