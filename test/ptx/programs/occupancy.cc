// Theoretical occupancy against the toolkit's own calculator, over random kernels on every profile.
#include <cuda_occupancy.h>

#include <cstdio>
#include <random>

#include "emulator.h"

namespace {

cudaOccDeviceProp properties_of(const ptx::DeviceProfile& d) {
  cudaOccDeviceProp p;
  p.computeMajor = d.major, p.computeMinor = d.minor;
  p.maxThreadsPerBlock = d.max_threads_per_block;
  p.maxThreadsPerMultiprocessor = d.threads_per_multiprocessor;
  p.regsPerBlock = d.registers_per_block, p.regsPerMultiprocessor = d.registers_per_multiprocessor;
  p.warpSize = 32;
  p.sharedMemPerBlock = d.shared_per_block;
  p.sharedMemPerMultiprocessor = d.shared_per_multiprocessor;
  p.numSms = d.multiprocessors;
  p.sharedMemPerBlockOptin = d.shared_per_block_optin;
  p.reservedSharedMemPerBlock = d.shared_reserved_per_block;
  return p;
}

}  // namespace

int main() {
  std::mt19937 random(1);
  int compared = 0, failed = 0;
  for (const auto& [major, minor] :
       {std::pair(7, 5), {8, 0}, {8, 6}, {8, 7}, {8, 9}, {9, 0}, {10, 0}, {12, 0}}) {
    const ptx::DeviceProfile device = ptx::profile_for(major, minor);
    const cudaOccDeviceProp properties = properties_of(device);
    for (int i = 0; i < 3000; i++) {
      const int threads = 1 + static_cast<int>(random() % 1024),
                registers = 1 + static_cast<int>(random() % 255);
      const size_t shared = random() % 3 ? random() % device.shared_per_block_optin : random() % 4096;
      cudaOccFuncAttributes function;
      function.maxThreadsPerBlock = device.max_threads_per_block;
      function.numRegs = registers;
      function.sharedSizeBytes = 0;
      function.partitionedGCConfig = PARTITIONED_GC_OFF;
      function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
      function.maxDynamicSharedSizeBytes = device.shared_per_block_optin;
      const cudaOccDeviceState state;
      cudaOccResult result = {};
      const cudaOccError error =
          cudaOccMaxActiveBlocksPerMultiprocessor(&result, &properties, &function, &state, threads, shared);
      const int mine = ptx::occupancy(device, threads, registers, shared).blocks;
      compared++;
      if (error == CUDA_OCC_SUCCESS && mine == result.activeBlocksPerMultiprocessor) continue;
      if (failed++ < 10)
        std::printf("%d.%d, %d threads, %d registers, %zu bytes: %d, the calculator says %d (error %d)\n",
                    major, minor, threads, registers, shared, mine, result.activeBlocksPerMultiprocessor,
                    error);
    }
  }
  std::printf("%d occupancies compared\n%d passed, %d failed\n", compared, failed ? 0 : 1, failed ? 1 : 0);
  return failed ? 1 : 0;
}
