// Limits of each compute capability, by the CUDA C++ Programming Guide's table of technical specifications;
// counts and clocks are those of the usual data-centre or desktop GPU of that kind.
#include "emulator.h"

namespace ptx {

namespace {

struct Row {
  int major, minor;
  const char* name;
  int multiprocessors, threads, blocks;
  size_t shared_optin, shared_total;  // KiB a block and a multiprocessor
  int clock_mhz, memory_mhz, bus_bits, l2_mib, memory_gib, cluster;
};

constexpr Row rows[] = {
    {7, 5, "Emulated GPU (T4 limits)", 40, 1024, 16, 64, 64, 1590, 5001, 256, 4, 16, 1},
    {8, 0, "Emulated GPU (A100 limits)", 108, 2048, 32, 163, 164, 1410, 1593, 5120, 40, 80, 1},
    {8, 6, "Emulated GPU (A10 limits)", 72, 1536, 16, 99, 100, 1695, 6251, 384, 6, 24, 1},
    {8, 7, "Emulated GPU (Orin limits)", 16, 1536, 16, 163, 164, 1300, 3200, 256, 4, 32, 1},
    {8, 9, "Emulated GPU (RTX 4090 limits)", 128, 1536, 24, 99, 100, 2520, 10501, 384, 72, 24, 1},
    {9, 0, "Emulated GPU (H100 limits)", 132, 2048, 32, 227, 228, 1830, 2619, 5120, 50, 80, 8},
    {10, 0, "Emulated GPU (B200 limits)", 148, 2048, 32, 227, 228, 1965, 3996, 8192, 126, 180, 8},
    {10, 3, "Emulated GPU (B300 limits)", 148, 2048, 32, 227, 228, 1965, 3996, 8192, 126, 268, 8},
    {12, 0, "Emulated GPU (RTX 5090 limits)", 170, 1536, 24, 99, 100, 2407, 14001, 512, 96, 32, 8},
};

}  // namespace

DeviceProfile profile_for(int major, int minor) {
  const Row* row = rows;
  for (const Row& other : rows) {
    if (other.major * 10 + other.minor <= major * 10 + minor) row = &other;
  }
  DeviceProfile p;
  p.name = row->name;
  p.major = row->major, p.minor = row->minor;
  p.multiprocessors = row->multiprocessors;
  p.shared_per_block_optin = row->shared_optin << 10;
  p.shared_per_multiprocessor = row->shared_total << 10;
  p.shared_reserved_per_block = row->major >= 8 ? 1024 : 0;
  p.threads_per_multiprocessor = row->threads;
  p.blocks_per_multiprocessor = row->blocks;
  p.max_cluster = row->cluster;
  p.total_memory = size_t(row->memory_gib) << 30;
  p.clock_khz = row->clock_mhz * 1000, p.memory_clock_khz = row->memory_mhz * 1000;
  p.memory_bus_bits = row->bus_bits;
  p.l2_bytes = size_t(row->l2_mib) << 20;
  return p;
}

}  // namespace ptx
