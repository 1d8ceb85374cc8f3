// The two ways to multiply: bfloat16 on tensor cores, and exact float32 with fused multiply-adds.
// Forward and backward are written once, over an engine.
//
// Layout: a block is 4 warps; a warp owns `warp_rows` rows of the block's own tiles. Of a product
//   with these rows, a thread holds a grid of R rows by C columns of the others (scores), or by N
//   columns of D (sums): element (i, j) is row(i), counted within the warp, and column(j).
//   `row_lanes` neighbouring lanes share a row. An engine has
//     multiply(c, left, right)     c = left right^T; left: the warp's rows, right: a tile
//     multiply_from(c, start, ...) c = start(i) + left right^T, which costs tensor cores nothing
//     accumulate(c, weights, ...)  c += weights right; the weights go from registers to the
//                                  multiplier's left side without the block's knowing
//     dots(sums, a, b)             a row of a times a row of b, for each row; all lanes get it
//     put(rows, c, factor)         factor c, to the warp's rows of a tile
//     element(i, j)                the bit that stands for it in a mask of `words` words, each of
//                                  which has word_bits; at(word, bit) is the way back
// Numbers: both sum in float32. Tensor cores take weights rounded to bfloat16: a relative error of
//   2^-9 of each, 2^-9 |p| |v| of a sum at most.
#pragma once
#include "attention_tile.cuh"

struct GridIndex {
  int i, j;
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

template <AttentionPass pass, int width_>
struct TensorCores {
  using T = bf16;
  static constexpr AttentionTile tile = attention_tile(pass, width_, true);
  static constexpr int width = width_, rows = tile.rows, columns = tile.columns;
  static constexpr int stages = tile.stages, weights = 0;
  static constexpr int warp_rows = rows / 4, tiles = warp_rows / 16;
  static constexpr int R = 2 * tiles, C = columns / 4, N = width / 4, row_lanes = 4;
  static constexpr int words = tiles, word_bits = columns / 2;

  template <int n>
  struct Grid {
    float tile[tiles][n / 2][4];
    __device__ float& operator()(int i, int j) { return tile[i / 2][j / 2][i % 2 * 2 + j % 2]; }
  };

  static __device__ int row(int i) { return i / 2 * 16 + i % 2 * 8 + lane_index() / 4; }
  static __device__ int column(int j) { return j / 2 * 8 + lane_index() % 4 * 2 + j % 2; }
  static __device__ int element(int i, int j) { return i / 2 * 32 + j / 2 * 4 + i % 2 * 2 + j % 2; }
  static __device__ GridIndex at(int word, int bit) {
    return {word * 2 + bit / 2 % 2, bit / 4 * 2 + bit % 2};
  }

  static __device__ void multiply(Grid<C>& c, const bf16* left, const bf16* right) {
    multiply_from(c, [](int) { return 0.0f; }, left, right);
  }

  template <class Start>
  static __device__ void multiply_from(Grid<C>& c, Start start, const bf16* left,
                                       const bf16* right) {
    const int lane = lane_index();
    const uint32_t from_a = address(left, lane % 16, lane / 16 * 8);
    const uint32_t from_b = address(right, lane % 8 + lane / 16 * 8, lane / 8 % 2 * 8);
#pragma unroll
    for (int k = 0; k < width; k += 16) {
      uint32_t a[tiles][4];
#pragma unroll
      for (int t = 0; t < tiles; t++) load_matrices(a[t], moved(from_a, t * 16, k));
#pragma unroll
      for (int n = 0; n < columns / 8; n += 2) {
        uint32_t b[4];
        load_matrices(b, moved(from_b, n * 8, k));
#pragma unroll
        for (int t = 0; t < tiles; t++) {
          const float upper = start(2 * t), lower = start(2 * t + 1);
          float from[4] = {upper, upper, lower, lower};
          mma(c.tile[t][n], a[t], b[0], b[1], k == 0 ? from : c.tile[t][n]);
          mma(c.tile[t][n + 1], a[t], b[2], b[3], k == 0 ? from : c.tile[t][n + 1]);
        }
      }
    }
  }

