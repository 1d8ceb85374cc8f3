// One GPU: its context, what it can do, and whether it still answers.
#pragma once
#include <mutex>
#include <string>
#include <vector>

#include "allocator.h"
#include "cuda/driver.h"
#include "error.h"

namespace gptloom::cuda {

struct GpuInfo {
  std::string name;
  int compute_capability;  // 80 for 8.0
  int multiprocessors;
  size_t shared_memory;  // the most that one block may ask for, in bytes
  size_t memory;         // bytes on board
};

// What the driver lists; empty without a driver.
std::vector<GpuInfo> list_gpus();

class Gpu {
 public:
  // Throws Error("ERR_NO_DRIVER"), or "ERR_DEVICE" when there is no such GPU or it cannot be
  // opened.
  explicit Gpu(int ordinal);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  const Driver& driver() const { return *driver_; }
  const GpuInfo& info() const { return info_; }
  std::string name() const { return info_.name + " (cuda:" + std::to_string(ordinal_) + ")"; }
  CUcontext context() const { return context_; }

  // Throws what the driver answered, unless that is success. An answer that the driver will now
  // give to every call means that the device is lost. `what` and `where`: "launching x", "in op
  // ...".
  void check(CUresult result, const std::string& what, const std::string& where = "");
  // The first cause of the loss, as an ERR_DEVICE; null while the device answers.
  std::exception_ptr lost() const;

 private:
  const Driver* driver_;
  int ordinal_;
  GpuInfo info_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  mutable std::mutex mutex_;
  std::string cause_;  // of the loss
};

// Makes a GPU's context the calling thread's own for the length of a scope.
class Current {
 public:
  explicit Current(const Gpu& gpu) : driver_(gpu.driver()) {
    pushed_ = driver_.CtxPushCurrent_v2(gpu.context()) == kSuccess;
  }
  ~Current() {
    CUcontext context;
    if (pushed_) driver_.CtxPopCurrent_v2(&context);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  const Driver& driver_;
  bool pushed_;
};

// The GPU's memory. To be called from any thread. From cuMemAlloc and not the driver's pool
// (cuMemAllocAsync): the allocator keeps blocks and hands them out in the order of the queue itself,
// so that the driver is asked in the first step alone, and a pool below would hold memory twice.
class BoardMemory final : public BlockSource {
 public:
  explicit BoardMemory(const Gpu& gpu) : gpu_(gpu) {}
  void* obtain(size_t bytes) override;
  void restore(void* block) override;  // waits for the work that may use it

 private:
  const Gpu& gpu_;
};

// The host's memory, locked in place, so that copies run beside everything else.
class PinnedMemory final : public BlockSource {
 public:
  explicit PinnedMemory(const Gpu& gpu) : gpu_(gpu) {}
  void* obtain(size_t bytes) override;
  void restore(void* block) override;

 private:
  const Gpu& gpu_;
};

inline CUdeviceptr address_of(const void* data) {
  return static_cast<CUdeviceptr>(reinterpret_cast<uintptr_t>(data));
}

}  // namespace gptloom::cuda
