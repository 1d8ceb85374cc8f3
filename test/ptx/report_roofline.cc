// Theoretical occupancy, and the roofline bound of a launch's time.
#include <algorithm>
#include <climits>

#include "report.h"

namespace ptx {

namespace {

int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }

Machine machine(const DeviceProfile& profile, int float32_lanes, int float64_lanes, int tensor_flops) {
  Machine m;
  m.profile = profile;
  const double clock = 1e3 * profile.clock_khz, multiprocessors = profile.multiprocessors;
  m.bandwidth = 2e3 * profile.memory_clock_khz * profile.memory_bus_bits / 8;
  m.float32_rate = 2 * float32_lanes * clock * multiprocessors;
  m.float64_rate = 2 * float64_lanes * clock * multiprocessors;
  m.tensor_rate = tensor_flops * clock * multiprocessors;
  m.issue_rate =
      4 * clock * multiprocessors;  // four schedulers a multiprocessor, one instruction a clock each
  m.shared_rate = clock * multiprocessors;  // 128 bytes a clock
  return m;
}

}  // namespace

// Lanes and tensor FLOPs a clock and multiprocessor: CUDA C++ Programming Guide, "Arithmetic instructions",
// and the architecture white papers.
Machine machine_of(const DeviceProfile& profile) {
  switch (profile.major * 10 + profile.minor) {
    case 75: return machine(profile, 64, 2, 1024);
    case 80: return machine(profile, 64, 32, 2048);
    case 86:
    case 87: return machine(profile, 128, 2, 512);
    case 89: return machine(profile, 128, 2, 512);
    case 90: return machine(profile, 128, 64, 4096);
    case 100:
    case 103: return machine(profile, 128, 64, 8192);
    default: return machine(profile, 128, 2, 512);
  }
}

Machine a100() {
  DeviceProfile p = profile_for(8, 0);
  p.name = "A100";
  p.multiprocessors = 108, p.clock_khz = 1410000;
  p.memory_clock_khz = 1593000, p.memory_bus_bits = 5120;  // 80 GB: 2039 GB/s
  return machine_of(p);
}

Machine rtx4090() {
  DeviceProfile p = profile_for(8, 9);
  p.name = "RTX 4090";
  p.multiprocessors = 128, p.clock_khz = 2520000;
  p.memory_clock_khz = 10501000, p.memory_bus_bits = 384;  // 1008 GB/s
  return machine_of(p);
}

Machine h100() {
  DeviceProfile p = profile_for(9, 0);
  p.name = "H100";
  p.multiprocessors = 132, p.clock_khz = 1830000;
  p.memory_clock_khz = 2619000, p.memory_bus_bits = 5120;  // SXM: 3352 GB/s
  return machine_of(p);
}

// Registers go to warps in units of 256, warps are spread over four partitions, and shared memory comes in
// units of 128 bytes (256 before compute capability 8.0) with what the system keeps of it: the rules of the
// CUDA occupancy calculator.
Occupancy occupancy(const DeviceProfile& device, int threads, int registers, size_t shared_bytes) {
  Occupancy result;
  const int warps = (threads + 31) / 32;
  if (threads <= 0 || threads > device.max_threads_per_block) return {0, 0, 0, "threads"};
  const auto limit = [&](int blocks, const char* name) {
    if (result.limiter[0] == 0 || blocks < result.blocks) result.blocks = blocks, result.limiter = name;
  };
  const int warps_at_most = device.threads_per_multiprocessor / 32;
  limit(warps_at_most / warps, "threads");
  limit(device.blocks_per_multiprocessor, "blocks");
  if (registers > 0) {
    const int unit = round_up(registers * 32, 256);
    const int partition = device.registers_per_multiprocessor / 4 / unit;  // warps of one partition
    const int per_block = round_up(warps, 4);
    if (registers > 255 || unit * per_block > device.registers_per_block) limit(0, "registers");
    else limit(partition * 4 / warps, "registers");
  }
  if (shared_bytes > 0 || device.shared_reserved_per_block > 0) {
    const size_t granule = device.major >= 8 ? 128 : 256;
    const size_t reserved = device.major >= 8 ? device.shared_reserved_per_block : 0;
    const size_t bytes = (shared_bytes + reserved + granule - 1) / granule * granule;
    if (shared_bytes > device.shared_per_block_optin) limit(0, "shared memory");
    else if (bytes > 0) {
      const size_t blocks = device.shared_per_multiprocessor / bytes;
      limit(static_cast<int>(std::min<size_t>(blocks, INT_MAX)), "shared memory");
    }
  }
  result.warps = result.blocks * warps;
  result.fraction = static_cast<double>(result.warps) / warps_at_most;
  return result;
}

Estimate estimate(const Counters& c, const Machine& m) {
  Estimate e;
  const int threads = static_cast<int>(c.block[0] * c.block[1] * c.block[2]);
  e.occupancy = occupancy(m.profile, threads, c.registers, c.static_shared + c.dynamic_shared).fraction;
  // Bytes that must come from DRAM at least once where they are known, else every sector asked for.
  const auto bytes = [](const MemoryTraffic& t) {
    return static_cast<double>(t.unique_bytes ? t.unique_bytes : t.sectors * 32);
  };
  const double blocks = static_cast<double>(c.grid[0]) * c.grid[1] * c.grid[2];
  // A grid smaller than the GPU leaves multiprocessors idle; DRAM can be filled by few of them.
  const double share = std::min(1.0, std::max(1.0, blocks) / m.profile.multiprocessors);
  e.bytes = (bytes(c.global_read) + bytes(c.global_write)) / m.bandwidth;
  e.float32 = static_cast<double>(c.float32_flops + c.half_flops) / (m.float32_rate * share);
  e.float64 = static_cast<double>(c.float64_flops) / (m.float64_rate * share);
  e.tensor = static_cast<double>(c.tensor_flops) / (m.tensor_rate * share);
  e.issue = static_cast<double>(c.warp_total) / (m.issue_rate * share);
  e.shared = static_cast<double>(c.shared_wavefronts) / (m.shared_rate * share);
  const std::pair<double, const char*> terms[] = {{e.bytes, "bytes"},     {e.float32, "float32"},
                                                  {e.float64, "float64"}, {e.tensor, "tensor"},
                                                  {e.issue, "issue"},     {e.shared, "shared"}};
  for (const auto& [seconds, name] : terms) {
    if (e.bound[0] == 0 || seconds > e.seconds) e.seconds = seconds, e.bound = name;
  }
  return e;
}

}  // namespace ptx
