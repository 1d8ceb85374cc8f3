// Matrix products from the simplest on, in bfloat16, to read what each step of cuda/matmul.cu
// gains: out[M, N] = a[M, K] b[N, K]^T. Every rung takes the same arguments; M and N are multiples
// of 64 and K of 32, rows begin at multiples of 16 bytes. Compile with cuda/ as an include path.
//   1        a thread an element: 4 bytes of operands for each multiply-add, and lanes read b K
//            elements apart, so that a sector is fetched for each 2 bytes
//   2        a block makes 64 x 64 from tiles in shared memory, a thread 4 x 4: 1/16 of the bytes,
//            whole sectors; bound by multiply-adds and the shared memory that feeds them
//   3        the same tiles on tensor cores: 1/16 of the instructions; but rows of 64 bytes put 4
//            of the 8 rows of a matrix load into the same banks, nothing is computed while copies
//            are under way, and fragments are written as they are, half of each sector at a time
//   shipped  swizzled tiles without bank conflicts, copies that run stages ahead, 64 x 64 a warp
//            from registers, 128 or 256 x 128 a block: half to a third of rung 3's bytes, half of
//            its matrix loads
#include "common.cuh"
#include "mma.cuh"

constexpr int side = 64, depth = 32, threads = 128;

// For [N / 32, M / 8] blocks of 32 x 8 threads.
extern "C" __global__ void matmul_1_bf16(bf16* out, const bf16* a, const bf16* b, int32_t M,
                                         int32_t N, int32_t K) {
  const int n = blockIdx.x * 32 + threadIdx.x, m = blockIdx.y * 8 + threadIdx.y;
  if (m >= M || n >= N) return;
  float sum = 0;
  for (int k = 0; k < K; k++) {
    sum +=
        to_float(a[static_cast<int64_t>(m) * K + k]) * to_float(b[static_cast<int64_t>(n) * K + k]);
  }
  out[static_cast<int64_t>(m) * N + n] = from_float<bf16>(sum);
}

// For [N / 64, M / 64] blocks of 256 threads.
extern "C" __global__ void matmul_2_bf16(bf16* out, const bf16* a, const bf16* b, int32_t M,
                                         int32_t N, int32_t K) {
  __shared__ float left[depth][side], right[depth][side];
  const int row0 = blockIdx.y * side, column0 = blockIdx.x * side;
  const int row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
  const int line = threadIdx.x / 4, part = threadIdx.x % 4 * 8;
  if (row0 >= M) return;
  float sums[4][4] = {};
  for (int k = 0; k < K; k += depth) {
    float x[8], y[8];
    load(x, a + static_cast<int64_t>(row0 + line) * K + k + part);
    load(y, b + static_cast<int64_t>(column0 + line) * K + k + part);
    __syncthreads();
    for (int i = 0; i < 8; i++) left[part + i][line] = x[i], right[part + i][line] = y[i];
    __syncthreads();
    for (int i = 0; i < depth; i++) {
      float u[4], v[4];
      load(u, &left[i][row]);
      load(v, &right[i][column]);
      for (int m = 0; m < 4; m++) {
        for (int n = 0; n < 4; n++) sums[m][n] = fmaf(u[m], v[n], sums[m][n]);
      }
    }
  }
  for (int m = 0; m < 4; m++) {
    store(out + static_cast<int64_t>(row0 + row + m) * N + column0 + column, sums[m]);
  }
}

// For [N / 64, M / 64] blocks of 128 threads.
extern "C" __global__ void matmul_3_bf16(bf16* out, const bf16* a, const bf16* b, int32_t M,
                                         int32_t N, int32_t K) {
  __shared__ __align__(16) bf16 left[side][depth], right[side][depth];
  const int row0 = blockIdx.y * side, column0 = blockIdx.x * side, lane = lane_index();
  const int row = warp_index() / 2 * 32, column = warp_index() % 2 * 32;
  if (row0 >= M) return;
  float sums[2][4][4] = {};
  for (int k = 0; k < K; k += depth) {
    __syncthreads();
    for (int i = threadIdx.x; i < side * depth / 8; i += threads) {
      const int line = i / (depth / 8), part = i % (depth / 8) * 8;
      *reinterpret_cast<uint4*>(&left[line][part]) =
          *reinterpret_cast<const uint4*>(a + static_cast<int64_t>(row0 + line) * K + k + part);
      *reinterpret_cast<uint4*>(&right[line][part]) =
          *reinterpret_cast<const uint4*>(b + static_cast<int64_t>(column0 + line) * K + k + part);
    }
    __syncthreads();
    for (int i = 0; i < depth; i += 16) {
      uint32_t u[2][4], v[2][4];
      for (int m = 0; m < 2; m++) {
        load_matrices(u[m], &left[row + m * 16 + lane % 16][i + lane / 16 * 8]);
        load_matrices(v[m],
                      &right[column + m * 16 + lane % 8 + lane / 16 * 8][i + lane / 8 % 2 * 8]);
      }
      for (int m = 0; m < 2; m++) {
        for (int n = 0; n < 4; n++) {
          mma(sums[m][n], u[m], v[n / 2][n % 2 * 2], v[n / 2][n % 2 * 2 + 1]);
        }
      }
    }
  }
  for (int m = 0; m < 2; m++) {
    for (int n = 0; n < 4; n++) {
      for (int half = 0; half < 2; half++) {
        const float two[2] = {sums[m][n][half * 2], sums[m][n][half * 2 + 1]};
        const int y = row0 + row + m * 16 + lane / 4 + half * 8;
        store(out + static_cast<int64_t>(y) * N + column0 + column + n * 8 + lane % 4 * 2, two);
      }
    }
  }
}
