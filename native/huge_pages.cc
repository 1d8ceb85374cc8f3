#include "huge_pages.h"

#ifdef GPTLOOM_HUGE_PAGES
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>

namespace gptloom {

namespace {

constexpr size_t kPage = size_t{2} << 20;    // a huge page
constexpr size_t kChunk = size_t{32} << 20;  // the least that is asked of the system
constexpr size_t kAlignment = 64;            // a cache line, and the widest vector

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

void* HugePages::obtain(size_t bytes) {
  bytes = round_up(bytes, kAlignment);
  std::lock_guard<std::mutex> lock(mutex_);
  const auto fits = [&] {
    return std::find_if(free_.begin(), free_.end(), [&](auto& range) { return range.second >= bytes; });
  };
  auto found = fits();
  if (found == free_.end()) {
    if (!add_chunk(bytes)) return nullptr;
    found = fits();
  }
  const auto [begin, size] = *found;
  free_.erase(found);
  if (size > bytes) free_[begin + bytes] = size - bytes;
  blocks_[begin] = bytes;
  return begin;
}

bool HugePages::add_chunk(size_t bytes) {
  const size_t size = std::max(round_up(bytes, kPage), kChunk);
  void* chunk = nullptr;
  if (posix_memalign(&chunk, kPage, size) != 0) return false;
  madvise(chunk, size, MADV_HUGEPAGE);
  chunks_[static_cast<char*>(chunk)] = size;
  free_[static_cast<char*>(chunk)] = size;
  return true;
}

bool HugePages::restore(void* block) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = blocks_.find(static_cast<char*>(block));
  if (found == blocks_.end()) return false;
  const auto [begin, size] = *found;
  blocks_.erase(found);
  release(begin, size);
  return true;
}

// Chunks never touch: malloc's own notes stand between them.
void HugePages::release(char* begin, size_t bytes) {
  auto after = free_.lower_bound(begin);
  if (after != free_.end() && after->first == begin + bytes) {
    bytes += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == begin) {
      begin = before->first;
      bytes += before->second;
      free_.erase(before);
    }
  }
  const auto chunk = chunks_.find(begin);
  if (chunk != chunks_.end() && chunk->second == bytes) {
    chunks_.erase(chunk);
    return std::free(begin);
  }
  free_[begin] = bytes;
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t first = round_up(address, kPage), last = (address + bytes) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace gptloom
#endif
