// Causal attention forward, one pass over the keys (FlashAttention, Dao et al. 2022):
//   S = Q K^T scale, P = softmax(S), O = P V, L = log sum exp S.   Q, K, V [heads, T, 64] bfloat16, O
//   float32, L [heads, T].
// Plan: a block of 4 warps takes 64 queries of a head, a warp 16 of them; keys come 64 at a time through
// shared memory. Numbers: float32 sums; P is rounded to bfloat16 before it meets V: relative error 2^-9 of
// sum P |V|.
#include "tile.cuh"

constexpr int D = 64, rows = 64, stride = D + 8;

__device__ inline void load_rows(bf16 (&to)[rows][stride], const bf16* from, int first, int T) {
  for (int i = threadIdx.x; i < rows * D / 8; i += blockDim.x) {
    const int row = i / (D / 8), d = i % (D / 8) * 8;
    const bool there = first + row < T;
    copy_async(&to[row][d], from + (there ? static_cast<size_t>(first + row) * D + d : 0), there ? 16 : 0);
  }
}

template <bool wait, bool barrier>
__device__ void attend(float* o, float* l, const bf16* q, const bf16* k, const bf16* v, int T,
                       float scale) {
  __shared__ __align__(16) bf16 queries[rows][stride], keys[rows][stride], values[rows][stride];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = blockIdx.x * rows;
  const size_t head = static_cast<size_t>(blockIdx.y) * T;
  q += head * D, k += head * D, v += head * D, o += head * D, l += head;
  load_rows(queries, q, first, T);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  uint32_t left[D / 16][4];
  for (int i = 0; i < D / 16; i++)
    load_matrices(left[i], &queries[warp * 16 + lane % 16][i * 16 + lane / 16 * 8]);
  float sums[D / 8][4] = {}, top[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  const float to_base2 = scale * 1.4426950408889634f;
  for (int start = 0; start <= first; start += rows) {
    load_rows(keys, k, start, T);
    copy_commit();
    load_rows(values, v, start, T);
    copy_commit();
    copy_wait<1>();
    __syncthreads();
    float scores[rows / 8][4] = {};
    for (int i = 0; i < D / 16; i++) {
      for (int n = 0; n < rows / 16; n++) {
        uint32_t right[4];
        load_matrices(right, &keys[n * 16 + lane % 8 + lane / 16 * 8][i * 16 + lane / 8 % 2 * 8]);
        mma(scores[n * 2], left[i], right[0], right[1]);
        mma(scores[n * 2 + 1], left[i], right[2], right[3]);
      }
    }
    // A thread has two rows, 8 apart, and of each two columns a tile; four threads share a row.
    float best[2] = {top[0], top[1]};
    for (int n = 0; n < rows / 8; n++) {
      for (int i = 0; i < 4; i++) {
        const int query = first + warp * 16 + lane / 4 + i / 2 * 8,
                  key = start + n * 8 + lane % 4 * 2 + i % 2;
        scores[n][i] = key <= query && key < T ? scores[n][i] * to_base2 : -INFINITY;
        best[i / 2] = fmaxf(best[i / 2], scores[n][i]);
      }
    }
    for (int r = 0; r < 2; r++) {
      best[r] = fmaxf(best[r], __shfl_xor_sync(0xffffffffu, best[r], 1));
      best[r] = fmaxf(best[r], __shfl_xor_sync(0xffffffffu, best[r], 2));
      const float shrink = exp2f(top[r] - best[r]);
      total[r] *= shrink;
      for (int n = 0; n < D / 8; n++) sums[n][r * 2] *= shrink, sums[n][r * 2 + 1] *= shrink;
      top[r] = best[r];
    }
    for (int n = 0; n < rows / 8; n++) {
      for (int i = 0; i < 4; i++) {
        scores[n][i] = exp2f(scores[n][i] - top[i / 2]);
        total[i / 2] += scores[n][i];
      }
    }
    if (wait) copy_wait<0>();
    __syncthreads();
    for (int i = 0; i < rows / 16; i++) {
      const float (&low)[4] = scores[i * 2], (&high)[4] = scores[i * 2 + 1];
      const uint32_t p[4] = {pack(low[0], low[1]), pack(low[2], low[3]), pack(high[0], high[1]),
                             pack(high[2], high[3])};
      for (int n = 0; n < D / 16; n++) {
        uint32_t right[4];
        load_matrices_transposed(right, &values[i * 16 + lane % 16][n * 16 + lane / 16 * 8]);
        mma(sums[n * 2], p, right[0], right[1]);
        mma(sums[n * 2 + 1], p, right[2], right[3]);
      }
    }
    if (barrier) __syncthreads();
  }
  for (int r = 0; r < 2; r++) {
    total[r] += __shfl_xor_sync(0xffffffffu, total[r], 1);
    total[r] += __shfl_xor_sync(0xffffffffu, total[r], 2);
    const int query = first + warp * 16 + lane / 4 + r * 8;
    if (query >= T) continue;
    if (lane % 4 == 0) l[query] = (top[r] + log2f(total[r])) * 0.6931471805599453f;
    for (int n = 0; n < D / 8; n++) {
      float* at = o + static_cast<size_t>(query) * D + n * 8 + lane % 4 * 2;
      at[0] = sums[n][r * 2] / total[r], at[1] = sums[n][r * 2 + 1] / total[r];
    }
  }
}

extern "C" __global__ void attention(float* o, float* l, const bf16* q, const bf16* k, const bf16* v, int T,
                                     float scale) {
  attend<true, true>(o, l, q, k, v, T, scale);
}

// Planted: the values are used before their copy is waited for.
extern "C" __global__ void attention_unwaited(float* o, float* l, const bf16* q, const bf16* k,
                                              const bf16* v, int T, float scale) {
  attend<false, true>(o, l, q, k, v, T, scale);
}

// Planted: the next keys and values may come while other warps still read these.
extern "C" __global__ void attention_unsynced(float* o, float* l, const bf16* q, const bf16* k,
                                              const bf16* v, int T, float scale) {
  attend<true, false>(o, l, q, k, v, T, scale);
}
