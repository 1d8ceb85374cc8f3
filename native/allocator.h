// A caching allocator over the system's memory: blocks that come back are kept for the next request
// of about their size, so that a training step allocates nothing new after the first.
#pragma once
#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "cpu/context.h"
#include "device.h"

namespace gptloom {

class Allocator final : public cpu::ScratchSource {
 public:
  Allocator() = default;
  ~Allocator() { trim(); }
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // 64-byte aligned, contents undefined. Returns null when the system has no more.
  void* allocate(size_t bytes);
  void release(void* data, size_t bytes);
  // Gives all cached blocks back to the system. The caller knows that no queued work uses them.
  void trim();
  MemoryUse use() const;

  // As scratch: throws Error("ERR_OUT_OF_MEMORY") instead of returning null.
  void* take(size_t bytes) override;
  void give_back(void* block, size_t bytes) override { release(block, bytes); }

 private:
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // by rounded size
  std::map<void*, size_t> sizes_;  // rounded size of each block in use that came from a larger one
  MemoryUse use_{};
};

}  // namespace gptloom
