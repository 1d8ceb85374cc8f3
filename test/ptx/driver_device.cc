// Start-up, the one device, its attributes.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "driver_state.h"
#include "report.h"

namespace ptx::driver {

State& state() {
  static State* const only = new State;  // never destroyed: the worker may outlive main()
  return *only;
}

void complain(const char* format, ...) {
  char buffer[2048];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "emulated GPU: %s\n", buffer);
  std::fflush(stderr);
}

namespace {

void at_exit() {
  State& s = state();
  std::unique_lock<std::mutex> lock(s.mutex);
  s.queue.stop(lock);
}

constexpr size_t arena = size_t(64) << 30;  // reserved, not committed

CUresult start(State& s) {
  s.settings = read_settings();
  if (!s.settings.error.empty()) {
    complain("%s", s.settings.error.c_str());
    return CUDA_ERROR_INVALID_VALUE;
  }
  s.device = profile_for(s.settings.major, s.settings.minor);
  s.device.major = s.settings.major;
  s.device.minor = s.settings.minor;
  // Guard zones and quarantine take of the arena too, so that half of it may be sold.
  s.device.total_memory = std::min(s.settings.memory ? s.settings.memory : s.device.total_memory, arena / 2);
  s.memory = std::make_unique<Memory>(arena);
  s.memory->set_limit(s.device.total_memory);
  s.default_pool = s.current_pool = std::make_shared<Pool>();
  s.pools.add(s.default_pool);
  s.initialised = true;
  std::atexit(at_exit);
  return CUDA_SUCCESS;
}

// f(State&) for calls that need cuInit and a device, but no context.
template <class F>
CUresult with_device(CUdevice device, F f) noexcept {
  return enter([&](Call& call) -> CUresult {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    return f(call.s);
  });
}

struct Entry {
  int attribute;
  long value;
};

// cuda.h's CUdevice_attribute. What is not listed is a feature that is absent here: 0.
std::vector<Entry> attributes(const DeviceProfile& d) {
  const bool hopper = d.major >= 9;
  return {
    {1, d.max_threads_per_block}, {2, d.max_block[0]}, {3, d.max_block[1]}, {4, d.max_block[2]},
    {5, d.max_grid[0]}, {6, d.max_grid[1]}, {7, d.max_grid[2]}, {8, long(d.shared_per_block)},
    {9, 65536}, {10, 32}, {11, 2147483647}, {12, d.registers_per_block}, {13, d.clock_khz},
    {14, 512}, {15, 1}, {16, d.multiprocessors}, {17, 0}, {18, 0}, {19, 1}, {20, 0},
    {30, 512}, {31, 1}, {32, 0}, {33, 1}, {34, 0}, {36, d.memory_clock_khz}, {37, d.memory_bus_bits},
    {38, long(d.l2_bytes)}, {39, d.threads_per_multiprocessor}, {40, 2}, {41, 1}, {50, 0}, {51, 32},
    {75, d.major}, {76, d.minor}, {78, 1}, {79, 1}, {80, 1}, {81, long(d.shared_per_multiprocessor)},
    {82, d.registers_per_multiprocessor}, {83, 1}, {84, 0}, {86, 0},
    {87, long(machine_of(d).float32_rate / machine_of(d).float64_rate)}, {88, 0}, {89, 0}, {90, 1},
    {91, 1}, {95, 1}, {96, 0}, {97, long(d.shared_per_block_optin)}, {99, 1},
    {106, d.blocks_per_multiprocessor}, {111, long(d.shared_reserved_per_block)}, {113, 1}, {115, 1},
    {120, hopper}, {126, 1}, {127, 0}, {134, -1}, {130, 0}, {131, -1},
  };
}

constexpr int attributes_known = 148;  // the header's CU_DEVICE_ATTRIBUTE_MAX

constexpr char uuid[17] = "emulated-gpu-0\0";

void copy_text(char* to, int length, const std::string& text) {
  std::snprintf(to, static_cast<size_t>(length), "%s", text.c_str());
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuInit(PTX_uint flags) {
  try {
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    State& s = state();
    const std::lock_guard<std::mutex> lock(s.mutex);
    return s.initialised ? CUDA_SUCCESS : start(s);
  } catch (const std::exception& error) {
    complain("%s", error.what());
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

CUresult cuDriverGetVersion(int* version) {
  if (!version) return CUDA_ERROR_INVALID_VALUE;
  *version = 13000;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return enter([&](Call&) {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetCount(int* count) {
  return enter([&](Call&) {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  return with_device(device, [&](State& s) {
    if (!name || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    copy_text(name, length, s.device.name);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid(CUuuid* out, CUdevice device) {
  return with_device(device, [&](State&) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(out->bytes, uuid, sizeof out->bytes);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid_v2(CUuuid* out, CUdevice device) { return cuDeviceGetUuid(out, device); }

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  return with_device(device, [&](State& s) {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    *bytes = s.device.total_memory;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
  return with_device(device, [&](State& s) {
    if (!value || attribute <= 0 || attribute >= attributes_known) return CUDA_ERROR_INVALID_VALUE;
    *value = 0;
    for (const auto& [id, number] : attributes(s.device)) {
      if (id == attribute) *value = static_cast<int>(number);
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
  return with_device(device, [&](State& s) {
    if (!major || !minor) return CUDA_ERROR_INVALID_VALUE;
    *major = s.device.major;
    *minor = s.device.minor;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
  return with_device(device, [&](State&) {
    if (!id || length < 13) return CUDA_ERROR_INVALID_VALUE;
    copy_text(id, length, "0000:01:00.0");
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetByPCIBusId(CUdevice* device, const char* id) {
  return enter([&](Call&) {
    if (!device || !id) return CUDA_ERROR_INVALID_VALUE;
    unsigned domain = 0, bus = 0, slot = 0;
    const bool whole = std::sscanf(id, "%x:%x:%x", &domain, &bus, &slot) == 3;
    if (!whole || domain != 0 || bus != 1 || slot != 0) return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  return with_device(device, [&](State&) {
    if (!can) return CUDA_ERROR_INVALID_VALUE;
    if (peer != 0) return CUDA_ERROR_INVALID_DEVICE;
    *can = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetExecAffinitySupport(int* supported, int, CUdevice device) {
  return with_device(device, [&](State&) {
    if (!supported) return CUDA_ERROR_INVALID_VALUE;
    *supported = 0;
    return CUDA_SUCCESS;
  });
}

// Profilers are the counters' business (EMULATOR_COUNTERS): these only have to be there.
CUresult cuProfilerInitialize(const char*, const char*, int) { return CUDA_ERROR_NOT_SUPPORTED; }
CUresult cuProfilerStart() { return CUDA_SUCCESS; }
CUresult cuProfilerStop() { return CUDA_SUCCESS; }
