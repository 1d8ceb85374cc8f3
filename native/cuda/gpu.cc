#include "cuda/gpu.h"

#include <utility>

namespace gptloom::cuda {

namespace {

constexpr const char* kInstall =
    ". Install NVIDIA's driver for this system (the CUDA toolkit is not needed), or use device "
    "'cpu'";

// Answers after which the driver gives the same one to every later call of this context.
bool is_final(CUresult result) {
  switch (result) {
    case kDeinitialized:
    case 201:  // the context is gone
    case 214:  // uncorrectable memory error
    case 219:  // NVLink
    case 226:  // contained
    case 700:  // illegal address
    case 702:  // timeout
    case 709:  // the context was destroyed
    case 710:  // assert
    case 714:
    case 715:
    case 716:
    case 717:
    case 718:
    case 719:  // faults of the hardware and of instructions
    case 721:
    case 999:  // unknown
      return true;
    default:
      return false;
  }
}

GpuInfo examine(const Driver& driver, CUdevice device) {
  GpuInfo info{};
  char name[256] = "";
  driver.DeviceGetName(name, sizeof name, device);
  info.name = name;
  driver.DeviceTotalMem_v2(&info.memory, device);
  const auto attribute = [&](int which) {
    int value = 0;
    driver.DeviceGetAttribute(&value, which, device);
    return value;
  };
  info.compute_capability =
      10 * attribute(kComputeCapabilityMajor) + attribute(kComputeCapabilityMinor);
  info.multiprocessors = attribute(kMultiprocessorCount);
  info.shared_memory = static_cast<size_t>(attribute(kMaxSharedMemoryPerBlockOptin));
  return info;
}

}  // namespace

std::vector<GpuInfo> list_gpus() {
  std::vector<GpuInfo> out;
  const Driver* driver = load_driver().driver;
  int count = 0;
  if (driver) driver->DeviceGetCount(&count);
  for (int i = 0; i < count; i++) {
    CUdevice device;
    if (driver->DeviceGet(&device, i) == kSuccess) out.push_back(examine(*driver, device));
  }
  return out;
}

Gpu::Gpu(int ordinal) : driver_(load_driver().driver), ordinal_(ordinal) {
  if (!driver_) throw Error("ERR_NO_DRIVER", "No CUDA driver: " + load_driver().reason + kInstall);
  int count = 0;
  check(driver_->DeviceGetCount(&count), "counting GPUs");
  if (ordinal >= count) {
    throw Error("ERR_DEVICE", "There is no GPU " + std::to_string(ordinal) + ": the driver lists " +
                                  std::to_string(count) + ", counted from 0");
  }
  check(driver_->DeviceGet(&device_, ordinal), "opening the GPU");
  info_ = examine(*driver_, device_);
  // Whoever waits sleeps. Refused where the context has been opened by somebody else: then it is
  // theirs.
  driver_->DevicePrimaryCtxSetFlags_v2(device_, kContextBlockingSync);
  check(driver_->DevicePrimaryCtxRetain(&context_, device_), "opening " + name());
}

Gpu::~Gpu() { driver_->DevicePrimaryCtxRelease_v2(device_); }

void Gpu::check(CUresult result, const std::string& what, const std::string& where) {
  if (result == kSuccess) return;
  const std::string text = driver_->explain(result) + ", when " + what + where;
  if (is_final(result)) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (cause_.empty()) {
      cause_ = "The GPU " + name() + " was lost: " + text +
               ". Nothing more runs on it in this process: end the process and start it again";
    }
    throw Error("ERR_DEVICE", cause_);
  }
  throw Error(result == kOutOfMemory ? "ERR_OUT_OF_MEMORY" : "ERR_DEVICE",
              name() + " answered " + text);
}

std::exception_ptr Gpu::lost() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return cause_.empty() ? nullptr : std::make_exception_ptr(Error("ERR_DEVICE", cause_));
}

void* BoardMemory::obtain(size_t bytes) {
  const Current current(gpu_);
  CUdeviceptr address = 0;
  if (gpu_.driver().MemAlloc_v2(&address, bytes) != kSuccess) return nullptr;
  return reinterpret_cast<void*>(static_cast<uintptr_t>(address));
}

void BoardMemory::restore(void* block) {
  const Current current(gpu_);
  gpu_.driver().MemFree_v2(address_of(block));
}

void* PinnedMemory::obtain(size_t bytes) {
  const Current current(gpu_);
  void* block = nullptr;
  return gpu_.driver().MemHostAlloc(&block, bytes, 0) == kSuccess ? block : nullptr;
}

void PinnedMemory::restore(void* block) {
  const Current current(gpu_);
  gpu_.driver().MemFreeHost(block);
}

}  // namespace gptloom::cuda
