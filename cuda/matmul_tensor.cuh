// Products on tensor cores, of bfloat16 or of float32 rounded to tf32: tiles of the output over K.
#pragma once
#include "matmul_finish.cuh"
#include "mma.cuh"

// How a block works: its tile of the output, the tile of one of its warps, and how many stages of
// shared memory there are, all but one of them under way. A stage is 64 bytes of K, a slice 32: what
// one instruction multiplies. Between types nothing changes but how many elements that is.
template <class T_, int rows_, int columns_, int warp_rows_, int warp_columns_, int stages_>
struct TensorShape {
  using T = T_;
  static constexpr int rows = rows_, columns = columns_, stages = stages_;
  static constexpr int depth = 64 / sizeof(T), slice = 32 / sizeof(T);
  static constexpr int warp_rows = warp_rows_, warp_columns = warp_columns_;
  static constexpr int warps_across = columns / warp_columns;
  static constexpr int threads = 32 * (rows / warp_rows) * warps_across;
  static constexpr int stage = (rows + columns) * 64;  // bytes
  static_assert(threads / 32 * 16 * warp_columns * 4 <= stages * stage, "room to finish");
};

__device__ inline uint32_t load_word(uint32_t address) {
  uint32_t word;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
  return word;
}

// One operand: `rows` of the output's rows or columns by a stage of K. along_k: it is stored with K
// as its last dimension, else as its first; its tile in shared memory lies the same way. A thread
// copies chunks of 16 bytes of one column, some lines apart. Words of float32 are not transposed by
// ldmatrix: with K first, a lane reads them one by one.
template <class T, bool along_k, int rows, int threads>
class TensorOperand {
 public:
  static constexpr int depth = 64 / sizeof(T), size = static_cast<int>(sizeof(T));
  static constexpr bool by_word = size == 4 && !along_k;

  // What lies outside [row, row_end) and [k, k_end) becomes zeros.
  __device__ TensorOperand(const void* data, int64_t stride, int row, int row_end, int k, int k_end)
      : stride_(stride) {
    const int line = static_cast<int>(threadIdx.x) / (width / chunk);
    const int column = static_cast<int>(threadIdx.x) % (width / chunk) * chunk;
    const int first_line = (along_k ? row : k) + line;
    const int first_column = (along_k ? k : row) + column;
    from_ = static_cast<const T*>(data) + first_line * stride + first_column;
    lines_left_ = (along_k ? row_end : k_end) - first_line;
    columns_left_ = (along_k ? k_end : row_end) - first_column;
    to_ = place(0, line, column);
  }

  // Starts the copies of the next stage of K to shared memory at `tile`.
  __device__ void copy(uint32_t tile) {
    const int bytes = min(max(columns_left_, 0), chunk) * size;
#pragma unroll
    for (int i = 0; i < copies; i++) {
      copy_async(tile + to_ + i * lines * width * size, from_ + i * lines * stride_,
                 i * lines < lines_left_ ? bytes : 0);
    }
    from_ += along_k ? depth : depth * stride_;
    (along_k ? columns_left_ : lines_left_) -= depth;
  }

  // 16 rows of a, from `row` on, by a slice of k; both are multiples of theirs.
  static __device__ void left(uint32_t (&r)[4], uint32_t tile, int row, int k) {
    const int lane = lane_index();
    if constexpr (along_k) {
      load_matrices(r, tile + place(row, lane % 16, k + lane / 16 * chunk));
    } else if constexpr (by_word) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int m = row + lane / 4 + i % 2 * 8;
        r[i] = load_word(tile + place(k + i / 2 * 4, lane % 4, m));
      }
    } else {
      load_matrices_transposed(r,
                               tile + place(k, lane % 8 + lane / 16 * 8, row + lane / 8 % 2 * 8));
    }
    round(r);
  }

  // 16 columns of b by a slice of k.
  static __device__ void right(uint32_t (&r)[4], uint32_t tile, int column, int k) {
    const int lane = lane_index();
    if constexpr (along_k) {
      load_matrices(r, tile + place(column, lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * chunk));
    } else if constexpr (by_word) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int n = column + lane / 4 + i / 2 * 8;
        r[i] = load_word(tile + place(k + i % 2 * 4, lane % 4, n));
      }
    } else {
      load_matrices_transposed(r, tile + place(k, lane % 16, column + lane / 16 * 8));
    }
    round(r);
  }

  // Bytes from the tile's beginning to (line0 + line, column), line0 a multiple of 8 (of 4 by word),
  // so that it turns nothing. Read by word, 4 lines begin at chunks 2 apart: 8 columns of each lie in
  // banks of their own.
  static __device__ uint32_t place(int line0, int line, int column) {
    if constexpr (by_word) {
      return 4 * ((line0 + line) * width + (column ^ line % 4 * 8));
    } else {
      return size * line0 * width + 2 * swizzle<width * size / 2>(line, column * size / 2);
    }
  }

 private:
  static constexpr int chunk = packet<T>, width = along_k ? depth : rows;
  static constexpr int copies = rows * depth / chunk / threads, lines = threads / (width / chunk);
  static_assert(copies * threads * chunk == rows * depth, "each thread has as many copies");
  static_assert(lines % (by_word ? 4 : 8) == 0, "lines of one thread are turned alike");

  // What tensor cores take of a float32: 10 bits of fraction, to nearest.
  static __device__ void round(uint32_t (&r)[4]) {
    if constexpr (size == 4) {
#pragma unroll
      for (int i = 0; i < 4; i++) r[i] = to_tf32(r[i]);
    }
  }

  const T* from_;
  int64_t stride_;
  int lines_left_, columns_left_;
  uint32_t to_;
};

