// Matrix product kernels: packing and the register tile; products of few rows are matmul_narrow.h's.
// The plan above them is cpu/matmul.cc.
//
// Maths: a tile of R rows x V vectors of the output is kept in registers while k runs over one
//   block of K: V loads of b and R broadcasts of a feed R V multiply-adds. 8 x 3 vectors on 32
//   registers and 6 x 2 on 16 leave just room for the operands, at less than one load each.
// Plan: a's panel (R x depth) stays in L1 and is swept over the panels of b, which stream from L2.
//   Between two turns of the loop over k the tile moves some of the next block of b into its panels
//   and asks for what is wanted soon: the packing hides under the arithmetic.
//   Edges run the same loop with fewer rows or vectors; the last vector of a row is loaded and
//   stored in part.
// Numbers: every element is one chain of multiply-adds in order of k within a block of K, whatever
//   the tile; blocks are added in order. So are those of few rows.
#pragma once

namespace gptloom::cpu {
namespace {
namespace matmul_detail {

constexpr int W = Vec::width;
constexpr int MR = Vec::registers == 32 ? 8 : 6;
constexpr int NV = Vec::registers == 32 ? 3 : 2;
constexpr int NR = NV * W;
constexpr int line = 16;  // floats in a line of cache, on most processors

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

// ---- packing ------------------------------------------------------------------------------------

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

void pack_b(float* out, const float* b, int64_t stride, int64_t columns, int64_t depth,
            bool transpose) {
  const int64_t whole = columns / NR * NR, last = columns - whole;
  const int64_t last_width = (last + W - 1) / W * W;
  float* const last_panel = out + whole * depth;
  if (transpose) {
    for (int64_t j = 0; j < whole; j += NR) {
      transpose_panel(out + j * depth, NR, b + j * stride, stride, NR, depth);
    }
    if (last) {
      transpose_panel(last_panel, last_width, b + whole * stride, stride, static_cast<int>(last),
                      depth);
    }
    return;
  }
  for (int64_t k = 0; k < depth; k++) {
    const float* row = b + k * stride;
    // Rows are short and far apart: the processor's own prefetching stops at the end of each.
    for (int64_t j = 0; j < columns; j += line) GPTLOOM_PREFETCH(row + 6 * stride + j);
    for (int64_t j = 0; j < whole; j += NR) {
      float* const to = out + j * depth + k * NR;
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

// One panel of a from rows: W columns of k at a time through registers, R floats of each being
// kept.
template <int R>
void pack_a_rows(float* out, const float* a, int64_t stride, int64_t depth) {
  static_assert(MR <= 2 * W, "two vectors hold a column of the tile");
  for (int64_t k = 0; k < depth; k += W) {
    const int left = static_cast<int>(std::min<int64_t>(depth - k, W));
    if constexpr (R == MR && 2 * MR == W) {
      if (left == W) {
        Vec r[R];
        GPTLOOM_UNROLL
        for (int i = 0; i < R; i++) {
          GPTLOOM_PREFETCH(a + (R + i) * stride + k);
          r[i] = Vec::load(a + i * stride + k);
        }
        transpose_pairs(r);
        GPTLOOM_UNROLL
        for (int i = 0; i < R; i++) r[i].store(out + k * R + i * W);
        continue;
      }
    }
    for (int first = 0; first < R; first += W) {
      constexpr int all = R;
      const int n = std::min(all - first, W);
      Vec r[W];
      GPTLOOM_UNROLL
      for (int i = 0; i < W; i++) {
        r[i] = first + i < R ? load_some(a + (first + i) * stride + k, left) : Vec::zero();
      }
      transpose(r);
      for (int i = 0; i < left; i++) store_some(r[i], out + (k + i) * R + first, n);
    }
  }
}

using PackPanel = void (*)(float*, const float*, int64_t, int64_t);
template <int... I>
constexpr PackPanel pack_panel(int rows, std::integer_sequence<int, I...>) {
  constexpr PackPanel from_rows[] = {pack_a_rows<I + 1>...};
  return from_rows[rows - 1];
}

// The same from a stored [depth, rows]: a row of it holds a column of each panel as it is.
void pack_a_columns(float* out, const float* a, int64_t stride, int64_t rows, int64_t depth) {
  // A few panels at a time: as they lie, they contend for the same places of L1.
  for (int64_t first = 0; first < rows; first += 4 * MR) {
    const int64_t end = std::min<int64_t>(first + 4 * MR, rows);
    for (int64_t k = 0; k < depth; k++) {
      const float* const from = a + k * stride;
      for (int64_t i = first; i < end; i += line) GPTLOOM_PREFETCH(from + 12 * stride + i);
      for (int64_t i = first; i < end; i += MR) {
        if (i + MR <= end) {
          float* const to = out + i * depth + k * MR;
          for (int c = 0; c < MR; c++) to[c] = from[i + c];
        } else {
          float* const to = out + i * depth + k * (end - i);
          for (int c = 0; c < end - i; c++) to[c] = from[i + c];
        }
      }
    }
  }
}

void pack_a(float* out, const float* a, int64_t stride, int64_t rows, int64_t depth,
            bool transpose) {
  if (transpose) return pack_a_columns(out, a, stride, rows, depth);
  for (int64_t i = 0; i < rows; i += MR) {
    const int n = static_cast<int>(std::min<int64_t>(rows - i, MR));
    pack_panel(n, std::make_integer_sequence<int, MR>())(out, a + i * stride, stride, depth);
    out += n * depth;
  }
}

// ---- the register tile --------------------------------------------------------------------------

// What follows the last block of K, on what it has just written.
template <Gelu form>
void finish_as(const MatmulBlock& s, int64_t offset, int rows, int columns) {
  for (int i = 0; i < rows; i++, offset += s.stride) {
    for (int j = 0; j < columns; j += W) {
      const int n = std::min(columns - j, W);
      Vec x = load_some(s.sum + offset + j, n);
      if (form != Gelu::none) {
        x = s.slope ? x * gelu_slope<form>(load_some(s.slope + offset + j, n)) : gelu<form>(x);
      }
      if (s.residual) x = x + load_some(s.residual + offset + j, n);
      store_some(x, s.out + offset + j, n);
    }
  }
}
void finish(const MatmulBlock& s, int64_t offset, int rows, int columns) {
  switch (s.gelu) {
    case Gelu::none:
      return finish_as<Gelu::none>(s, offset, rows, columns);
    case Gelu::tanh:
      return finish_as<Gelu::tanh>(s, offset, rows, columns);
    case Gelu::exact:
      return finish_as<Gelu::exact>(s, offset, rows, columns);
  }
}

// Packs b a little at a time while tiles run, by loads and stores that arithmetic leaves room for.
// A step packs what a panel has of a row of b, or of a column as many k as are in a line. Few
// instructions count: those that are neither load nor store take the multiply-adds' ports.
class Packer {
 public:
  // The steps, of which there are at most as many as slots, are spread over the calls of tick().
  Packer(const MatmulPack& s, int64_t slots) : s_(s) {
    begin(now_);
    begin(soon_);
    if (now_.left == 0) return;
    period_ = slots / steps(s);
    wait_ = period_;
    for (int i = 0; i < distance; i++) ask();
  }

  GPTLOOM_INLINE void tick() {
    if (--wait_ > 0) return;
    wait_ = period_;
    step();
  }

  GPTLOOM_INLINE void step() {
    if (now_.left == 0) return;
    ask();
    const float* const p = now_.from;
    if (!s_.transpose) {
      if (now_.panel + NR <= s_.columns) {
        GPTLOOM_UNROLL
        for (int v = 0; v < NV; v++) Vec::load(p + v * W).store(to_ + v * W);
      } else {
        for (int64_t j = 0; j < width_; j += W) {
          const int64_t n = std::min<int64_t>(s_.columns - now_.panel - j, W);
          load_some(p + j, static_cast<int>(n)).store(to_ + j);
        }
      }
      to_ += width_;
    } else {
      if (width_ == NR && now_.k + line <= s_.depth) {
        GPTLOOM_UNROLL
        for (int i = 0; i < line; i++) to_[i * NR] = p[i];
      } else {
        for (int64_t i = 0; i < depth_of(now_); i++) to_[i * width_] = p[i];
      }
      to_++;
    }
    advance(now_);
  }

  // How many steps all of it takes.
  static int64_t steps(const MatmulPack& s) {
    return s.transpose ? s.columns * ((s.depth + line - 1) / line)
                       : s.depth * ((s.columns + NR - 1) / NR);
  }

  // What is left.
  void finish() {
    while (now_.left > 0) step();
  }

 private:
  static constexpr int distance = 8;  // steps from asking for memory to its use
  // Rows of a panel from k on, or a panel's columns for a line of k.
  struct Run {
    const float* from = nullptr;
    int64_t left = 0;  // steps
    int64_t panel = 0, k = 0;
  };

  int64_t depth_of(const Run& run) const { return std::min<int64_t>(s_.depth - run.k, line); }
  GPTLOOM_INLINE void ask() {
    if (soon_.left == 0) return;
    GPTLOOM_PREFETCH(soon_.from);
    if (!s_.transpose) {
      GPTLOOM_UNROLL
      for (int j = line; j < NR; j += line) GPTLOOM_PREFETCH(soon_.from + j);
      GPTLOOM_PREFETCH(soon_.from + NR - 1);
    } else {
      GPTLOOM_PREFETCH(soon_.from + line - 1);
    }
    advance(soon_);
  }
  GPTLOOM_INLINE void advance(Run& run) {
    run.from += s_.stride;
    if (--run.left > 0) return;
    run.k += s_.transpose ? line : s_.depth;
    if (run.k >= s_.depth) {
      run.k = 0;
      run.panel += NR;
    }
    begin(run);
  }
  GPTLOOM_INLINE void begin(Run& run) {
    const int64_t columns = std::min<int64_t>(s_.columns - run.panel, NR);
    run.left = columns <= 0 ? 0 : s_.transpose ? columns : s_.depth;
    if (run.left == 0) return;
    run.from = s_.from + (s_.transpose ? run.panel * s_.stride + run.k : run.panel);
    if (&run != &now_) return;
    width_ = (columns + W - 1) / W * W;
    to_ = s_.to + run.panel * s_.depth + run.k * width_;
    for (int64_t j = columns; s_.transpose && j < width_; j++) {
      for (int64_t i = 0; i < depth_of(run); i++) to_[i * width_ + j] = 0;
    }
  }

  const MatmulPack s_;
  Run now_, soon_;  // what is packed, and what is asked for
  float* to_ = nullptr;
  int64_t width_ = 0;  // of now_'s panel
  int64_t period_ = 0, wait_ = INT64_MAX;
};

// Lines of cache that will be written, asked for one at a time.
struct Lines {
  float* at;
  int64_t stride, rows;
  int columns;  // floats of a row
  int column = 0;

  GPTLOOM_INLINE void ask() {
    if (rows == 0) return;
    GPTLOOM_PREFETCH_WRITE(at + column);
    column += line;
    if (column >= columns) {
      column = 0;
      at += stride;
      rows--;
    }
  }
};

// One k of a tile.
template <int R, int V>
GPTLOOM_INLINE void tile_step(Vec (&acc)[R][V], const float*& a, const float*& b) {
  Vec x[V];
  GPTLOOM_UNROLL
  for (int j = 0; j < V; j++) x[j] = Vec::load(b + j * W);
  GPTLOOM_UNROLL
  for (int i = 0; i < R; i++) {
    const Vec y = Vec::set(a[i]);
    GPTLOOM_UNROLL
    for (int j = 0; j < V; j++) acc[i][j] = fma(y, x[j], acc[i][j]);
  }
  a += R;
  b += V * W;
}

// As many k are one turn of the loop, between which memory is asked for.
constexpr int turn = 8;
constexpr int lines_a_turn = 4;  // of a: enough for a whole panel while one tile runs

// sum[R, V vectors] (+)= a b; `tail` of the last vector's lanes exist. `after`: a's panels that will
// be wanted next, which another thread may have packed.
template <int R, int V>
void tile(float* sum, int64_t stride, const float* a, const float* b, int64_t depth, int tail,
          bool add, const float* bias, const float* after, Packer& packer) {
  Vec acc[R][V];
  GPTLOOM_UNROLL
  for (int i = 0; i < R; i++) {
    GPTLOOM_UNROLL
    for (int j = 0; j < V; j++) acc[i][j] = Vec::zero();
  }
  // The rows of sum lie far apart: their lines come while the last k run.
  constexpr int lines = R * (V * W / line + 1);
  Lines own{sum, stride, R, (V - 1) * W + tail + line - 1};
  int64_t k = 0;
  for (; k + turn <= depth; k += turn) {
    packer.tick();
    if (k >= depth - turn / 2 * lines - turn) own.ask(), own.ask();
    GPTLOOM_UNROLL
    for (int i = 0; i < lines_a_turn; i++) GPTLOOM_PREFETCH_FAR(after + i * line);
    after += lines_a_turn * line;
    GPTLOOM_UNROLL
    for (int d = 0; d < turn; d++) {
      tile_step<R, V>(acc, a, b);
      GPTLOOM_IN_ORDER;
    }
  }
  for (; k < depth; k++) tile_step<R, V>(acc, a, b);
  if (add) {
    GPTLOOM_UNROLL
    for (int i = 0; i < R; i++) {
      GPTLOOM_UNROLL
      for (int j = 0; j < V; j++) {
        acc[i][j] = acc[i][j] + load_some(sum + i * stride + j * W, j == V - 1 ? tail : W);
      }
    }
  }
  if (bias) {
    GPTLOOM_UNROLL
    for (int j = 0; j < V; j++) {
      const Vec x = load_some(bias + j * W, j == V - 1 ? tail : W);
      GPTLOOM_UNROLL
      for (int i = 0; i < R; i++) acc[i][j] = acc[i][j] + x;
    }
  }
  GPTLOOM_UNROLL
  for (int i = 0; i < R; i++) {
    GPTLOOM_UNROLL
    for (int j = 0; j < V; j++) {
      store_some(acc[i][j], sum + i * stride + j * W, j == V - 1 ? tail : W);
    }
  }
}

using Tile = void (*)(float*, int64_t, const float*, const float*, int64_t, int, bool,
                      const float*, const float*, Packer&);
template <int... I>
constexpr Tile choose_tile(int rows, int vectors, std::integer_sequence<int, I...>) {
  constexpr Tile tiles[] = {tile<I / NV + 1, I % NV + 1>...};
  return tiles[(rows - 1) * NV + vectors - 1];
}

void block(const MatmulBlock& s) {
  const float* a = s.a;
  const bool finishes = s.gelu != Gelu::none || s.residual;
  const int64_t tiles = (s.rows + MR - 1) / MR * ((s.columns + NR - 1) / NR);
  const int64_t slots = tiles * (s.depth / turn), steps = Packer::steps(s.next);
  const bool under = steps > 0 && steps <= slots;  // else there are too few rows
  Packer packer(under ? s.next : MatmulPack{}, slots);
  const int64_t after = s.depth / turn * lines_a_turn * line;  // what a tile asks for
  for (int64_t i = 0; i < s.rows; i += MR) {
    const int rows = static_cast<int>(std::min<int64_t>(s.rows - i, MR));
    const float* b = s.b;
    for (int64_t j = 0; j < s.columns; j += NR) {
      const int columns = static_cast<int>(std::min<int64_t>(s.columns - j, NR));
      const int vectors = (columns + W - 1) / W, tail = columns - (vectors - 1) * W;
      const int64_t offset = i * s.stride + j;
      const Tile f = choose_tile(rows, vectors, std::make_integer_sequence<int, MR * NV>());
      f(s.sum + offset, s.stride, a, b, s.depth, tail, s.add, s.bias ? s.bias + j : nullptr,
        a + rows * s.depth + j / NR * after, packer);
      if (finishes) finish(s, offset, rows, columns);
      b += s.depth * vectors * W;
    }
    a += rows * s.depth;
  }
  if (under) {
    packer.finish();
  } else if (s.next.columns > 0) {
    pack_b(s.next.to, s.next.from, s.next.stride, s.next.columns, s.next.depth, s.next.transpose);
  }
}

}  // namespace matmul_detail
}  // namespace
}  // namespace gptloom::cpu

#include "cpu/simd/matmul_narrow.h"

namespace gptloom::cpu {
namespace {

constexpr MatmulKernels matmul_kernels{
    matmul_detail::MR,          matmul_detail::NR,
    matmul_detail::narrow_rows, matmul_detail::pack_a,
    matmul_detail::pack_b,      matmul_detail::sum_b,
    matmul_detail::block,       matmul_detail::narrow,
    matmul_detail::narrow_transposed};

}  // namespace
}  // namespace gptloom::cpu
