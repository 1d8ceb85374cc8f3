// Packing for matrix products: operands in the order in which matmul.h's tile reads them.
//
// Plan: a tile leaves room for loads and stores, not for other arithmetic, which would take the ports
//   of its multiply-adds. So panels of a hold rows or columns, as memory does, and are copied by
//   lines; a transposed b goes float by float. Both happen a step at a time between the turns of
//   tiles. Of b, what nothing can hide, the first columns and those for few rows, goes through registers.
#pragma once

namespace gptloom::cpu {
namespace {
namespace matmul_detail {

constexpr int W = Vec::width;
constexpr int MR = Vec::registers == 32 ? 8 : 6;
constexpr int NV = Vec::registers == 32 ? 3 : 2;
constexpr int NR = NV * W;
constexpr int line = MatmulPack::line;

GPTLOOM_INLINE Vec load_some(const float* p, int n) {
  return n == W ? Vec::load(p) : Vec::load_part(p, n);
}
GPTLOOM_INLINE void store_some(Vec v, float* p, int n) {
  if (n == W) {
    v.store(p);
  } else {
    v.store_part(p, n);
  }
}

// out[k, i] = x[i, k] for `rows` rows, out's rows being `width` apart; columns from `rows` up to a
// whole vector are written as zeros, so that out must have room for them.
void transpose_panel(float* out, int64_t width, const float* x, int64_t stride, int rows,
                     int64_t depth) {
  for (int first = 0; first < rows; first += W) {
    const int n = std::min(rows - first, W);
    const float* source = x + first * stride;
    for (int64_t k = 0; k < depth; k += W) {
      const int left = static_cast<int>(std::min<int64_t>(depth - k, W));
      Vec r[W];
      if (n == W && left == W) {
        GPTLOOM_UNROLL
        for (int i = 0; i < W; i++) r[i] = Vec::load(source + i * stride + k);
      } else {
        for (int i = 0; i < W; i++) {
          r[i] = i < n ? Vec::load_part(source + i * stride + k, left) : Vec::zero();
        }
      }
      transpose(r);
      float* to = out + k * width + first;
      if (left == W) {
        GPTLOOM_UNROLL
        for (int i = 0; i < W; i++) r[i].store(to + i * width);
      } else {
        for (int i = 0; i < left; i++) r[i].store(to + i * width);
      }
    }
  }
}

void pack_b(const MatmulPack& s) {
  const int64_t whole = s.count / NR * NR, last = s.count - whole;
  const int64_t last_width = (last + W - 1) / W * W;
  float* const last_panel = s.to + whole * s.depth;
  if (s.transpose) {
    for (int64_t j = 0; j < whole; j += NR) {
      transpose_panel(s.to + j * s.depth, NR, s.from + j * s.stride, s.stride, NR, s.depth);
    }
    if (last) {
      transpose_panel(last_panel, last_width, s.from + whole * s.stride, s.stride,
                      static_cast<int>(last), s.depth);
    }
    return;
  }
  for (int64_t k = 0; k < s.depth; k++) {
    const float* row = s.from + k * s.stride;
    // Rows are short and far apart: the processor's own prefetching stops at the end of each.
    for (int64_t j = 0; j < s.count; j += line) GPTLOOM_PREFETCH(row + 6 * s.stride + j);
    for (int64_t j = 0; j < whole; j += NR) {
      float* const to = s.to + j * s.depth + k * NR;
      GPTLOOM_UNROLL
      for (int v = 0; v < NV; v++) Vec::load(row + j + v * W).store(to + v * W);
    }
    for (int64_t j = 0; j < last; j += W) {
      const int n = static_cast<int>(std::min<int64_t>(last - j, W));
      load_some(row + whole + j, n).store(last_panel + k * last_width + j);
    }
  }
}

void sum_b(float* sums, const float* packed, int64_t columns, int64_t depth, bool add) {
  for (int64_t j = 0; j < columns; j += NR) {
    const int64_t width = (std::min<int64_t>(columns - j, NR) + W - 1) / W * W;
    Vec sum[NV];
    GPTLOOM_UNROLL
    for (int v = 0; v < NV; v++) sum[v] = Vec::zero();
    for (int64_t k = 0; k < depth; k++) {
      GPTLOOM_UNROLL
      for (int v = 0; v < NV; v++) {
        if (v * W < width) sum[v] = sum[v] + Vec::load(packed + k * width + v * W);
      }
    }
    packed += depth * width;
    GPTLOOM_UNROLL
    for (int v = 0; v < NV; v++) {
      const int n = static_cast<int>(std::clamp<int64_t>(columns - j - v * W, 0, W));
      if (n == 0) continue;
      if (add) sum[v] = sum[v] + load_some(sums + j + v * W, n);
      store_some(sum[v], sums + j + v * W, n);
    }
  }
}

// When a step is due, of as many as are to be spread over the turns of tiles: at regular intervals,
// which the processor foresees, and never two at once, for the same reason.
class Pace {
 public:
  Pace(int64_t steps, int64_t turns)
      : period_(steps > 0 ? std::max<int64_t>(turns / steps, 1) : INT64_MAX), wait_(period_) {}
  GPTLOOM_INLINE bool due() {
    if (--wait_ > 0) return false;
    wait_ = period_;
    return true;
  }