// One store of 8 bytes to shared memory, which the compiler would take apart.
__device__ inline void store_two(float* to, float x, float y) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(shared_address(to)), "f"(x), "f"(y)
               : "memory");
}

// The sums of b's columns, as stages of it lie in shared memory with K first. A thread has the one or
// two columns of a word, of some of a stage's k that follow each other.
template <class Shape, class B>
class TensorColumnSums {
 public:
  __device__ void add(uint32_t tile) {
    const int column = static_cast<int>(threadIdx.x) % words * each;
    const int line0 = static_cast<int>(threadIdx.x) / words * deep;
#pragma unroll
    for (int i = 0; i < deep; i++) {
      const uint32_t word = load_word(tile + B::place(line0, i, column));
      sums_[0] += __uint_as_float(each == 2 ? word << 16 : word);
      if (each == 2) sums_[1] += __uint_as_float(word & 0xffff0000u);
    }
  }

  // shared: a word for each of a thread's columns, free for all.
  __device__ void finish(const MatmulTask& p, int split, int column0, float* shared) const {
    constexpr int columns = Shape::columns;
    __syncthreads();
    const int i = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int j = 0; j < each; j++) shared[i * each + j] = sums_[j];
    __syncthreads();
    if (i >= columns) return;
    float sum = shared[i];
#pragma unroll
    for (int turn = 1; turn < turns; turn++) sum += shared[turn * columns + i];
    matmul_column_sum(p, split, column0 + i, sum);
  }

 private:
  static constexpr int each = 4 / sizeof(typename Shape::T), words = Shape::columns / each;
  static constexpr int turns = Shape::threads / words, deep = Shape::depth / turns;
  static_assert(turns * words == Shape::threads && deep % 8 == 0, "rows turned as the first ones");
  static_assert(Shape::threads >= Shape::columns, "a thread writes a column");
  float sums_[each] = {};
};

// 16 rows of a warp's sums at a time go through shared memory, so that a lane has 16 bytes of the
// output and lanes next to it have the bytes next to them. Chunks of 4 floats are permuted, so that
// 4 lines of a fragment's stores meet no bank twice, nor do 8 chunks that follow each other or that
// are every other of 16.
template <class Shape>
__device__ inline int tensor_staged(int row, int column) {
  const int chunk = row * (Shape::warp_columns / 4) + column / 4;
  return (chunk ^ (chunk >> 3 & 1) ^ (row & 3) << 1) * 4 + column % 4;
}

template <class Shape, class Out>
__device__ void tensor_finish(
    const MatmulTask& p, const float (&sums)[Shape::warp_rows / 16][Shape::warp_columns / 8][4],
    float* staged, int row0, int column0) {
  using T = typename Shape::T;
  constexpr int width = Shape::warp_columns;
  constexpr int group = packet<Out>, lines = 32 * group / width, parts = 16 / lines;
  const int lane = lane_index();
  const int line = lane / (width / group), column = lane % (width / group) * group;
  const bool vector = matmul_vector<T, Out>(p);
  float bias[group];
  if (vector) matmul_bias<T>(p, column0 + column, bias);
#pragma unroll 1
  for (int m = 0; m < Shape::warp_rows / 16; m++) {
    const int row = row0 + m * 16;
    float y[parts][group];
    if (vector) {
#pragma unroll
      for (int i = 0; i < parts; i++) {
        matmul_beside<T, Out>(p, row + i * lines + line, column0 + column, y[i]);
      }
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < Shape::warp_rows / 16; i++) {
      if (i != m) continue;  // sums are registers and have no index
#pragma unroll
      for (int n = 0; n < width / 4; n++) {
        const int to = tensor_staged<Shape>(lane / 4 + n % 2 * 8, n / 2 * 8 + lane % 4 * 2);
        store_two(staged + to, sums[i][n / 2][n % 2 * 2], sums[i][n / 2][n % 2 * 2 + 1]);
      }
    }
    __syncwarp();
    if (vector) {
#pragma unroll
      for (int i = 0; i < parts; i++) {
        float x[group];
#pragma unroll
        for (int j = 0; j < group; j += 4) {
          float four[4];
          load(four, staged + tensor_staged<Shape>(i * lines + line, column + j));
#pragma unroll
          for (int k = 0; k < 4; k++) x[j + k] = four[k];
        }
        matmul_finish<T, Out>(p, row + i * lines + line, column0 + column, x, bias, y[i]);
      }
    } else {
#pragma unroll 1
      for (int i = lane; i < 16 * width; i += 32) {
        const int at = tensor_staged<Shape>(i / width, i % width);
        matmul_finish_one<T, Out>(p, row + i / width, column0 + i % width, staged[at]);
      }
    }
  }
}

