// Asking for a head's rows ahead of their use. They lie a row of all heads apart, too far for the
// processor to guess, and it can wait for a few lines at a time only: so they are asked for some by
// some, between the tiles of the products, which keep to the caches meanwhile.
#pragma once

namespace gptloom::cpu {
namespace {
namespace attention {

GPTLOOM_INLINE void ask_row(const float* row, int64_t D) {
  for (int64_t d = 0; d < D; d += 16) GPTLOOM_PREFETCH_FAR(row + d);
}

GPTLOOM_INLINE void ask_to_write(const float* row, int64_t D) {
  for (int64_t d = 0; d < D; d += 16) GPTLOOM_PREFETCH_WRITE(row + d);
}

// Rows of D, from some tensors in turn.
class Ahead {
 public:
  explicit Ahead(int64_t D) : D_(D) {}
  void clear() { parts_ = turn_ = 0; }
  void add(const float* rows, int64_t stride, int64_t count, bool written = false) {
    if (count > 0) part_[parts_++] = {rows, stride, count, written};
  }
  // A share of them; forgotten is what has been asked for.
  void ask() {
    for (int i = 0; i < share && parts_ > 0; i++) {
      if (turn_ >= parts_) turn_ = 0;
      Part& part = part_[turn_++];
      part.written ? ask_to_write(part.rows, D_) : ask_row(part.rows, D_);
      part.rows += part.stride;
      if (--part.count == 0) part = part_[--parts_];
    }
  }

 private:
  static constexpr int share = 4;
  struct Part {
    const float* rows;
    int64_t stride, count;
    bool written;
  };
  int64_t D_;
  int parts_ = 0, turn_ = 0;
  Part part_[6];
};

}  // namespace attention
}  // namespace
}  // namespace gptloom::cpu
