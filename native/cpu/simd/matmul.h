// Matrix product kernels: the register tile. Packing is matmul_pack.h's, products of few rows
// matmul_narrow.h's; the plan above them is cpu/matmul.cc.
//
// Maths: a tile of R rows x V vectors of the output is kept in registers while k runs over one
//   block of K: V loads of b and R broadcasts of a feed R V multiply-adds. 8 x 3 vectors on 32
//   registers and 6 x 2 on 16 leave just room for the operands, at less than one load each.
// Plan: a panel of a is swept over the panels of b, which stream from L2. Every few k the tile packs a
//   little of what is multiplied next, and towards the end it asks for the lines that it will write.
//   Edges run the same loop: rows that are not there are others once more, of vectors there may be
//   fewer, the last one loaded and stored in part.
// Numbers: every element is one chain of multiply-adds in order of k within a block of K, whatever
//   the tile; blocks are added in order. So are those of few rows.
#pragma once
#include "cpu/simd/matmul_pack.h"

namespace gptloom::cpu {
namespace {
namespace matmul_detail {

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

// One k of a tile, a's being the d-th of its block.
template <int V, bool transpose>
GPTLOOM_INLINE void tile_step(Vec (&acc)[MR][V], const float* a, int d, const float*& b) {
  Vec x[V];
  GPTLOOM_UNROLL
  for (int j = 0; j < V; j++) x[j] = Vec::load(b + j * W);
  GPTLOOM_UNROLL
  for (int i = 0; i < MR; i++) {
    const Vec y = Vec::set(a[i * PanelOrder<transpose>::row + d * PanelOrder<transpose>::k]);
    GPTLOOM_UNROLL
    for (int j = 0; j < V; j++) acc[i][j] = fma(y, x[j], acc[i][j]);
  }
  b += V * W;
}

// As many k as lie between two turns of packing. `first` is no argument: where the compiler comes to
// know it late, it keeps some of the sums in memory.
template <int first, int V, bool transpose>
GPTLOOM_INLINE void tile_steps(Vec (&acc)[MR][V], const float* a, const float*& b) {
  GPTLOOM_UNROLL
  for (int d = first; d < first + line / 4; d++) {
    tile_step<V, transpose>(acc, a, d, b);
    GPTLOOM_IN_ORDER;
  }
}

// Where a tile's sums go. `tail` of the last vector's lanes exist.
struct TileOutput {
  float* sum;
  int64_t stride;
  int rows, tail;
  bool add;           // to what sum holds
  const float* bias;  // or null
};

template <int V>
GPTLOOM_INLINE void write_tile(Vec (&acc)[MR][V], const TileOutput& o) {
  float* row = o.sum;
  GPTLOOM_UNROLL
  for (int i = 0; i < MR; i++, row += o.stride) {
    if (i == o.rows) return;
    GPTLOOM_UNROLL
    for (int j = 0; j < V; j++) {
      const int n = j == V - 1 ? o.tail : W;
      Vec x = acc[i][j];
      if (o.add) x = x + load_some(row + j * W, n);
      if (o.bias) x = x + load_some(o.bias + j * W, n);
      store_some(x, row + j * W, n);
    }
  }
}

// sum[rows, V vectors] (+)= a b.
template <int V, bool transpose>
void tile(const TileOutput& o, const float* a, const float* b, int64_t depth, PanelPacker& soon,
          Packer& packer) {
  Vec acc[MR][V];
  GPTLOOM_UNROLL
  for (int i = 0; i < MR; i++) {
    GPTLOOM_UNROLL
    for (int j = 0; j < V; j++) acc[i][j] = Vec::zero();
  }
  // The rows of sum lie far apart: their lines come while the last k run.
  constexpr int lines = MR * (V * W / line + 1);
  Lines own{o.sum, o.stride, o.rows, (V - 1) * W + o.tail + line - 1};
  int64_t k = 0;
  for (; k + line <= depth; k += line, a += panel_block) {
    soon.turn();
    packer.turn();
    if (k >= depth - line / 4 * lines - line) own.ask(), own.ask(), own.ask(), own.ask();
    tile_steps<0, V, transpose>(acc, a, b);
    packer.turn();
    tile_steps<line / 4, V, transpose>(acc, a, b);
    soon.turn();
    packer.turn();
    tile_steps<line / 2, V, transpose>(acc, a, b);
    packer.turn();
    tile_steps<line / 4 * 3, V, transpose>(acc, a, b);
  }
  for (int d = 0; k + d < depth; d++) tile_step<V, transpose>(acc, a, d, b);
  write_tile<V>(acc, o);
}

using Tile = void (*)(const TileOutput&, const float*, const float*, int64_t, PanelPacker&,
                      Packer&);
template <int... V>
constexpr Tile choose_tile(int vectors, bool transpose, std::integer_sequence<int, V...>) {
  constexpr Tile rows[] = {tile<V + 1, false>...}, columns[] = {tile<V + 1, true>...};
  return (transpose ? columns : rows)[vectors - 1];
}

// The panel that is packed while that from row i on is multiplied.
MatmulPack panel_after(const MatmulBlock& s, int64_t i) {
  const int64_t row = i + panel_rows;
  if (row >= s.rows) return i > 0 ? s.next_a : MatmulPack{};  // where the first panel was
  MatmulPack panel = s.rest_a;
  if (panel.count == 0) return panel;
  panel.to += row / panel_rows * s.panel;
  panel.from += panel.transpose ? row : row * panel.stride;
  panel.count = std::min<int64_t>(s.rows - row, panel_rows);
  return panel;
}

// A tile's rows of a, swept over the columns of b.
void sweep(const MatmulBlock& s, const float* a, int64_t row, PanelPacker& soon, Packer& packer) {
  const int rows = static_cast<int>(std::min<int64_t>(s.rows - row, MR));
  const float* b = s.b;
  for (int64_t j = 0; j < s.columns; j += NR) {
    const int columns = static_cast<int>(std::min<int64_t>(s.columns - j, NR));
    const int vectors = (columns + W - 1) / W, tail = columns - (vectors - 1) * W;
    const int64_t offset = row * s.stride + j;
    const Tile f = choose_tile(vectors, s.transpose_a, std::make_integer_sequence<int, NV>());
    f({s.sum + offset, s.stride, rows, tail, s.add, s.bias ? s.bias + j : nullptr}, a, b, s.depth,
      soon, packer);
    if (s.gelu != Gelu::none || s.residual) finish(s, offset, rows, columns);
    b += s.depth * vectors * W;
  }
}

void block(const MatmulBlock& s) {
  const int64_t turns = (s.columns + NR - 1) / NR * (s.depth / line) * 2;  // a tile's rows, for a
  Packer packer(s.next_b, 2 * ((s.rows + MR - 1) / MR) * turns);
  const float* a = s.a;
  for (int64_t i = 0; i < s.rows; i += panel_rows, a += s.panel) {
    PanelPacker soon(panel_after(s, i), 2 * turns);
    sweep(s, a, i, soon, packer);
    const int second = MR * (s.transpose_a ? PanelOrder<true>::row : PanelOrder<false>::row);
    if (i + MR < s.rows) sweep(s, a + second, i + MR, soon, packer);
    soon.finish();
  }
  if (s.rows <= panel_rows) pack_a(s.next_a);  // only now is its place free
  packer.finish();
}

}  // namespace matmul_detail
}  // namespace
}  // namespace gptloom::cpu

#include "cpu/simd/matmul_narrow.h"

namespace gptloom::cpu {
namespace {

constexpr MatmulKernels matmul_kernels{
    matmul_detail::MR,          matmul_detail::NR,     matmul_detail::panel_rows,
    matmul_detail::narrow_rows, matmul_detail::pack_a, matmul_detail::pack_b,
    matmul_detail::sum_b,       matmul_detail::block,  matmul_detail::narrow,
    matmul_detail::narrow_transposed};

}  // namespace
}  // namespace gptloom::cpu