 private:
  int64_t period_, wait_;
};

// A panel of a holds rows for two tiles in blocks of `line` k, whose elements lie in the order in
// which memory holds them.
constexpr int panel_rows = 2 * MR, panel_block = panel_rows * line;
template <bool transpose>
struct PanelOrder {
  static constexpr int row = transpose ? 1 : line, k = transpose ? panel_rows : 1;
};

// Packs one panel of a. A step copies a quarter of a block, and asks for what comes some steps later: of
// rows the next panel, of columns the next block, since lines a power of 2 apart soon contend for the
// same places of the caches.
class PanelPacker {
 public:
  PanelPacker(const MatmulPack& s, int64_t turns)
      : s_(s),
        left_(s.count > 0 ? quarters * ((s.depth + line - 1) / line) : 0),
        pace_(left_, turns) {}

  GPTLOOM_INLINE void turn() {
    if (pace_.due() && left_ > 0) step();
  }
  void finish() {
    while (left_ > 0) step();
  }

 private:
  static constexpr int quarters = 4;

  GPTLOOM_INLINE void step() {
    if (s_.depth < line || s_.count < panel_rows) {
      copy_part();
    } else if (s_.transpose) {
      constexpr int some = line / quarters;
      const float* p = s_.from + quarter_ * some * s_.stride;
      float* to = s_.to + quarter_ * some * panel_rows;
      GPTLOOM_UNROLL
      for (int d = 0; d < some; d++, p += s_.stride, to += panel_rows) {
        GPTLOOM_PREFETCH(p + line * s_.stride);
        GPTLOOM_PREFETCH(p + line * s_.stride + panel_rows - 1);
        copy_some<panel_rows>(to, p);
      }
    } else {
      constexpr int some = panel_rows / quarters;
      const float* p = s_.from + quarter_ * some * s_.stride;
      float* to = s_.to + quarter_ * some * line;
      GPTLOOM_UNROLL
      for (int i = 0; i < some; i++, p += s_.stride, to += line) {
        GPTLOOM_PREFETCH(p + panel_rows * s_.stride + line - 1);
        copy_some<line>(to, p);
      }
    }
    left_--;
    if (++quarter_ < quarters) return;
    quarter_ = 0;
    s_.from += s_.transpose ? line * s_.stride : line;
    s_.to += panel_block;
    s_.depth -= line;
  }
  template <int n>
  static GPTLOOM_INLINE void copy_some(float* to, const float* from) {
    GPTLOOM_UNROLL
    for (int i = 0; i + W <= n; i += W) Vec::load(from + i).store(to + i);
    if constexpr (n % W != 0) std::memcpy(to + n / W * W, from + n / W * W, n % W * sizeof *to);
  }
  // Of the last rows and k, all at once. Rows that are not there are the last one again.
  GPTLOOM_SELDOM void copy_part() {
    if (quarter_ > 0) return;
    const int64_t depth = std::min<int64_t>(s_.depth, line);
    for (int i = 0; i < panel_rows; i++) {
      const int64_t row = std::min<int64_t>(i, s_.count - 1);
      for (int64_t d = 0; d < depth; d++) {
        if (s_.transpose) {
          s_.to[d * panel_rows + i] = s_.from[d * s_.stride + row];
        } else {
          s_.to[i * line + d] = s_.from[row * s_.stride + d];
        }
      }
    }
  }

