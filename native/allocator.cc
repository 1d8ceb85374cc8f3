#include "allocator.h"

#include <cstdlib>

#include "error.h"
#include "huge_pages.h"

namespace gptloom {

namespace {

constexpr size_t kAlignment = 64;  // a cache line, and the widest vector

struct SystemMemory final : BlockSource {
  void* obtain(size_t bytes) override {
#if defined(_WIN32)
    return _aligned_malloc(bytes, kAlignment);
#else
#if defined(GPTLOOM_HUGE_PAGES)
    if (bytes >= HugePages::least) return huge_pages_.obtain(bytes);
#endif
    void* data = nullptr;
    return posix_memalign(&data, kAlignment, bytes) == 0 ? data : nullptr;
#endif
  }

  void restore(void* block) override {
#if defined(_WIN32)
    _aligned_free(block);
#else
#if defined(GPTLOOM_HUGE_PAGES)
    if (huge_pages_.restore(block)) return;
#endif
    std::free(block);
#endif
  }

#if defined(GPTLOOM_HUGE_PAGES)
 private:
  HugePages huge_pages_;
#endif
};

}  // namespace

BlockSource& system_memory() {
  // Never destroyed: devices may outlive it while the process exits.
  static auto* memory = new SystemMemory;
  return *memory;
}

// Rounds up so that nearly equal requests share blocks: to an eighth of the power of two below.
size_t Allocator::rounded(size_t bytes) const {
  if (exact_) return bytes + (bytes == 0);
  if (bytes <= 512)
    return (bytes + kAlignment - 1) / kAlignment * kAlignment + (bytes == 0 ? kAlignment : 0);
  size_t step = kAlignment;
  while (step * 16 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

void* Allocator::allocate(size_t bytes) {
  const size_t wanted = rounded(bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  // A cached block may be up to an eighth too large: more would waste memory, less would waste
  // blocks.
  const auto found = exact_ ? free_.end() : free_.lower_bound(wanted);
  void* data = nullptr;
  size_t size = wanted;
  if (found != free_.end() && found->first <= wanted + wanted / 8) {
    size = found->first;
    data = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) free_.erase(found);
  } else {
    data = source_.obtain(wanted);
    if (!data) return nullptr;
    use_.reserved += wanted;
  }
  if (size != wanted) sizes_[data] = size;
  use_.used += size;
  if (use_.used > use_.peak) use_.peak = use_.used;
  return data;
}

void Allocator::release(void* data, size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t size = rounded(bytes);
  const auto larger = sizes_.find(data);
  if (larger != sizes_.end()) {
    size = larger->second;
    sizes_.erase(larger);
  }
  use_.used -= size;
  free_[size].push_back(data);
}

void Allocator::trim() {
  for (void* data : detach()) source_.restore(data);
}

std::vector<void*> Allocator::detach() {
  std::vector<void*> out;
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& [size, blocks] : free_) {
    out.insert(out.end(), blocks.begin(), blocks.end());
    use_.reserved -= size * blocks.size();
  }
  free_.clear();
  return out;
}

MemoryUse Allocator::use() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return use_;
}

void* Allocator::take(size_t bytes) {
  void* data = allocate(bytes);
  if (!data) {
    trim();
    data = allocate(bytes);
  }
  if (!data) {
    throw Error("ERR_OUT_OF_MEMORY",
                "The system has no " + std::to_string(bytes >> 20) + " MB of scratch memory");
  }
  return data;
}

}  // namespace gptloom
