// The small matrix products that attention is made of, on blocks of at most 48 queries by 96 keys.
//
// Maths: three products:
//   scores          s[rows, keys] = a[rows, D] b[keys, D]^T                (q k^T and dout v^T)
//   product         out[rows, D] = factor[rows] out + p[rows, keys] b[keys, D]  (p v and ds k)
//   product_by_key  out[keys, D] += p[rows, keys]^T b[rows, D]        (p^T dout and ds^T q)
// Plan: one register tile serves all three: tile_rows x 2 vectors of accumulators, the a element
//   broadcast, the b vectors loaded. Scratch operands are padded with zeros to whole vectors
//   (columns of D) and whole tiles (rows), so that there are no edge cases; only depth (D, keys or
//   rows) is exact. For scores b is packed as panels [block / tile_columns][D][tile_columns], the
//   keys running along the vectors. A Span for each tile of rows says which keys its rows see: what
//   lies above the diagonal or in another document is left out vector by vector. Rows are as few as
//   multiply-adds allow: of 64 positions, whose diagonal is much of the square, 12 computed 1.57
//   times what is seen, 8 compute 1.23 times.
// Numbers: float accumulators; a tile's depth is at most max(D, 96). Bound by flops: 16 FMAs for 10
//   loads (AVX-512), 12 for 8 (AVX2).
#pragma once

