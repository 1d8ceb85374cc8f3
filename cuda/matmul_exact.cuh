// float32 products by multiply-add, exact float32 throughout: tiles of the output over K.
#pragma once
#include "matmul_finish.cuh"

// A block's tile is warps_down x warps_across tiles of warps. A warp's is 32 rows by 32 `groups`
// columns: a thread has 4 neighbouring rows, and 4 more 16 rows further down, by 4 neighbouring
// columns in each group of 32.
template <int warps_down, int warps_across_, int groups_>
struct ExactShape {
  static constexpr int warps_across = warps_across_, groups = groups_;
  static constexpr int rows = 32 * warps_down, columns = 32 * groups * warps_across;
  static constexpr int threads = 32 * warps_down * warps_across;
  static constexpr int depth = 8;
};

// One operand: `rows` of the output's rows or columns by 8 of K, which lie in shared memory as
// [k][row] however they are stored. along_k: stored with K as the last dimension.
template <bool along_k, int rows, int threads>
class ExactOperand {
 public:
  static constexpr int depth = 8;

  // What lies outside [row, row_end) and [k, k_end) becomes zeros.
  __device__ ExactOperand(const void* data, int64_t stride, bool vector, int row, int row_end,
                          int k, int k_end)
      : stride_(stride), vector_(vector) {
    const int line = (along_k ? row : k) + static_cast<int>(threadIdx.x) / (width / 4);
    const int column = (along_k ? k : row) + static_cast<int>(threadIdx.x) % (width / 4) * 4;
    from_ = static_cast<const float*>(data) + line * stride + column;
    lines_left_ = (along_k ? row_end : k_end) - line;
    columns_left_ = (along_k ? k_end : row_end) - column;
  }

  // Reads the next 8 of K into registers.
  __device__ void fetch() {
    const bool whole = vector_ && columns_left_ >= 4;
#pragma unroll
    for (int i = 0; i < copies; i++) {
      const float* const from = from_ + i * lines * stride_;
      const bool there = i * lines < lines_left_;
      if (whole && there) {
        load(held_[i], from);
      } else {
#pragma unroll
        for (int j = 0; j < 4; j++) held_[i][j] = there && j < columns_left_ ? from[j] : 0.0f;
      }
    }
    from_ += along_k ? depth : depth * stride_;
    (along_k ? columns_left_ : lines_left_) -= depth;
  }

  // Where K is stored last, 32 rows that follow each other are turned by 16 for the upper 4 k: a
  // warp that stores 8 k of 16 rows, one k of each half at a time, meets no bank twice.
  static __device__ int place(int row, int k) {
    return k * rows + (along_k ? row ^ k / 4 * 16 : row);
  }

  __device__ void put(float* tile) const {
    const int line = static_cast<int>(threadIdx.x) / (width / 4);
    const int column = static_cast<int>(threadIdx.x) % (width / 4) * 4;
#pragma unroll
    for (int i = 0; i < copies; i++) {
      if (along_k) {
#pragma unroll
        for (int j = 0; j < 4; j++) tile[place(line + i * lines, column + j)] = held_[i][j];
      } else {
        store(tile + place(column, line + i * lines), held_[i]);
      }
    }
  }

 private:
  static constexpr int width = along_k ? depth : rows;
  static constexpr int copies = rows * depth / 4 / threads, lines = threads / (width / 4);
  static_assert(copies * threads * 4 == rows * depth, "each thread has the same number of copies");

  const float* from_;
  int64_t stride_;
  bool vector_;
  int lines_left_, columns_left_;
  float held_[copies][4];
};

// The sums of b's columns, as stages of it lie in shared memory: a thread has one, of some of a
// stage's k.
template <class Shape, class B>
class ExactColumnSums {
 public:
  __device__ void add(const float* tile) {
#pragma unroll
    for (int i = 0; i < deep; i++) sum_ += tile[B::place(column(), turn() * deep + i)];
  }

  // shared: a float a thread, free for all.
  __device__ void finish(const MatmulTask& p, int split, int column0, float* shared) const {
    __syncthreads();
    shared[threadIdx.x] = sum_;
    __syncthreads();
    if (turn() > 0) return;
    float sum = sum_;
#pragma unroll
    for (int i = 1; i < turns; i++) sum += shared[i * Shape::columns + column()];
    matmul_column_sum(p, split, column0 + column(), sum);
  }

