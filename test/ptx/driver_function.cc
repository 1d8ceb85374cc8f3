// Functions (kernels of a module) and kernels (of a library): one thing here, so that either handle serves
// for both.
#include <algorithm>

#include "driver_state.h"

namespace ptx::driver {

std::shared_ptr<Image> image_of(const State& s, const Function* function) {
  for (const auto& [handle, image] : s.images.all()) {
    for (const auto& other : image->functions) {
      if (other.get() == function) return image;
    }
  }
  return nullptr;
}

Function* function_of(Call& call, CUfunction handle) {
  auto* const function = reinterpret_cast<Function*>(handle);
  return image_of(call.s, function) ? function : nullptr;
}

namespace {

template <class Handle, class F>
CUresult with_function(Handle handle, F f) {
  return enter([&](Call& call) -> CUresult {
    if (call.context && call.context->error) return call.context->error;
    Function* const function = function_of(call, reinterpret_cast<CUfunction>(handle));
    return function ? f(call, *function) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult get_attribute(const State& s, const Function& function, CUfunction_attribute attribute,
                       int* value) {
  const Kernel& kernel = *function.kernel;
  const KernelInfo& info = kernel.info;
  if (!value) return CUDA_ERROR_INVALID_VALUE;
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: {
      int most = info.max_threads ? info.max_threads : s.device.max_threads_per_block;
      if (kernel.registers)
        most = std::min(most, s.device.registers_per_block / (kernel.registers * 32) * 32);
      *value = most;
      return CUDA_SUCCESS;
    }
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      *value = static_cast<int>(info.static_shared);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
      *value = static_cast<int>(info.const_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      *value = static_cast<int>(info.local_bytes);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = kernel.registers; return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      *value = info.target;
      return CUDA_SUCCESS;  // "virtual architecture"
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      *value = s.device.major * 10 + s.device.minor;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA: *value = 0; return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = static_cast<int>(kernel.max_dynamic_shared);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      *value = function.carveout;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
      *value = info.required_cluster[0] > 0;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
      *value = int(info.required_cluster[0]);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
      *value = int(info.required_cluster[1]);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
      *value = int(info.required_cluster[2]);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      *value = function.large_clusters;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE: *value = 0; return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult set_attribute(const State& s, Function& function, CUfunction_attribute attribute, int value) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: {
      const size_t fixed = function.kernel->info.static_shared;
      if (value < 0 || fixed + static_cast<size_t>(value) > s.device.shared_per_block_optin)
        return CUDA_ERROR_INVALID_VALUE;
      auto changed = std::make_shared<Kernel>(*function.kernel);
      changed->max_dynamic_shared = static_cast<size_t>(value);
      function.kernel = std::move(changed);
      function.raised = true;
      return CUDA_SUCCESS;
    }
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      if (value < -1 || value > 100) return CUDA_ERROR_INVALID_VALUE;
      function.carveout = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      function.large_clusters = value != 0;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE: return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult parameter(const Function& function, size_t index, size_t* offset, size_t* size) {
  const auto& parameters = function.kernel->info.parameters;
  if (!offset || index >= parameters.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = parameters[index].offset;
  if (size) *size = parameters[index].size;
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  return with_function(handle,
                       [&](Call& call, Function& f) { return get_attribute(call.s, f, attribute, value); });
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  return with_function(handle,
                       [&](Call& call, Function& f) { return set_attribute(call.s, f, attribute, value); });
}

CUresult cuFuncSetCacheConfig(CUfunction handle, int config) {
  return with_function(handle, [&](Call&, Function&) {
    return config < 0 || config > 3 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

CUresult cuFuncSetSharedMemConfig(CUfunction handle, int config) {
  return with_function(handle, [&](Call&, Function&) {
    return config < 0 || config > 2 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
  });
}

CUresult cuFuncGetModule(CUmodule* module, CUfunction handle) {
  return with_function(handle, [&](Call&, Function& f) {
    if (!module) return CUDA_ERROR_INVALID_VALUE;
    *module = reinterpret_cast<CUmodule>(f.image);
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetName(const char** name, CUfunction handle) {
  return with_function(handle, [&](Call&, Function& f) {
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    *name = f.name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetParamInfo(CUfunction handle, size_t index, size_t* offset, size_t* size) {
  return with_function(handle, [&](Call&, Function& f) { return parameter(f, index, offset, size); });
}

CUresult cuFuncIsLoaded(int* loaded, CUfunction handle) {
  return with_function(handle, [&](Call&, Function&) {
    if (!loaded) return CUDA_ERROR_INVALID_VALUE;
    *loaded = 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncLoad(CUfunction handle) {
  return with_function(handle, [](Call&, Function&) { return CUDA_SUCCESS; });
}

CUresult cuKernelGetFunction(CUfunction* function, CUkernel kernel) {
  return with_function(kernel, [&](Call& call, Function&) {
    if (!call.context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    *function = reinterpret_cast<CUfunction>(kernel);
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetLibrary(CUlibrary* library, CUkernel kernel) {
  return with_function(kernel, [&](Call&, Function& f) {
    if (!library || !f.image->library) return CUDA_ERROR_INVALID_VALUE;
    *library = reinterpret_cast<CUlibrary>(f.image->library);
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetName(const char** name, CUkernel kernel) {
  return cuFuncGetName(name, reinterpret_cast<CUfunction>(kernel));
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* size) {
  return with_function(kernel, [&](Call&, Function& f) { return parameter(f, index, offset, size); });
}

CUresult cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel,
                              CUdevice device) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  return with_function(kernel,
                       [&](Call& call, Function& f) { return get_attribute(call.s, f, attribute, value); });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  return with_function(kernel,
                       [&](Call& call, Function& f) { return set_attribute(call.s, f, attribute, value); });
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, int config, CUdevice device) {
  if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
  return cuFuncSetCacheConfig(reinterpret_cast<CUfunction>(kernel), config);
}