template <class Shape, bool transpose_a, bool transpose_b>
__device__ void tensor_matmul(const MatmulTask& task) {
  using T = typename Shape::T;
  using A = TensorOperand<T, !transpose_a, Shape::rows, Shape::threads>;
  using B = TensorOperand<T, transpose_b, Shape::columns, Shape::threads>;
  constexpr int down = Shape::warp_rows / 16, across = Shape::warp_columns / 16;
  constexpr int slices = 2, stages = Shape::stages;
  constexpr uint32_t bytes = Shape::stage, b_at = Shape::rows * 64;
  static_assert(slices % 2 == 0, "a step begins with the fragments that the last one fetched");
  extern __shared__ __align__(128) float tensor_shared[];

  const MatmulTask p = matmul_present(task);
  const MatmulTile tile = matmul_tile((task.M + Shape::rows - 1) / Shape::rows,
                                      (task.N + Shape::columns - 1) / Shape::columns);
  const int row0 = tile.row * Shape::rows, column0 = tile.column * Shape::columns;
  if (row0 >= p.M) return;
  const int warp = warp_index();
  const int warp_row = warp / Shape::warps_across * Shape::warp_rows;
  const int warp_column = warp % Shape::warps_across * Shape::warp_columns;
  const int split = static_cast<int>(blockIdx.y);
  const int k0 = split * p.split_depth, k_end = min(p.K, k0 + p.split_depth);
  const int steps = (max(k_end - k0, 0) + Shape::depth - 1) / Shape::depth;

  A a(p.a, p.lda, row0, p.M, k0, k_end);
  B b(p.b, p.ldb, column0, p.N, k0, k_end);
  const uint32_t ring = shared_address(tensor_shared), ring_end = ring + stages * bytes;
  const auto next = [&](uint32_t stage) {
    return stage + bytes == ring_end ? ring : stage + bytes;
  };

  // Two slices of K: one that the tensor cores work on, one on its way to registers.
  uint32_t left[2][down][4], right[2][across][4];
  const auto fetch = [&](int to, uint32_t stage, int slice) {
#pragma unroll
    for (int m = 0; m < down; m++) {
      A::left(left[to][m], stage, warp_row + m * 16, slice * Shape::slice);
    }
#pragma unroll
    for (int n = 0; n < across; n++) {
      B::right(right[to][n], stage + b_at, warp_column + n * 16, slice * Shape::slice);
    }
  };

  uint32_t filled = ring, read = ring;
  int to_copy = steps;
  const auto copy = [&] {
    if (to_copy-- > 0) {
      a.copy(filled);
      b.copy(filled + b_at);
    }
    copy_commit();
    filled = next(filled);
  };
  float sums[down][across * 2][4] = {};
  constexpr bool may_sum = transpose_a && !transpose_b;
  const bool summing = may_sum && p.sums && tile.row == 0;
  TensorColumnSums<Shape, B> column_sums;
#pragma unroll
  for (int step = 0; step < stages - 1; step++) copy();
  copy_wait<stages - 2>();
  __syncthreads();
  if (steps > 0) fetch(0, read, 0);
#pragma unroll 1
  for (int step = 0; step < steps; step++) {
#pragma unroll
    for (int slice = 0; slice < slices; slice++) {
      const int now = slice % 2;
      if (slice + 1 < slices) {
        fetch(1 - now, read, slice + 1);
      } else {
        copy_wait<stages - 2>();  // the next stage is there,
        __syncthreads();          // for all threads, and all have left this one
        read = next(read);
        if (step + 1 < steps) fetch(1 - now, read, 0);
      }
      if (slice == 0) {
        if (may_sum && summing) column_sums.add(read + b_at);
        copy();
      }
#pragma unroll
      for (int m = 0; m < down; m++) {
#pragma unroll
        for (int n = 0; n < across * 2; n++) {
          mma<T>(sums[m][n], left[now][m], right[now][n / 2][n % 2 * 2],
                 right[now][n / 2][n % 2 * 2 + 1]);
        }
      }
    }
  }

  // The pipeline's memory is free: the last barrier stood behind the last fetch.
  float* const staged = tensor_shared + warp * 16 * Shape::warp_columns;
  const int row = row0 + warp_row, column = column0 + warp_column;
  const MatmulTask end = p.splits > 1 ? matmul_part(p, split) : p;
  if (sizeof(T) == 4 || end.wide) {
    tensor_finish<Shape, float>(end, sums, staged, row, column);
  } else {
    tensor_finish<Shape, T>(end, sums, staged, row, column);
  }
  if (may_sum && summing) {
    column_sums.finish(p, split, column0, tensor_shared);
  }
}
