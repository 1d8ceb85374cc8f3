// A caching allocator: blocks that come back are kept for the next request of about their size, so
// that a training step allocates nothing new after the first.
#pragma once
#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

#include "cpu/context.h"
#include "device.h"

namespace gptloom {

// Where blocks come from. Returns null when there is no more.
struct BlockSource {
  virtual void* obtain(size_t bytes) = 0;
  virtual void restore(void* block) = 0;

 protected:
  ~BlockSource() = default;
};

// The process's own memory, 64-byte aligned.
BlockSource& system_memory();

class Allocator final : public cpu::ScratchSource {
 public:
  // exact: every block is of the size asked for and is never handed out again, so that a tool which
  // watches memory sees each use on its own. What was released waits for trim() or detach().
  explicit Allocator(BlockSource& source = system_memory(), bool exact = false)
      : source_(source), exact_(exact) {}
  ~Allocator() { trim(); }
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // As aligned as the source's, contents undefined. Returns null when the source has no more.
  void* allocate(size_t bytes);
  void release(void* data, size_t bytes);
  // Gives all cached blocks back to the source. The caller knows that no queued work uses them.
  void trim();
  // The cached blocks, which are the caller's to restore to the source from here on.
  std::vector<void*> detach();
  MemoryUse use() const;

  // As scratch: throws Error("ERR_OUT_OF_MEMORY") instead of returning null.
  void* take(size_t bytes) override;
  void give_back(void* block, size_t bytes) override { release(block, bytes); }

 private:
  size_t rounded(size_t bytes) const;

  BlockSource& source_;
  const bool exact_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;  // by rounded size
  std::map<void*, size_t> sizes_;  // rounded size of each block in use that came from a larger one
  MemoryUse use_{};
};

}  // namespace gptloom