  static __device__ void accumulate(Grid<N>& c, const Grid<C>& weights, bf16*, const bf16* right) {
    const int lane = lane_index();
    const uint32_t from = address(right, lane % 16, lane / 16 * 8);
#pragma unroll
    for (int k = 0; k < columns / 8; k += 2) {
      uint32_t a[tiles][4];
#pragma unroll
      for (int t = 0; t < tiles; t++) {
        const auto& low = weights.tile[t][k];
        const auto& high = weights.tile[t][k + 1];
        a[t][0] = pack(low[0], low[1]), a[t][1] = pack(low[2], low[3]);
        a[t][2] = pack(high[0], high[1]), a[t][3] = pack(high[2], high[3]);
      }
#pragma unroll
      for (int n = 0; n < width / 8; n += 2) {
        uint32_t b[4];
        load_matrices_transposed(b, moved(from, k * 8, n * 8));
#pragma unroll
        for (int t = 0; t < tiles; t++) {
          mma(c.tile[t][n], a[t], b[0], b[1]);
          mma(c.tile[t][n + 1], a[t], b[2], b[3]);
        }
      }
    }
  }

  static __device__ void dots(float (&sums)[R], const bf16* a, const bf16* b) {
    const int lane = lane_index();
#pragma unroll
    for (int t = 0; t < tiles; t++) {
      sums[2 * t] = sums[2 * t + 1] = 0;
#pragma unroll
      for (int k = 0; k < width; k += 16) {
        const int from = swizzle<width>(t * 16 + lane % 16, k + lane / 16 * 8);
        uint32_t x[4], y[4];
        load_matrices(x, a + from);
        load_matrices(y, b + from);
#pragma unroll
        for (int m = 0; m < 4; m++) {  // 0 and 2 are of the upper rows
          sums[2 * t + m % 2] += low(x[m]) * low(y[m]) + high(x[m]) * high(y[m]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < R; i++) sums[i] = warp_sum<row_lanes>(sums[i]);
  }

  static __device__ void put(bf16* rows, Grid<N>& c, float factor) {
#pragma unroll
    for (int i = 0; i < R; i++) {
#pragma unroll
      for (int j = 0; j < N; j += 2) {
        *reinterpret_cast<uint32_t*>(rows + swizzle<width>(row(i), column(j))) =
            pack(c(i, j) * factor, c(i, j + 1) * factor);
      }
    }
  }

  template <int n>
  static __device__ void clear(Grid<n>& c) {
#pragma unroll
    for (int i = 0; i < R; i++) {
#pragma unroll
      for (int j = 0; j < n; j++) c(i, j) = 0;
    }
  }

 private:
  // Of an element of a tile; and of the one that is some rows and columns further, the rows a
  // multiple of 8 and the columns of 16 while `column` was below 16. Then the permutation of rows
  // acts on the part of the column that is below `turn` as an exclusive or.
  static __device__ uint32_t address(const bf16* tile, int row, int column) {
    return fresh(shared_address(tile + swizzle<width>(row, column)));
  }
  static __device__ uint32_t moved(uint32_t from, int rows, int columns) {
    constexpr int turn = width % 64 == 0 ? 64 : 32;
    return (from ^ columns % turn * 2) + (rows * width + columns / turn * turn) * 2;
  }

  static __device__ float low(uint32_t pair) { return __uint_as_float(pair << 16); }
  static __device__ float high(uint32_t pair) { return __uint_as_float(pair & 0xffff0000u); }
};

#endif

template <AttentionPass pass, int width_>
struct Exact {
  using T = float;
  static constexpr AttentionTile tile = attention_tile(pass, width_, false);
  static constexpr int width = width_, rows = tile.rows, columns = tile.columns;
  static constexpr int stages = tile.stages, weights = rows * columns;
  static constexpr int warp_rows = rows / 4;
  static constexpr int R = rows / 8, C = columns / 16, N = width / 16, row_lanes = 16;
  static constexpr int words = 1, word_bits = R * C;
  static_assert(word_bits <= 32, "a mask is one word");

  template <int n>
  struct Grid {
    float cell[R][n];
    __device__ float& operator()(int i, int j) { return cell[i][j]; }
  };

  // The two rows that a warp meets at a time are 4 apart, so that their permutations differ by
  // half of the banks.
  static __device__ int row(int i) { return i / 4 * 8 + i % 4 + lane_index() / 16 * 4; }
  static __device__ int column(int j) { return j * 16 + lane_index() % 16; }
  static __device__ int element(int i, int j) { return i * C + j; }
  static __device__ GridIndex at(int, int bit) { return {bit / C, bit % C}; }

  static __device__ void multiply(Grid<C>& c, const float* left, const float* right) {
    clear(c);
#pragma unroll 1
    for (int k = 0; k < width; k += 4) {
      float a[R][4], b[C][4];
#pragma unroll
      for (int i = 0; i < R; i++) load(a[i], left + place<float, width>(row(i), k));
#pragma unroll
      for (int j = 0; j < C; j++) load(b[j], right + place<float, width>(column(j), k));
#pragma unroll
      for (int m = 0; m < 4; m++) {
#pragma unroll
        for (int i = 0; i < R; i++) {
#pragma unroll
          for (int j = 0; j < C; j++) c(i, j) = fmaf(a[i][m], b[j][m], c(i, j));
        }
      }
    }
  }

  // What it starts from comes last, lest a large one takes bits from all sums on their way.
  template <class Start>
  static __device__ void multiply_from(Grid<C>& c, Start start, const float* left,
                                       const float* right) {
    multiply(c, left, right);
#pragma unroll
    for (int i = 0; i < R; i++) {
#pragma unroll
      for (int j = 0; j < C; j++) c(i, j) += start(i);
    }
  }

  // staging: [warp_rows, columns] of the warp's own.
  static __device__ void accumulate(Grid<N>& c, Grid<C>& weights, float* staging,
                                    const float* right) {
#pragma unroll
    for (int i = 0; i < R; i++) {
#pragma unroll
      for (int j = 0; j < C; j++) staging[place<float, columns>(row(i), column(j))] = weights(i, j);
    }
    __syncwarp();
#pragma unroll 1
    for (int k = 0; k < columns; k += 4) {
      float a[R][4];
#pragma unroll
      for (int i = 0; i < R; i++) load(a[i], staging + place<float, columns>(row(i), k));
#pragma unroll
      for (int m = 0; m < 4; m++) {
#pragma unroll
        for (int j = 0; j < N; j++) {
          const float b = right[place<float, width>(k + m, column(j))];
#pragma unroll
          for (int i = 0; i < R; i++) c(i, j) = fmaf(a[i][m], b, c(i, j));
        }
      }
    }
    __syncwarp();
  }

  static __device__ void dots(float (&sums)[R], const float* a, const float* b) {
#pragma unroll
    for (int i = 0; i < R; i++) {
      sums[i] = 0;
#pragma unroll
      for (int j = 0; j < N; j++) {
        const int from = place<float, width>(row(i), column(j));
        sums[i] = fmaf(a[from], b[from], sums[i]);
      }
      sums[i] = warp_sum<row_lanes>(sums[i]);
    }
  }

  static __device__ void put(float* rows, Grid<N>& c, float factor) {
#pragma unroll
    for (int i = 0; i < R; i++) {
#pragma unroll
      for (int j = 0; j < N; j++) {
        rows[place<float, width>(row(i), column(j))] = c(i, j) * factor;
      }
    }
  }

  template <int n>
  static __device__ void clear(Grid<n>& c) {
#pragma unroll
    for (int i = 0; i < R; i++) {
#pragma unroll
      for (int j = 0; j < n; j++) c(i, j) = 0;
    }
  }
};
