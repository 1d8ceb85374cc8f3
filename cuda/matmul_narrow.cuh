// Products of up to 16 rows of a with a transposed b, as generation has them: each row of b is read
// once, in sequence.
#pragma once
#include "matmul_finish.cuh"
#include "mma.cuh"

constexpr int narrow_threads = 256, narrow_warps = narrow_threads / 32;

// ---- bfloat16: 16 rows of b a block, its warps taking turns along K ----

// Elements k to k + 7 of a row, zeros behind its end.
__device__ inline uint4 narrow_chunk(const bf16* row, bool there, int k, int K, bool vector) {
  if (!there || k >= K) return make_uint4(0, 0, 0, 0);
  if (vector && k + 8 <= K) return *reinterpret_cast<const uint4*>(row + k);
  uint32_t words[8];
#pragma unroll
  for (int i = 0; i < 8; i++) words[i] = k + i < K ? __bfloat16_as_ushort(row[k + i]) : 0;
  return make_uint4(words[0] | words[1] << 16, words[2] | words[3] << 16, words[4] | words[5] << 16,
                    words[6] | words[7] << 16);
}

// The order of K within a fragment does not matter as long as both sides have the same one. So a
// lane's 16 bytes are its elements of two products of 16 k: no shared memory, whole sectors.
template <int rows>
__device__ void narrow_matmul_bf16(const MatmulTask& task) {
  constexpr int parts = rows / 8;
  __shared__ float shared[narrow_warps][rows * 16];
  // Each two rows are turned by 8 more: 8 columns of 4 such rows lie in 32 banks, as do 2 rows.
  const auto place = [](int row, int column) { return (row * 16 + column) ^ (row / 2 % 4 * 8); };
  const MatmulTask p = matmul_present(task);
  const int lane = lane_index(), warp = warp_index(), line = lane / 4;
  const int column0 = static_cast<int>(blockIdx.x) * 16;
  const bf16* const a = static_cast<const bf16*>(p.a) + line * p.lda;
  const bf16* const b = static_cast<const bf16*>(p.b) + (column0 + line) * p.ldb;
  float sums[parts][4] = {};
#pragma unroll 4
  for (int k = warp * 32 + lane % 4 * 8; k - lane % 4 * 8 < p.K; k += narrow_warps * 32) {
    uint4 weights[2], x[parts];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      weights[i] =
          narrow_chunk(b + i * 8 * p.ldb, column0 + line + i * 8 < p.N, k, p.K, p.vector_b);
    }
#pragma unroll
    for (int i = 0; i < parts; i++) {
      x[i] = narrow_chunk(a + i * 8 * p.lda, line + i * 8 < p.M, k, p.K, p.vector_a);
    }
    const uint32_t first[4] = {weights[0].x, weights[1].x, weights[0].y, weights[1].y};
    const uint32_t second[4] = {weights[0].z, weights[1].z, weights[0].w, weights[1].w};
#pragma unroll
    for (int i = 0; i < parts; i++) {
      mma(sums[i], first, x[i].x, x[i].y);
      mma(sums[i], second, x[i].z, x[i].w);
    }
  }
#pragma unroll
  for (int i = 0; i < parts; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const int row = i * 8 + lane % 4 * 2 + j % 2, column = line + j / 2 * 8;
      shared[warp][place(row, column)] = sums[i][j];
    }
  }
  __syncthreads();
  const int row = static_cast<int>(threadIdx.x) / 16, column = static_cast<int>(threadIdx.x) % 16;
  if (row >= rows) return;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < narrow_warps; i++) sum += shared[i][place(row, column)];
  if (p.wide) {
    matmul_finish_one<bf16, float>(p, row, column0 + column, sum);
  } else {
    matmul_finish_one<bf16, bf16>(p, row, column0 + column, sum);
  }
}

// ---- float32: `columns` rows of b a warp, its lanes along K ----

template <int rows, int columns>
__device__ void narrow_matmul_f32(const MatmulTask& task) {
  const MatmulTask p = matmul_present(task);
  const int lane = lane_index();
  const int column0 = (static_cast<int>(blockIdx.x) * narrow_warps + warp_index()) * columns;
  const float* const a = static_cast<const float*>(p.a);
  const float* const b = static_cast<const float*>(p.b);
  float sums[rows][columns] = {};
  const auto add = [&](int k, auto width) {
    constexpr int n = decltype(width)::value;
    float weights[columns][n], x[n];
#pragma unroll
    for (int i = 0; i < columns; i++) {
      const int line = min(column0 + i, p.N - 1);
      load(weights[i], b + line * p.ldb + k);
    }
#pragma unroll
    for (int m = 0; m < rows; m++) {
      load(x, a + min(m, p.M - 1) * p.lda + k);
#pragma unroll
      for (int i = 0; i < columns; i++) {
#pragma unroll
        for (int j = 0; j < n; j++) sums[m][i] = fmaf(x[j], weights[i][j], sums[m][i]);
      }
    }
  };
  if (p.M <= 0 || column0 >= p.N) return;
  int done = 0;
  if (p.vector_a && p.vector_b) {
    done = p.K / 4 * 4;
#pragma unroll 4
    for (int k = lane * 4; k < done; k += 128) add(k, Width<4>());
  }
  for (int k = done + lane; k < p.K; k += 32) add(k, Width<1>());
  float mine = 0;  // each lane keeps one of the sums
#pragma unroll
  for (int i = 0; i < rows * columns; i++) {
    const float sum = warp_sum(sums[i / columns][i % columns]);
    if (i == lane) mine = sum;
  }
  if (lane < rows * columns) {
    matmul_finish_one<float, float>(p, lane / columns, column0 + lane % columns, mine);
  }
}
