// Launches: what a call asks for, checked against the device's limits before anything runs.
#include <algorithm>
#include <cstring>

#include "driver_state.h"

namespace ptx::driver {

namespace {

// Copies the arguments, which the caller may change once the call has returned.
CUresult read_arguments(const KernelInfo& info, void** params, void** extra, std::vector<uint8_t>* out) {
  out->assign(info.parameter_bytes, 0);
  if (params && extra) return CUDA_ERROR_INVALID_VALUE;
  if (params) {
    for (size_t i = 0; i < info.parameters.size(); i++) {
      const Parameter& parameter = info.parameters[i];
      if (!params[i]) return CUDA_ERROR_INVALID_VALUE;
      std::memcpy(out->data() + parameter.offset, params[i], parameter.size);
    }
    return CUDA_SUCCESS;
  }
  if (!extra) return info.parameters.empty() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  const void* buffer = nullptr;
  size_t bytes = 0;
  for (void** at = extra; *at; at += 2) {
    switch (reinterpret_cast<uintptr_t>(*at)) {
      case 1: buffer = at[1]; break;                                    // CU_LAUNCH_PARAM_BUFFER_POINTER
      case 2: bytes = at[1] ? *static_cast<size_t*>(at[1]) : 0; break;  // CU_LAUNCH_PARAM_BUFFER_SIZE
      default: return CUDA_ERROR_INVALID_VALUE;
    }
  }
  size_t needed = 0;
  for (const Parameter& parameter : info.parameters)
    needed = std::max(needed, parameter.offset + parameter.size);
  if ((!buffer && needed) || bytes < needed) return CUDA_ERROR_INVALID_VALUE;
  if (needed) std::memcpy(out->data(), buffer, std::min(bytes, out->size()));
  return CUDA_SUCCESS;
}

CUresult refuse(const Kernel& kernel, CUresult code, const std::string& why) {
  complain("launch of %s refused: %s", kernel.info.name.c_str(), why.c_str());
  return code;
}

std::string dims(const uint32_t* d) {
  return std::to_string(d[0]) + " x " + std::to_string(d[1]) + " x " + std::to_string(d[2]);
}

uint64_t product(const uint32_t* d) { return uint64_t(d[0]) * d[1] * d[2]; }

CUresult check_shape(const DeviceProfile& device, const Kernel& kernel, const LaunchConfig& c) {
  const KernelInfo& info = kernel.info;
  for (int i = 0; i < 3; i++) {
    if (c.grid[i] == 0 || c.grid[i] > device.max_grid[i])
      return refuse(kernel, CUDA_ERROR_INVALID_VALUE, "a grid of " + dims(c.grid) + " blocks");
    if (c.block[i] == 0 || c.block[i] > device.max_block[i])
      return refuse(kernel, CUDA_ERROR_INVALID_VALUE, "a block of " + dims(c.block) + " threads");
  }
  const uint64_t threads = product(c.block);
  if (threads > uint64_t(device.max_threads_per_block))
    return refuse(kernel, CUDA_ERROR_INVALID_VALUE, "a block of " + std::to_string(threads) + " threads");
  if (info.max_threads && threads > uint64_t(info.max_threads))
    return refuse(kernel, CUDA_ERROR_INVALID_VALUE,
                  "a block of " + std::to_string(threads) + " threads, its launch bounds allow " +
                      std::to_string(info.max_threads));
  if (info.required_block[0] && std::memcmp(info.required_block, c.block, sizeof c.block) != 0)
    return refuse(kernel, CUDA_ERROR_INVALID_VALUE,
                  "a block of " + dims(c.block) + " threads, it requires " + dims(info.required_block));
  return CUDA_SUCCESS;
}

CUresult check_resources(const State& s, const Function& function, const LaunchConfig& c) {
  const Kernel& kernel = *function.kernel;
  const size_t fixed = kernel.info.static_shared, total = fixed + c.dynamic_shared;
  if (c.dynamic_shared > kernel.max_dynamic_shared) {
    return refuse(
        kernel, CUDA_ERROR_INVALID_VALUE,
        std::to_string(c.dynamic_shared) + " bytes of dynamic shared memory, the function allows " +
            std::to_string(kernel.max_dynamic_shared) +
            (function.raised ? "" : "; raise it by CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"));
  }
  if (total > s.device.shared_per_block_optin)
    return refuse(kernel, CUDA_ERROR_INVALID_VALUE,
                  std::to_string(total) + " bytes of shared memory, a block may have " +
                      std::to_string(s.device.shared_per_block_optin));
  const int threads = static_cast<int>(product(c.block));
  if (kernel.registers && occupancy(s.device, threads, kernel.registers, 0).blocks == 0)
    return refuse(kernel, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
                  std::to_string(threads) + " threads of " + std::to_string(kernel.registers) +
                      " registers, a block may have " + std::to_string(s.device.registers_per_block));
  if (!c.cooperative) return CUDA_SUCCESS;
  const uint64_t resident = uint64_t(occupancy_of(s, kernel, threads, c.dynamic_shared).blocks) *
                            uint64_t(s.device.multiprocessors);
  if (product(c.grid) > resident)
    return refuse(kernel, CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
                  "a cooperative grid of " + std::to_string(product(c.grid)) + " blocks, " +
                      std::to_string(resident) + " fit at once");
  return CUDA_SUCCESS;
}

CUresult check_cluster(const State& s, const Function& function, LaunchConfig* c) {
  const Kernel& kernel = *function.kernel;
  const uint32_t* required = kernel.info.required_cluster;
  const bool asked = product(c->cluster) != 1;
  if (required[0]) {
    if (asked && std::memcmp(required, c->cluster, sizeof c->cluster) != 0)
      return refuse(kernel, CUDA_ERROR_INVALID_VALUE,
                    "a cluster of " + dims(c->cluster) + " blocks, it requires " + dims(required));
    std::copy(required, required + 3, c->cluster);
  }
  const uint64_t size = product(c->cluster);
  if (size == 1) return CUDA_SUCCESS;
  const uint64_t most = s.device.major < 9        ? 1
                        : function.large_clusters ? 16
                                                  : uint64_t(s.device.max_cluster);
  if (size == 0 || size > most)
    return refuse(kernel, CUDA_ERROR_INVALID_CLUSTER_SIZE,
                  "a cluster of " + dims(c->cluster) + " blocks, at most " + std::to_string(most));
  for (int i = 0; i < 3; i++) {
    if (c->grid[i] % c->cluster[i])
      return refuse(kernel, CUDA_ERROR_INVALID_VALUE,
                    "a grid of " + dims(c->grid) + " blocks is not whole clusters of " + dims(c->cluster));
  }
  return CUDA_SUCCESS;
}

CUresult read_attributes(const CUlaunchConfig& config, LaunchConfig* c) {
  if (config.numAttrs && !config.attrs) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < config.numAttrs; i++) {
    const CUlaunchAttribute& attribute = config.attrs[i];
    switch (attribute.id) {
      case CU_LAUNCH_ATTRIBUTE_COOPERATIVE: c->cooperative = attribute.value.cooperative != 0; break;
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
        c->cluster[0] = attribute.value.clusterDim.x;
        c->cluster[1] = attribute.value.clusterDim.y;
        c->cluster[2] = attribute.value.clusterDim.z;
        break;
      case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT:
      case CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT:
      case CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE:
        complain("launch attribute %d is not supported", attribute.id);
        return CUDA_ERROR_NOT_SUPPORTED;
      default: break;  // hints: priority, carve-out, L2 windows, serialization
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult make_kernel(Call& call, const CUlaunchConfig& config, CUfunction handle, void** params,
                     void** extra, KernelOp* out) {
  const State& s = call.s;
  auto* const function = reinterpret_cast<Function*>(handle);
  out->image = image_of(s, function);
  if (!out->image || (out->image->context && out->image->context != call.context))
    return CUDA_ERROR_INVALID_HANDLE;
  out->function = function;
  out->kernel = function->kernel;
  LaunchConfig& c = out->config;
  c.grid[0] = config.gridDimX, c.grid[1] = config.gridDimY, c.grid[2] = config.gridDimZ;
  c.block[0] = config.blockDimX, c.block[1] = config.blockDimY, c.block[2] = config.blockDimZ;
  c.dynamic_shared = config.sharedMemBytes;
  c.heap_bytes = call.context->limits.at(CU_LIMIT_MALLOC_HEAP_SIZE);
  c.order = s.settings.order, c.seed = s.settings.seed, c.checks = s.settings.checks;
  c.threads = s.settings.threads, c.watchdog = s.settings.watchdog;
  if (const CUresult error = read_attributes(config, &c)) return error;
  if (const CUresult error = check_shape(s.device, *out->kernel, c)) return error;
  if (const CUresult error = check_resources(s, *function, c)) return error;
  if (const CUresult error = check_cluster(s, *function, &c)) return error;
  return read_arguments(out->kernel->info, params, extra, &out->arguments);
}

}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params, void** extra) {
  return enter_context([&](Call& call) -> CUresult {
    if (!config) return CUDA_ERROR_INVALID_VALUE;
    const auto stream = stream_of(call, config->hStream);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    KernelOp op;
    if (const CUresult error = make_kernel(call, *config, function, params, extra, &op)) return error;
    return enqueue(call, *stream, std::move(op));
  });
}

CUresult cuLaunchKernel(CUfunction function, PTX_uint grid_x, PTX_uint grid_y, PTX_uint grid_z,
                        PTX_uint block_x, PTX_uint block_y, PTX_uint block_z, PTX_uint shared,
                        CUstream stream, void** params, void** extra) {
  const CUlaunchConfig config = {grid_x,  grid_y, grid_z, block_x, block_y,
                                 block_z, shared, stream, nullptr, 0};
  return cuLaunchKernelEx(&config, function, params, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, PTX_uint grid_x, PTX_uint grid_y, PTX_uint grid_z,
                                   PTX_uint block_x, PTX_uint block_y, PTX_uint block_z, PTX_uint shared,
                                   CUstream stream, void** params) {
  CUlaunchAttribute attribute = {CU_LAUNCH_ATTRIBUTE_COOPERATIVE, {}, {}};
  attribute.value.cooperative = 1;
  const CUlaunchConfig config = {grid_x,  grid_y, grid_z, block_x,    block_y,
                                 block_z, shared, stream, &attribute, 1};
  return cuLaunchKernelEx(&config, function, params, nullptr);
}

CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data) {
  return enter_context([&](Call& call) -> CUresult {
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    const auto stream = stream_of(call, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    HostOp op;
    op.function = function;
    op.data = data;
    op.context = call.context;
    return enqueue(call, *stream, std::move(op));
  });
}
