// Products with compact weights. Where they lie stands in cpu/compact.h, the plan in cpu/matmul.cc
// and cpu/compact.cc.
//
// Maths: a weight is widened and, as int8, multiplied by its scale: the float that it stands for.
//   The rest is matmul.h's: one chain of multiply-adds in order of k within a block of K.
// Plan: R rows x V vectors of a panel are summed in registers while k runs, so that every k takes V
//   loads; where R leaves no registers for the whole panel, it is swept again from cache.
// Numbers: those of the product with the same weights as floats, to the bit. Bound by the bytes of
//   the weights for one row, by arithmetic from some rows on.
#pragma once

namespace gptloom::cpu {
namespace {
namespace compact_detail {

using matmul_detail::NR;
using matmul_detail::NV;
using matmul_detail::W;
constexpr int lanes = static_cast<int>(CompactWeight::lanes);

// The processor's own prefetching stops at the end of a page, and a loop of some arithmetic is late in
// asking for the next one: lines come into L2 long before their use, and from there into L1.
constexpr int64_t into_l2 = 16384, into_l1 = 4096;
GPTLOOM_INLINE void ask_ahead(const void* row) {
  GPTLOOM_PREFETCH_FAR(static_cast<const char*>(row) + into_l2);
  GPTLOOM_PREFETCH(static_cast<const char*>(row) + into_l1);
}

// What stands for V vectors of columns over a run of k.
template <int V>
struct Bfloat16Rows {
  const uint16_t* at;

  Bfloat16Rows(const unsigned char* panel, int64_t k)
      : at(reinterpret_cast<const uint16_t*>(panel) + k * lanes) {}
  // How far from k on no scale changes.
  static int64_t run(int64_t k, int64_t end) { return end - k; }
  GPTLOOM_INLINE void load(Vec (&x)[V], int64_t k, int first) const {
    const uint16_t* row = at + k * lanes + first;
    ask_ahead(row);
    GPTLOOM_UNROLL
    for (int v = 0; v < V; v++) x[v] = Vec::load_bfloat16(row + v * W);
  }
  GPTLOOM_INLINE void begin(int) {}
};

template <int V>
struct Int8Rows {
  const float* scales;
  const int8_t* at;
  Vec scale[V];

