// Occupancy: by registers where they are known (a cubin beside the PTX, or EMULATOR_REGISTERS), else by the
// other limits.
#include <algorithm>

#include "driver_state.h"

namespace ptx::driver {

Occupancy occupancy_of(const State& s, const Kernel& kernel, int threads, size_t dynamic_shared) {
  return occupancy(s.device, threads, kernel.registers, kernel.info.static_shared + dynamic_shared);
}

namespace {

template <class F>
CUresult with_function(CUfunction handle, F f) {
  return enter_context([&](Call& call) -> CUresult {
    Function* const function = function_of(call, handle);
    return function ? f(call.s, *function->kernel) : CUDA_ERROR_INVALID_HANDLE;
  });
}

size_t largest_shared(const State& s, const Kernel& kernel, int threads, int blocks) {
  size_t low = 0, high = std::min(kernel.max_dynamic_shared, s.device.shared_per_block_optin);
  if (occupancy_of(s, kernel, threads, 0).blocks < blocks) return 0;
  while (low < high) {  // the largest that still lets `blocks` fit
    const size_t middle = (low + high + 1) / 2;
    if (occupancy_of(s, kernel, threads, middle).blocks >= blocks) low = middle;
    else high = middle - 1;
  }
  return low;
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function, int threads,
                                                     size_t shared) {
  return with_function(function, [&](State& s, const ptx::Kernel& kernel) {
    if (!blocks || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    *blocks = occupancy_of(s, kernel, threads, shared).blocks;
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, CUfunction function, int threads,
                                                              size_t shared, PTX_uint flags) {
  if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
  return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, shared);
}

CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* threads, CUfunction function,
                                          CUoccupancyB2DSize shared_of, size_t shared, int limit) {
  return with_function(function, [&](State& s, const ptx::Kernel& kernel) {
    if (!grid || !threads) return CUDA_ERROR_INVALID_VALUE;
    int most = kernel.info.max_threads ? kernel.info.max_threads : s.device.max_threads_per_block;
    if (limit > 0) most = std::min(most, limit);
    int best = 0, best_blocks = 0;
    // The largest block among those that fill a multiprocessor best; the limit itself need not be whole
    // warps.
    for (int size = (most + 31) / 32 * 32; size > 0; size -= 32) {
      const int tried = std::min(size, most);
      const int blocks = occupancy_of(s, kernel, tried, shared_of ? shared_of(tried) : shared).blocks;
      if (blocks * tried > best_blocks * best) best = tried, best_blocks = blocks;
    }
    *threads = best;
    *grid = best_blocks * s.device.multiprocessors;
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* grid, int* threads, CUfunction function,
                                                   CUoccupancyB2DSize shared_of, size_t shared, int limit,
                                                   PTX_uint flags) {
  if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
  return cuOccupancyMaxPotentialBlockSize(grid, threads, function, shared_of, shared, limit);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, CUfunction function, int blocks,
                                                 int threads) {
  return with_function(function, [&](State& s, const ptx::Kernel& kernel) {
    if (!bytes || blocks <= 0 || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    *bytes = largest_shared(s, kernel, threads, blocks);
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxPotentialClusterSize(int* size, CUfunction function, const CUlaunchConfig* config) {
  return with_function(function, [&](State& s, const ptx::Kernel&) {
    if (!size || !config) return CUDA_ERROR_INVALID_VALUE;
    *size = s.device.major >= 9 ? s.device.max_cluster : 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuOccupancyMaxActiveClusters(int* clusters, CUfunction function, const CUlaunchConfig* config) {
  return with_function(function, [&](State& s, const ptx::Kernel& kernel) {
    if (!clusters || !config) return CUDA_ERROR_INVALID_VALUE;
    unsigned blocks = 1;
    for (unsigned i = 0; i < config->numAttrs; i++) {
      const CUlaunchAttribute& attribute = config->attrs[i];
      const auto& dim = attribute.value.clusterDim;
      if (attribute.id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) blocks = dim.x * dim.y * dim.z;
    }
    if (blocks == 0) return CUDA_ERROR_INVALID_VALUE;
    const int threads = static_cast<int>(config->blockDimX * config->blockDimY * config->blockDimZ);
    const int resident =
        occupancy_of(s, kernel, threads, config->sharedMemBytes).blocks * s.device.multiprocessors;
    *clusters = resident / static_cast<int>(blocks);
    return CUDA_SUCCESS;
  });
}
