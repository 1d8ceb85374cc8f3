// Roofline estimates: what a launch's counters say about its time on a GPU that is not here.
#pragma once
#include "emulator.h"

namespace ptx {

// Peaks by the vendor's data sheets: dense tensor-core rate for bf16 with float32 sums, boost clock.
struct Machine {
  DeviceProfile profile;
  double bandwidth = 0;                                        // bytes/s of DRAM
  double float32_rate = 0, float64_rate = 0, tensor_rate = 0;  // FLOP/s
  double issue_rate = 0;                                       // warp instructions/s of the whole GPU
  double shared_rate = 0;  // shared-memory wavefronts/s of the whole GPU
};
Machine machine_of(const DeviceProfile& profile);
Machine a100();
Machine rtx4090();
Machine h100();

struct Estimate {
  double seconds = 0;      // a bound from below: the largest of the terms
  const char* bound = "";  // which term that is
  double bytes = 0, float32 = 0, float64 = 0, tensor = 0, issue = 0, shared = 0;  // seconds each
  double occupancy = 0;
};
Estimate estimate(const Counters& counters, const Machine& machine);

}  // namespace ptx