  Int8Rows(const unsigned char* panel, int64_t k) {
    const unsigned char* block = panel + CompactWeight::block_at(k);
    scales = reinterpret_cast<const float*>(block);
    at = reinterpret_cast<const int8_t*>(block + CompactWeight::scales_bytes) +
         k % CompactWeight::block * lanes;
  }
  static int64_t run(int64_t k, int64_t end) {
    return std::min(end - k, CompactWeight::block - k % CompactWeight::block);
  }
  GPTLOOM_INLINE void load(Vec (&x)[V], int64_t k, int first) const {
    const int8_t* row = at + k * lanes + first;
    if (k % 2 == 0) ask_ahead(row);  // a line holds two rows
    GPTLOOM_UNROLL
    for (int v = 0; v < V; v++) x[v] = Vec::load_int8(row + v * W) * scale[v];
  }
  GPTLOOM_INLINE void begin(int first) {
    GPTLOOM_UNROLL
    for (int v = 0; v < V; v++) scale[v] = Vec::load(scales + first + v * W);
  }
};

// sums[R, V vectors] = a[R, k to end] times the panel's columns from `first` on.
template <int R, int V, template <int> class Rows>
void panel_step(float* sums, const float* a, int64_t a_stride, const unsigned char* panel,
                int first, int64_t k, int64_t end) {
  Vec acc[R][V];
  GPTLOOM_UNROLL
  for (int i = 0; i < R; i++) {
    GPTLOOM_UNROLL
    for (int v = 0; v < V; v++) acc[i][v] = Vec::zero();
  }
  while (k < end) {
    Rows<V> rows(panel, k);
    rows.begin(first);
    const int64_t run = Rows<V>::run(k, end);
    for (int64_t d = 0; d < run; d++) {
      Vec x[V];
      rows.load(x, d, first);
      GPTLOOM_UNROLL
      for (int i = 0; i < R; i++) {
        const Vec y = Vec::set(a[i * a_stride + k + d]);
        GPTLOOM_UNROLL
        for (int v = 0; v < V; v++) acc[i][v] = fma(y, x[v], acc[i][v]);
      }
    }
    k += run;
  }
  GPTLOOM_UNROLL
  for (int i = 0; i < R; i++) {
    GPTLOOM_UNROLL
    for (int v = 0; v < V; v++) acc[i][v].store(sums + i * lanes + first + v * W);
  }
}

// As many vectors as the registers hold beside the scales and what was loaded.
constexpr int vectors_for(int rows) {
  int v = lanes / W;
  while (v > 1 && rows * v + 2 * v + 1 > Vec::registers) v /= 2;
  return v;
}

template <int R, template <int> class Rows>
void narrow_rows_of(const MatmulNarrow& s, const CompactWeight& weight, int64_t column) {
  constexpr int V = vectors_for(R);
  float total[R * lanes], sums[R * lanes];
  for (int64_t j = 0; j < s.columns; j += lanes) {
    const unsigned char* panel = weight.panel(column + j);
    std::fill_n(total, R * lanes, 0.0f);
    for (int64_t k = 0; k < s.depth; k += s.block) {
      float* const into = k == 0 ? total : sums;
      const int64_t end = std::min(k + s.block, s.depth);
      for (int first = 0; first < lanes; first += V * W)
        panel_step<R, V, Rows>(into, s.a, s.a_stride, panel, first, k, end);
      if (into == sums) matmul_detail::narrow_add(total, sums, lanes, R, lanes);
    }
    matmul_detail::narrow_finish(s, j, total, lanes, std::min<int64_t>(s.columns - j, lanes));
  }
}

using Narrow = void (*)(const MatmulNarrow&, const CompactWeight&, int64_t);
template <int... I>
void narrow_any(const MatmulNarrow& s, const CompactWeight& weight, int64_t column,
                std::integer_sequence<int, I...>) {
  constexpr Narrow halves[] = {narrow_rows_of<I + 1, Bfloat16Rows>...};
  constexpr Narrow bytes[] = {narrow_rows_of<I + 1, Int8Rows>...};
  (weight.int8 ? bytes : halves)[s.rows - 1](s, weight, column);
}
void narrow(const MatmulNarrow& s, const CompactWeight& weight, int64_t column) {
  narrow_any(s, weight, column, std::make_integer_sequence<int, matmul_detail::narrow_rows>());
}

// out's rows, `width` apart, take V vectors of columns each.
template <int V, template <int> class Rows>
void unpack_columns(float* out, int64_t width, const unsigned char* panel, int first, int64_t k,
                    int64_t end) {
  while (k < end) {
    Rows<V> rows(panel, k);
    rows.begin(first);
    const int64_t run = Rows<V>::run(k, end);
    for (int64_t d = 0; d < run; d++, out += width) {
      Vec x[V];
      rows.load(x, d, first);
      GPTLOOM_UNROLL
      for (int v = 0; v < V; v++) x[v].store(out + v * W);
    }
    k += run;
  }
}

void unpack(float* out, const CompactWeight& weight, int64_t column, int64_t columns, int64_t k,
            int64_t depth) {
  const int64_t whole = columns / NR * NR, last_width = (columns - whole + W - 1) / W * W;
  for (int64_t j = 0; j < columns; j += W) {
    const int64_t tile = j / NR * NR, width = tile < whole ? NR : last_width;
    const int first = static_cast<int>((column + j) % lanes);
    (weight.int8 ? unpack_columns<1, Int8Rows> : unpack_columns<1, Bfloat16Rows>)(
        out + tile * depth + (j - tile), width, weight.panel(column + j), first, k, k + depth);
  }
}

}  // namespace compact_detail

constexpr CompactKernels compact_kernels{compact_detail::narrow, compact_detail::unpack};

}  // namespace
}  // namespace gptloom::cpu
