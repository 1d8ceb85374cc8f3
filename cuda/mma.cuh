// Tensor-core building blocks: asynchronous 16-byte copies into shared memory, matrix loads from
// it, and the product of 16 x 16 and 16 x 8 bfloat16 matrices, or of 16 x 8 and 8 x 8 tf32 ones, with
// float32 sums.
//
// Layout of fragments; a register holds two bfloat16, the lower column in the low half:
//   8 x 8 matrix (what ldmatrix loads)   lane holds row lane / 4, columns lane % 4 * 2 and the next
//   a, 16 x 16 of rows m and columns k   a[0] m 0-7, k 0-7;  a[1] m 8-15, k 0-7;
//                                        a[2] m 0-7, k 8-15; a[3] m 8-15, k 8-15
//   b, 16 x 8 of rows k and columns n    b0 k 0-7, b1 k 8-15, each as the 8 x 8 matrix of n by k
//   c, 16 x 8 of rows m and columns n    c[0], c[1] row lane / 4, columns lane % 4 * 2 and next;
//                                        c[2], c[3] the same 8 rows further down
// In tf32 a register holds one float32, of half as many k: its 8 x 8 matrix of halves is 8 x 4 of them,
// lane / 4 and lane % 4.
// So c of one product, rounded by pack(), is a of the next: (c[0], c[1]) and (c[2], c[3]) of two
// neighbours in n are a[0], a[1], a[2], a[3].
//
// Layout of shared memory: rows of 16-byte chunks without padding, a row's chunks permuted by the
// row's number (swizzle below), so that 8 rows of one column of chunks lie in 32 different banks.
// Which lane points load_matrices at what, for tile[row][column] at its (row, column) = (r, c):
//   a from tile[m][k]   load_matrices             r = m + lane % 16, c = k + lane / 16 * 8
//   a from tile[k][m]   load_matrices_transposed  r = k + lane % 8 + lane / 16 * 8,
//                                                 c = m + lane / 8 % 2 * 8
//   two b, n and n + 8 (registers 0, 1 and 2, 3):
//     from tile[n][k]   load_matrices             r = n + lane % 8 + lane / 16 * 8,
//                                                 c = k + lane / 8 % 2 * 8
//     from tile[k][n]   load_matrices_transposed  r = k + lane % 16, c = n + lane / 16 * 8
//
// Numbers: a product of two bfloat16 is exact in float32; the tensor core's sum over 16 k is not
// rounded as float32 would be (some bits fewer), its additions into c are.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>

using bf16 = __nv_bfloat16;

// The place of (row, column) in a tile of rows of `columns` elements, a multiple of 8. A chunk is 8
// columns; all chunks of columns c to c + 7 in 8 rows that follow each other, the first a multiple
// of 8, meet no bank twice, and neither do 8 chunks that follow each other in a row or in rows.
template <int columns>
__device__ inline int swizzle(int row, int column) {
  static_assert(columns % 8 == 0, "rows of whole chunks");
  constexpr int chunks = columns / 8;
  // Rows begin at one of 8 / turns different chunks of the 8 that cover all banks.
  constexpr int turns = chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : chunks % 2 == 0 ? 2 : 1;
  const int turn = row / (8 / turns) % turns;
  return row * columns + ((column / 8) ^ turn) * 8 + column % 8;
}

__device__ inline uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ inline uint32_t pack(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

// Starts to copy `bytes` (0 to 16) from global memory to 16 bytes of shared memory, both aligned to
// 16, the rest of which become zeros. Where bytes is 0 nothing is read, wherever `from` points.
__device__ inline void copy_async(uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
               : "memory");
}
__device__ inline void copy_async(void* to, const void* from, int bytes) {
  copy_async(shared_address(to), from, bytes);
}
// Copies since the last commit become a group; one without copies is a group too.
__device__ inline void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `pending` of this thread's groups are under way. Other threads see the data
// behind a barrier.
template <int pending>
__device__ inline void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Four 8 x 8 matrices; lanes 0-7 point at the rows of the first, 8-15 of the second, and so on.
__device__ inline void load_matrices(uint32_t (&r)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
__device__ inline void load_matrices(uint32_t (&r)[4], const bf16* row) {
  load_matrices(r, shared_address(row));
}
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], const bf16* row) {
  load_matrices_transposed(r, shared_address(row));
}

// The nearest float32 of 10 bits of fraction, ties away from zero.
__device__ inline uint32_t to_tf32(uint32_t x) {
  uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(__uint_as_float(x)));
  return y;
}

// d = a b + c
__device__ inline void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                           const float (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]),
        "f"(c[2]), "f"(c[3]));
}

// c += a b
__device__ inline void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <class T>
__device__ inline void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (sizeof(T) == 2) {
    mma(c, a, b0, b1);
  } else {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

#endif