 private:
  static constexpr int turns = Shape::threads / Shape::columns, deep = Shape::depth / turns;
  static_assert(turns * Shape::columns == Shape::threads, "whole columns");
  static_assert(deep * turns == Shape::depth, "whole stages");
  static __device__ int column() { return static_cast<int>(threadIdx.x) % Shape::columns; }
  static __device__ int turn() { return static_cast<int>(threadIdx.x) / Shape::columns; }
  float sum_ = 0;
};

template <class Shape>
__device__ void exact_finish(const MatmulTask& p, float (&sums)[2][4][Shape::groups][4], int row0,
                             int column0) {
  const bool vector = matmul_vector<float, float>(p);
  float bias[Shape::groups][4];
#pragma unroll
  for (int n = 0; n < Shape::groups; n++) {
    if (vector) matmul_bias<float>(p, column0 + n * 32, bias[n]);
  }
#pragma unroll
  for (int m = 0; m < 8; m++) {
    const int row = row0 + m / 4 * 16 + m % 4;
    float(&line)[Shape::groups][4] = sums[m / 4][m % 4];
    if (vector) {
      float y[Shape::groups][4];
#pragma unroll
      for (int n = 0; n < Shape::groups; n++) {
        matmul_beside<float, float>(p, row, column0 + n * 32, y[n]);
      }
#pragma unroll
      for (int n = 0; n < Shape::groups; n++) {
        matmul_finish<float, float>(p, row, column0 + n * 32, line[n], bias[n], y[n]);
      }
    } else {
#pragma unroll
      for (int i = 0; i < Shape::groups * 4; i++) {
        matmul_finish_one<float, float>(p, row, column0 + i / 4 * 32 + i % 4, line[i / 4][i % 4]);
      }
    }
  }
}

template <class Shape, bool transpose_a, bool transpose_b>
__device__ void exact_matmul(const MatmulTask& task) {
  using A = ExactOperand<!transpose_a, Shape::rows, Shape::threads>;
  using B = ExactOperand<transpose_b, Shape::columns, Shape::threads>;
  constexpr int depth = Shape::depth, groups = Shape::groups;
  __shared__ __align__(16) float tile_a[2][depth * Shape::rows], tile_b[2][depth * Shape::columns];

  const MatmulTask p = matmul_present(task);
  const MatmulTile tile = matmul_tile((task.M + Shape::rows - 1) / Shape::rows,
                                      (task.N + Shape::columns - 1) / Shape::columns);
  const int row0 = tile.row * Shape::rows, column0 = tile.column * Shape::columns;
  if (row0 >= p.M) return;
  const int lane = lane_index(), warp = warp_index();
  const int row = warp / Shape::warps_across * 32 + lane / 8 * 4;
  const int column = warp % Shape::warps_across * 32 * groups + lane % 8 * 4;
  const int split = static_cast<int>(blockIdx.y);
  const int k0 = split * p.split_depth, k_end = min(p.K, k0 + p.split_depth);

  A a(p.a, p.lda, p.vector_a, row0, p.M, k0, k_end);
  B b(p.b, p.ldb, p.vector_b, column0, p.N, k0, k_end);
  float sums[2][4][groups][4] = {};
  const bool summing = transpose_a && !transpose_b && p.sums && tile.row == 0;
  ExactColumnSums<Shape, B> column_sums;
  a.fetch();
  b.fetch();
  for (int k = k0, now = 0; k < k_end; k += depth, now ^= 1) {
    a.put(tile_a[now]);
    b.put(tile_b[now]);
    __syncthreads();  // also: all have left the other stage, which the next round fills
    if (k + depth < k_end) {
      a.fetch();
      b.fetch();
    }
    if (summing) column_sums.add(tile_b[now]);
#pragma unroll
    for (int i = 0; i < depth; i++) {
      float left[2][4], right[groups][4];
#pragma unroll
      for (int m = 0; m < 2; m++) load(left[m], tile_a[now] + A::place(row + m * 16, i));
#pragma unroll
      for (int n = 0; n < groups; n++) load(right[n], tile_b[now] + B::place(column + n * 32, i));
#pragma unroll
      for (int m = 0; m < 2; m++) {
#pragma unroll
        for (int y = 0; y < 4; y++) {
#pragma unroll
          for (int n = 0; n < groups; n++) {
#pragma unroll
            for (int x = 0; x < 4; x++) {
              sums[m][y][n][x] = fmaf(left[m][y], right[n][x], sums[m][y][n][x]);
            }
          }
        }
      }
    }
  }
  const MatmulTask end = p.splits > 1 ? matmul_part(p, split) : p;
  exact_finish<Shape>(end, sums, row0 + row, column0 + column);
  if (summing) column_sums.finish(p, split, column0, tile_b[0]);
}
