// Contexts: the primary one, plain ones, and each thread's stack of them.
#include <algorithm>

#include "driver_state.h"

namespace ptx::driver {

namespace {

thread_local std::vector<Context*> stack;

Context* find_context(const State& s, CUcontext handle) {
  for (const auto& context : s.contexts) {
    if (context.get() == reinterpret_cast<Context*>(handle)) return context.get();
  }
  return nullptr;
}

CUcontext handle_of(Context* context) { return reinterpret_cast<CUcontext>(context); }

Context* create(State& s, unsigned flags) {
  auto context = std::make_unique<Context>();
  context->id = ++s.ids;
  context->flags = flags;
  context->limits = {{CU_LIMIT_STACK_SIZE, 1024},
                     {CU_LIMIT_PRINTF_FIFO_SIZE, 1 << 20},
                     {CU_LIMIT_MALLOC_HEAP_SIZE, 8 << 20},
                     {CU_LIMIT_PERSISTING_L2_CACHE_SIZE, 0}};
  context->legacy = std::make_shared<Stream>();
  context->legacy->context = context.get();
  context->legacy->legacy = true;
  context->legacy->id = 1;
  s.contexts.push_back(std::move(context));
  return s.contexts.back().get();
}

CUresult reset_primary(Call& call) {
  State& s = call.s;
  if (!s.primary) return CUDA_SUCCESS;
  drop_context(call, s.primary);
  s.primary = nullptr;
  return CUDA_SUCCESS;
}

constexpr unsigned known_flags = 0x7f;

}  // namespace

Context* current_context() { return stack.empty() ? nullptr : stack.back(); }

void set_current_context(Context* context) {
  if (!stack.empty()) stack.pop_back();
  if (context) stack.push_back(context);
}

// Waits for the context's work, then takes everything away that it owns. Its handle stays known, as a dead
// one.
void drop_context(Call& call, Context* context) {
  State& s = call.s;
  s.queue.wait_idle(call.lock, context);
  for (auto at = s.captures.begin(); at != s.captures.end();)
    at = (*at)->origin->context == context ? s.captures.erase(at) : std::next(at);
  s.streams.remove_if([&](const Stream& stream) { return stream.context == context; });
  s.events.remove_if([&](const Event& event) { return event.context == context; });
  s.images.remove_if([&](const Image& image) { return image.context == context; });
  std::vector<uint64_t> addresses;
  for (const auto& [address, block] : s.blocks) {
    if (block.context == context && !block.graph) addresses.push_back(address);
  }
  for (const uint64_t address : addresses) release_block(call, address);
  context->alive = false;
  context->legacy.reset();
  context->per_thread.clear();
}

}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuDevicePrimaryCtxRetain(CUcontext* out, CUdevice device) {
  return enter([&](Call& call) {
    State& s = call.s;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (!s.primary) {
      s.primary = create(s, s.primary_flags);
      s.primary->primary = true;
    }
    s.primary->references++;
    *out = handle_of(s.primary);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return enter([&](Call& call) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (!call.s.primary) return CUDA_ERROR_INVALID_CONTEXT;
    if (--call.s.primary->references > 0) return CUDA_SUCCESS;
    return reset_primary(call);
  });
}

CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  return enter([&](Call& call) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    return reset_primary(call);
  });
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, PTX_uint flags) {
  return enter([&](Call& call) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (flags & ~known_flags) return CUDA_ERROR_INVALID_VALUE;
    call.s.primary_flags = flags;
    if (call.s.primary) call.s.primary->flags = flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, PTX_uint* flags, int* active) {
  return enter([&](Call& call) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
    *flags = call.s.primary_flags;
    *active = call.s.primary != nullptr;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxCreate_v2(CUcontext* out, PTX_uint flags, CUdevice device) {
  return enter([&](Call& call) {
    if (!out || (flags & ~known_flags)) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    stack.push_back(create(call.s, flags));
    *out = handle_of(stack.back());
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxCreate_v3(CUcontext* out, void* affinity, int count, PTX_uint flags, CUdevice device) {
  if (affinity || count) return CUDA_ERROR_NOT_SUPPORTED;
  return cuCtxCreate_v2(out, flags, device);
}

CUresult cuCtxCreate_v4(CUcontext* out, CUctxCreateParams* params, PTX_uint flags, CUdevice device) {
  if (params && (params->execAffinityParams || params->numExecAffinityParams || params->cigParams))
    return CUDA_ERROR_NOT_SUPPORTED;
  return cuCtxCreate_v2(out, flags, device);
}

CUresult cuCtxDestroy_v2(CUcontext handle) {
  return enter([&](Call& call) {
    Context* const context = find_context(call.s, handle);
    if (!context || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    drop_context(call, context);
    if (!stack.empty() && stack.back() == context) stack.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPushCurrent_v2(CUcontext handle) {
  return enter([&](Call& call) {
    Context* const context = find_context(call.s, handle);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    stack.push_back(context);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxPopCurrent_v2(CUcontext* out) {
  return enter([&](Call&) {
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (out) *out = handle_of(stack.back());
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCurrent(CUcontext handle) {
  return enter([&](Call& call) {
    Context* const context = handle ? find_context(call.s, handle) : nullptr;
    if (handle && !context) return CUDA_ERROR_INVALID_CONTEXT;
    if (context && !context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    set_current_context(context);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(CUcontext* out) {
  return enter([&](Call&) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = handle_of(current_context());
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) {
  return enter([&](Call& call) {
    if (!call.context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice_v2(CUdevice* device, CUcontext handle) {
  return enter([&](Call& call) {
    if (handle ? !find_context(call.s, handle) : !call.context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetFlags(PTX_uint* flags) {
  return enter_context([&](Call& call) {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = call.context->flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetFlags(PTX_uint flags) {
  return enter_context([&](Call& call) {
    if (flags & ~known_flags) return CUDA_ERROR_INVALID_VALUE;
    call.context->flags = flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetId(CUcontext handle, unsigned long long* id) {
  return enter([&](Call& call) {
    const Context* const context = handle ? find_context(call.s, handle) : call.context;
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!id) return CUDA_ERROR_INVALID_VALUE;
    *id = context->id;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetApiVersion(CUcontext handle, PTX_uint* version) {
  return enter([&](Call& call) {
    if (handle ? !find_context(call.s, handle) : !call.context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = 3020;  // of cuCtxCreate_v2
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize() {
  return enter_context([&](Call& call) -> CUresult {
    if (const CUresult error = forbidden_in_capture(call)) return error;
    return wait_idle(call, call.context);
  });
}

CUresult cuCtxSynchronize_v2(CUcontext handle) {
  return enter([&](Call& call) -> CUresult {
    Context* const context = handle ? find_context(call.s, handle) : call.context;
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (const CUresult error = forbidden_in_capture(call)) return error;
    return wait_idle(call, context);
  });
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  return enter_context([&](Call& call) {
    if (!call.context->limits.count(limit)) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    call.context->limits[limit] = value;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetLimit(size_t* value, CUlimit limit) {
  return enter_context([&](Call& call) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    const auto at = call.context->limits.find(limit);
    if (at == call.context->limits.end()) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *value = at->second;
    return CUDA_SUCCESS;
  });
}

// Preferences that have no effect here are kept and given back.
CUresult cuCtxGetCacheConfig(int* config) {
  return enter_context([&](Call& call) {
    if (!config) return CUDA_ERROR_INVALID_VALUE;
    *config = call.context->cache_config;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCacheConfig(int config) {
  return enter_context([&](Call& call) {
    if (config < 0 || config > 3) return CUDA_ERROR_INVALID_VALUE;
    call.context->cache_config = config;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetSharedMemConfig(int* config) {
  return enter_context([&](Call& call) {
    if (!config) return CUDA_ERROR_INVALID_VALUE;
    *config = call.context->shared_config;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetSharedMemConfig(int config) {
  return enter_context([&](Call& call) {
    if (config < 0 || config > 2) return CUDA_ERROR_INVALID_VALUE;
    call.context->shared_config = config;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return enter_context([&](Call&) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxResetPersistingL2Cache() {
  return enter_context([](Call&) { return CUDA_SUCCESS; });
}

CUresult cuCtxEnablePeerAccess(CUcontext, PTX_uint) {
  return enter_context([](Call&) { return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED; });
}

CUresult cuCtxDisablePeerAccess(CUcontext) {
  return enter_context([](Call&) { return CUDA_ERROR_PEER_ACCESS_NOT_ENABLED; });
}