  MatmulPack s_;
  int64_t left_;  // steps
  int quarter_ = 0;
  Pace pace_;
};

void pack_a(const MatmulPack& s) { PanelPacker(s, 1).finish(); }

// Packs b a little at a time while tiles run, by loads and stores that arithmetic leaves room for.
// A step packs what a panel has of a row of b, or of a column as many k as are in half a line: a whole
// one at once holds up the multiply-adds. Few instructions count: those that are neither load nor
// store take their ports.
class Packer {
 public:
  Packer(const MatmulPack& s, int64_t turns) : s_(s), pace_(steps(s), turns) {
    if (steps(s) <= turns) {
      begin();
    } else {
      pack_b(s);  // too few rows to hide it under
    }
  }

  GPTLOOM_INLINE void turn() {
    if (pace_.due() && left_ > 0) step();
  }
  void finish() {
    while (left_ > 0) step();
  }

 private:
  static constexpr int some = line / 2;  // k of a column

  static int64_t steps(const MatmulPack& s) {
    return s.transpose ? s.count * ((s.depth + some - 1) / some)
                       : s.depth * ((s.count + NR - 1) / NR);
  }

  GPTLOOM_INLINE void step() {
    if (whole_ && s_.transpose) {
      GPTLOOM_PREFETCH(from_ + 8 * s_.stride);
      GPTLOOM_PREFETCH_FAR(from_ + 2 * line - 1);  // of the next run
      GPTLOOM_UNROLL
      for (int i = 0; i < some; i++) to_[i * NR] = from_[i];
      to_++;
    } else if (whole_) {
      const float* const soon = from_ + 8 * s_.stride;
      GPTLOOM_UNROLL
      for (int j = line - 1; j < NR; j += line) GPTLOOM_PREFETCH(soon + j);
      GPTLOOM_UNROLL
      for (int v = 0; v < NV; v++) Vec::load(from_ + v * W).store(to_ + v * W);
      to_ += NR;
    } else {
      part();
    }
    from_ += s_.stride;
    if (--left_ == 0) next_run();
  }

  GPTLOOM_SELDOM void next_run() {
    k_ += s_.transpose ? some : s_.depth;
    if (k_ >= s_.depth) k_ = 0, panel_ += NR;
    begin();
  }
  // A step of the last columns or k.
  GPTLOOM_SELDOM void part() {
    if (s_.transpose) {
      for (int64_t i = 0; i < depth(); i++) to_[i * width_] = from_[i];
      to_++;
      return;
    }
    for (int64_t j = 0; j < width_; j += W) {
      const int64_t n = std::min<int64_t>(s_.count - panel_ - j, W);
      load_some(from_ + j, static_cast<int>(n)).store(to_ + j);
    }
    to_ += width_;
  }

  // A run: the rows of a panel, or its columns for a line of k.
  void begin() {
    const int64_t columns = std::min<int64_t>(s_.count - panel_, NR);
    left_ = columns <= 0 ? 0 : s_.transpose ? columns : s_.depth;
    if (left_ == 0) return;
    from_ = s_.from + (s_.transpose ? panel_ * s_.stride + k_ : panel_);
    width_ = (columns + W - 1) / W * W;
    whole_ = columns == NR && (!s_.transpose || depth() == some);
    to_ = s_.to + panel_ * s_.depth + k_ * width_;
    for (int64_t j = columns; s_.transpose && j < width_; j++) {
      for (int64_t i = 0; i < depth(); i++) to_[i * width_ + j] = 0;
    }
  }
  int64_t depth() const { return std::min<int64_t>(s_.depth - k_, some); }

  const MatmulPack s_;
  const float* from_ = nullptr;
  float* to_ = nullptr;
  int64_t left_ = 0;           // steps of the run
  int64_t panel_ = 0, k_ = 0;  // where the run begins
  int64_t width_ = 0;          // of its panel
  bool whole_ = false;         // panel and line
  Pace pace_;
};

}  // namespace matmul_detail
}  // namespace
}  // namespace gptloom::cpu
