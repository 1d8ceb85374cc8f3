// C[M, N] = A[M, K] B[N, K]^T, bfloat16 with float32 sums.
// Layout: rows of A and B are `lda` and `ldb` apart, multiples of 8, so that 16-byte copies are aligned; M,
// N, K are any. Plan: a block of 4 warps makes 64 x 64 of C over K in steps of 64, two stages of tiles in
// flight; a warp makes 32 x 32.
#include "tile.cuh"

constexpr int tile = 64, depth = 64,
              stride = depth + 8;  // 144 bytes a row: copies and matrix loads meet no bank twice

struct Stage {
  bf16 a[tile][stride], b[tile][stride];
};

__device__ inline void load_tile(bf16 (&to)[tile][stride], const bf16* from, int rows, int row0, int k0,
                                 int K, int ld) {
  for (int i = threadIdx.x; i < tile * depth / 8; i += blockDim.x) {
    const int row = i / (depth / 8), k = i % (depth / 8) * 8;
    const int left = row0 + row < rows ? min(max(K - k0 - k, 0), 8) : 0;
    const size_t offset = left ? static_cast<size_t>(row0 + row) * ld + k0 + k : 0;
    copy_async(&to[row][k], from + offset, left * 2);
  }
}

template <bool wait, bool barrier>
__device__ void product(float* c, const bf16* a, const bf16* b, int M, int N, int K, int lda, int ldb) {
  __shared__ __align__(16) Stage stages[2];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row0 = blockIdx.y * tile, col0 = blockIdx.x * tile, row = warp / 2 * 32, col = warp % 2 * 32;
  float sums[2][4][4] = {};
  const int steps = (K + depth - 1) / depth;
  load_tile(stages[0].a, a, M, row0, 0, K, lda);
  load_tile(stages[0].b, b, N, col0, 0, K, ldb);
  copy_commit();
  for (int step = 0; step < steps; step++) {
    Stage& now = stages[step % 2];
    if (step + 1 < steps) {
      load_tile(stages[(step + 1) % 2].a, a, M, row0, (step + 1) * depth, K, lda);
      load_tile(stages[(step + 1) % 2].b, b, N, col0, (step + 1) * depth, K, ldb);
    }
    copy_commit();
    if (wait) copy_wait<1>();
    __syncthreads();
    for (int k = 0; k < depth; k += 16) {
      uint32_t left[2][4], right[2][4];
      for (int m = 0; m < 2; m++)
        load_matrices(left[m], &now.a[row + m * 16 + lane % 16][k + lane / 16 * 8]);
      for (int n = 0; n < 2; n++)
        load_matrices(right[n], &now.b[col + n * 16 + lane % 8 + lane / 16 * 8][k + lane / 8 % 2 * 8]);
      for (int m = 0; m < 2; m++) {
        for (int n = 0; n < 4; n++)
          mma(sums[m][n], left[m], right[n / 2][n % 2 * 2], right[n / 2][n % 2 * 2 + 1]);
      }
    }
    if (barrier) __syncthreads();
  }
  for (int m = 0; m < 2; m++) {
    for (int n = 0; n < 4; n++) {
      for (int i = 0; i < 4; i++) {
        const int y = row0 + row + m * 16 + lane / 4 + i / 2 * 8,
                  x = col0 + col + n * 8 + lane % 4 * 2 + i % 2;
        if (y < M && x < N) c[static_cast<size_t>(y) * N + x] = sums[m][n][i];
      }
    }
  }
}

extern "C" __global__ void matmul(float* c, const bf16* a, const bf16* b, int M, int N, int K, int lda,
                                  int ldb) {
  product<true, true>(c, a, b, M, N, K, lda, ldb);
}

// Planted: the copies are not waited for.
extern "C" __global__ void matmul_unwaited(float* c, const bf16* a, const bf16* b, int M, int N, int K,
                                           int lda, int ldb) {
  product<false, true>(c, a, b, M, N, K, lda, ldb);
}

// Planted: the next copies may overwrite a stage that other warps still read.
extern "C" __global__ void matmul_unsynced(float* c, const bf16* a, const bf16* b, int M, int N, int K,
                                           int lda, int ldb) {
  product<true, false>(c, a, b, M, N, K, lda, ldb);
}
