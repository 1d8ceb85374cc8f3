// Blocks of memory that share huge pages. Weights, caches and activations are walked end to end by all
// threads; on pages of 4 KB that walk waits for translations, the more so on a virtual machine, and
// most of a model's tensors are smaller than a huge page or end in the middle of one.
//
// Plan: chunks of whole huge pages are cut into blocks, the first range that is large enough being
// taken. What comes back joins its neighbours: a chunk that is free again goes back to the system,
// and so do the whole pages of what is free in the others.
#pragma once
#include <cstddef>
#include <map>
#include <mutex>

// Under AddressSanitizer every block stands alone, so that it sees what is written past one's end.
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define GPTLOOM_HUGE_PAGES 1

namespace gptloom {

class HugePages {
 public:
  static constexpr size_t least = size_t{128} << 10;  // smaller blocks are malloc's

  // Aligned to a cache line, contents undefined; null when the system has no more.
  void* obtain(size_t bytes);
  // False for a block that is not from here.
  bool restore(void* block);

 private:
  using Ranges = std::map<char*, size_t>;  // sizes by first byte
  bool add_chunk(size_t bytes);
  void release(char* begin, size_t bytes);

  std::mutex mutex_;
  Ranges chunks_, blocks_, free_;
};

}  // namespace gptloom
#endif
