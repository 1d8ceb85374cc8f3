#include "huge_pages.h"

#ifdef GPTLOOM_HUGE_PAGES
#include <cstring>
#include <vector>

#include "test.h"

namespace gptloom::test {

TEST(huge_pages_are_cut_into_blocks_that_never_overlap) {
  HugePages pages;
  struct Block {
    unsigned char* data;
    size_t bytes;
    unsigned char mark;
  };
  std::vector<Block> blocks;
  const auto check_and_restore = [&](size_t at) {
    const Block block = blocks[at];
    for (size_t k = 0; k < block.bytes; k += 4096) CHECK(block.data[k] == block.mark);
    CHECK(block.data[block.bytes - 1] == block.mark);
    CHECK(pages.restore(block.data) && !pages.restore(block.data));
    blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(at));
  };
  // Sizes below and above a page, and now and then above the least chunk.
  Generator generator(1);
  for (int i = 0; i < 400; i++) {
    if (blocks.size() < 12 && generator.below(3)) {
      const int64_t more = generator.below((i % 50 == 0 ? 40 : 3) << 20);
      const size_t bytes = HugePages::least + static_cast<size_t>(more);
      auto* data = static_cast<unsigned char*>(pages.obtain(bytes));
      CHECK(data && reinterpret_cast<uintptr_t>(data) % 64 == 0);
      std::memset(data, i % 251, bytes);
      blocks.push_back({data, bytes, static_cast<unsigned char>(i % 251)});
    } else if (!blocks.empty()) {
      check_and_restore(
          static_cast<size_t>(generator.below(static_cast<int64_t>(blocks.size()))));
    }
  }
  while (!blocks.empty()) check_and_restore(0);
}

TEST(huge_pages_leave_other_blocks_alone) {
  HugePages pages;
  int other;
  CHECK(!pages.restore(&other));
  CHECK(pages.obtain(size_t{1} << 46) == nullptr);
  // A block that came back serves again, whole or in parts.
  void* first = pages.obtain(1 << 20);
  void* second = pages.obtain(1 << 20);
  CHECK(pages.restore(first) && pages.obtain(1 << 19) == first);
  CHECK(pages.restore(second) && pages.restore(first));
}

}  // namespace gptloom::test
#endif