namespace gptloom::cpu {
namespace {
namespace attention {

constexpr int block = attention_block;
#if defined(GPTLOOM_ARM)
constexpr int tile_rows = 12;  // of narrow vectors
#else
constexpr int tile_rows = Vec::width == 16 ? 8 : 6;
#endif
constexpr int tile_columns = 2 * Vec::width;
constexpr int queries = attention_queries;
constexpr int tiles = queries / tile_rows;
static_assert(queries % tile_rows == 0 && block % tile_columns == 0);
// Floats between rows of scores: a whole vector may be stored past a row's end.
constexpr int pitch = attention_pitch;
static_assert(pitch >= block + Vec::width);

// The keys [begin, end) of a block that some row of a tile sees; begin >= end where none does.
struct Span {
  int begin, end;
};

enum class Into { zero, sum, rescaled };

// out[tile_rows, N * width] (+)= a[tile_rows, depth] b[depth, N * width]; a is stored [depth,
// tile_rows] when transposed. Rescaled: row r of out is first multiplied by factor[r].
template <int N, bool transposed, Into into>
void tile(float* out, int64_t ldo, const float* a, int64_t lda, const float* b, int64_t ldb,
          int64_t depth, const float* factor) {
  Vec sum[tile_rows][N];
  GPTLOOM_UNROLL
  for (int r = 0; r < tile_rows; r++) {
    GPTLOOM_UNROLL
    for (int n = 0; n < N; n++) {
      sum[r][n] = into == Into::zero ? Vec::zero() : Vec::load(out + r * ldo + n * Vec::width);
      if (into == Into::rescaled) sum[r][n] = sum[r][n] * Vec::set(factor[r]);
    }
  }
  GPTLOOM_UNROLL_TWICE
  for (int64_t k = 0; k < depth; k++) {
    Vec row[N];
    GPTLOOM_UNROLL
    for (int n = 0; n < N; n++) row[n] = Vec::load(b + n * Vec::width);
    GPTLOOM_UNROLL
    for (int r = 0; r < tile_rows; r++) {
      const Vec x = Vec::set(transposed ? a[r] : a[r * lda]);
      GPTLOOM_UNROLL
      for (int n = 0; n < N; n++) sum[r][n] = fma(x, row[n], sum[r][n]);
    }
    a += transposed ? lda : 1;
    b += ldb;
  }
  GPTLOOM_UNROLL
  for (int r = 0; r < tile_rows; r++) {
    GPTLOOM_UNROLL
    for (int n = 0; n < N; n++) sum[r][n].store(out + r * ldo + n * Vec::width);
  }
}

// s[queries, pitch] from a[rows, lda] and the panels of one block of keys, where the spans ask for
// it.
inline void scores(float* s, const float* a, int64_t lda, const float* panels, int64_t D,
                   const Span* spans, Ahead& ahead) {
  for (int c = 0; c < block; c += tile_columns, panels += D * tile_columns) {
    for (int i = 0; i < tiles; i++) {
      ahead.ask();
      const int begin = spans[i].begin - c, end = spans[i].end - c;
      const bool left = begin < Vec::width && end > 0 && begin < end;
      const bool right = begin < tile_columns && end > Vec::width && begin < end;
      float* out = s + i * tile_rows * pitch + c;
      const float* rows = a + i * tile_rows * lda;
      if (left && right) {
        tile<2, false, Into::zero>(out, pitch, rows, lda, panels, tile_columns, D, nullptr);
      } else if (left || right) {
        const int shift = left ? 0 : Vec::width;
        tile<1, false, Into::zero>(out + shift, pitch, rows, lda, panels + shift, tile_columns, D,
                                   nullptr);
      }
    }
  }
}

// out[queries, width] += p[queries, pitch] b[block, width], with out rescaled first by
// factor[queries] if Into says so.
template <Into into>
inline void product(float* out, const float* p, const float* b, int64_t width, const Span* spans,
                    const float* factor, Ahead& ahead) {
  for (int64_t d = 0; d < width; d += tile_columns) {
    for (int i = 0; i < tiles; i++) {
      ahead.ask();
      const int begin = spans[i].begin, depth = spans[i].end - begin;
      if (depth <= 0) continue;
      const int row = i * tile_rows;
      const bool two = width - d >= tile_columns;
      (two ? tile<2, false, into>
           : tile<1, false, into>)(out + row * width + d, width, p + row * pitch + begin, pitch,
                                   b + begin * width + d, width, depth,
                                   into == Into::rescaled ? factor + row : nullptr);
    }
  }
}

// out[block, width] += p[queries, pitch]^T b[queries, width]. p must be whole: 0 where a row does
// not see a key.
inline void product_by_key(float* out, const float* p, const float* b, int64_t width,
                           const Span* spans) {
  for (int64_t d = 0; d < width; d += tile_columns) {
    for (int key = 0; key < block; key += tile_rows) {
      int begin = queries, end = 0;
      for (int i = 0; i < tiles; i++) {
        const int last = std::min(spans[i].end, key + tile_rows);
        if (spans[i].begin >= last || spans[i].end <= key) continue;
        begin = std::min(begin, i * tile_rows);
        end = (i + 1) * tile_rows;
      }
      if (begin >= end) continue;
      const bool two = width - d >= tile_columns;
      (two ? tile<2, true, Into::sum>
           : tile<1, true, Into::sum>)(out + key * width + d, width, p + begin * pitch + key, pitch,
                                       b + begin * width + d, width, end - begin, nullptr);
    }
  }
}

// Rows rounded up to whole tiles.
inline int tiled(int64_t rows) { return static_cast<int>(round_up(rows, tile_rows)); }

// out[tiled(count), width] = factor * rows[count, D], zero elsewhere.
inline void pack_rows(float* out, int64_t width, const float* rows, int64_t stride, int64_t count,
                      int64_t D, float factor) {
  const Vec by = Vec::set(factor);
  for (int64_t r = 0; r < count; r++, rows += stride, out += width) {
    int64_t d = 0;
    for (; d + Vec::width <= D; d += Vec::width) (Vec::load(rows + d) * by).store(out + d);
    if (d < D) (Vec::load_part(rows + d, static_cast<int>(D - d)) * by).store(out + d);
  }
  std::fill(out, out + (tiled(count) - count) * width, 0.0f);
}

// The panels of rows[count, D] (see scores): whole vectors of keys, zero past the last key. The
// vectors after that are left alone, since no span asks for them.
inline void pack_panels(float* out, const float* rows, int64_t stride, int64_t count, int64_t D) {
  constexpr int W = Vec::width;
  for (int64_t key = 0; key < count; key += W) {
    float* panel = out + key / tile_columns * tile_columns * D + key % tile_columns;
    for (int64_t d = 0; d < D; d += W) {
      const int part = static_cast<int>(std::min<int64_t>(W, D - d));
      Vec x[W];
      GPTLOOM_UNROLL
      for (int i = 0; i < W; i++) {
        x[i] = key + i >= count ? Vec::zero()
               : part == W      ? Vec::load(rows + (key + i) * stride + d)
                                : Vec::load_part(rows + (key + i) * stride + d, part);
      }
      transpose(x);
      // Constant indices keep x in registers.
      GPTLOOM_UNROLL
      for (int i = 0; i < W; i++) {
        if (i < part) x[i].store(panel + (d + i) * tile_columns);
      }
    }
  }
}

}  // namespace attention
}  // namespace
}  // namespace gptloom::cpu
