// Maths (Vaswani et al. 2017; without a T x T matrix: Milakov & Gimelshein 2018, Dao et al. 2022):
//   s = q k^T / sqrt(D), p = softmax(s) over the keys [starts[b, t], past + t] of query t, with a
//   window of these the last so many (Child et al. 2019), out = p v, lse = log sum exp s. Keys come
//   a tile at a time: with the greatest score so far m' = max(m, s), sums so far are multiplied by
//   2^(m - m'), scores being in units of ln 2. Backward: delta = sum_d dout out, dp = dout v^T, ds =
//   p (dp - delta), dq = ds k / sqrt(D), dk = ds^T q / sqrt(D), dv = p^T dout, where p is
//   made anew from lse. With dropout z (0 or 1 / (1 - dropout)): out = (p z) v, dp z takes
//   the place of dp, dv = (p z)^T dout.
// Layout: qkv [B, T, 3 H D] = q | k | v, each [H, D]; out, dout [B, T, H D]; lse [B, H, T] float32;
//   caches [B, H, capacity, D]. Shared memory: tiles of rows, permuted so that no load meets a bank
//   twice. Rows take 16-byte accesses where D and the tensors allow, else any alignment will do.
// Plan: forward: a block keeps some queries and their sums in registers while the keys pass by, one
//   tile being fetched while the one before it is used; tiles before the first document or behind
//   the diagonal are left out, by the block and again by each warp. Backward in two passes: over
//   blocks of queries (dq, delta, and notes for the other pass), and over blocks of keys (dk, dv),
//   whose scores stand transposed so that weights go from one product to the next in registers.
//   That is 7 products instead of the 5 of one pass, which would have to add up dq over key blocks
//   in a fixed order: per tile of 128 x 128 and D = 64 this costs 4.2 MFLOP more and saves 64 KB of
//   partial dq, 13 ns against 32 ns on an A100 (312 TFLOP/s, 2 TB/s), and memory that grows with
//   T^2. D to 128 is rounded up to 32, 64, 96 or 128; larger ones, and where a block may not have
//   enough shared memory, go to attention_any.cuh. One new query is split over the keys,
//   attention_cached.cuh.
// Numbers: sums and softmax in float32. bfloat16 multiplies on tensor cores, p and ds being rounded
//   to bfloat16 for their second product; float32 with fused multiply-adds. With T keys about
//   2^-9 |p| |v| and 1e-6. Sums have one order: the same input gives the same bits. Bound by flops:
//   4 D forward and 14 D backward a pair of query and key that meet.
#include "attention_any.cuh"
#include "attention_backward.cuh"
#include "attention_cached.cuh"
#include "attention_forward.cuh"

// ---- kernels ----

#define ATTENTION_KERNEL(name, ...)                                  \
  extern "C" __global__ void __launch_bounds__(attention_threads, 1) \
      attention_##name(const __grid_constant__ AttentionTask task) { \
    __VA_ARGS__(task);                                               \
  }

#define ATTENTION_TILES(Engine, width, dtype)                                                   \
  ATTENTION_KERNEL(forward_d##width##_##dtype,                                                  \
                   attention_forward<Engine<AttentionPass::kAttentionForward, width>>)          \
  ATTENTION_KERNEL(backward_queries_d##width##_##dtype,                                         \
                   attention_backward_queries<Engine<AttentionPass::kAttentionQueries, width>>) \
  ATTENTION_KERNEL(backward_keys_d##width##_##dtype,                                            \
                   attention_backward_keys<Engine<AttentionPass::kAttentionKeys, width>,        \
                                           Engine<AttentionPass::kAttentionQueries, width>::rows>)

#define ATTENTION_ROWS(T, dtype)                                                    \
  ATTENTION_KERNEL(forward_any_##dtype, attention_forward_any<T>)                   \
  ATTENTION_KERNEL(backward_queries_any_##dtype, attention_backward_queries_any<T>) \
  ATTENTION_KERNEL(backward_keys_any_##dtype, attention_backward_keys_any<T>)       \
  ATTENTION_KERNEL(cached_append_##dtype, attention_cached_append<T>)               \
  ATTENTION_KERNEL(cached_split_##dtype, attention_cached_split<T>)                 \
  ATTENTION_KERNEL(cached_join_##dtype, attention_cached_join<T>)

ATTENTION_ROWS(float, f32)
ATTENTION_TILES(Exact, 32, f32)
ATTENTION_TILES(Exact, 64, f32)
ATTENTION_TILES(Exact, 96, f32)
ATTENTION_TILES(Exact, 128, f32)
ATTENTION_ROWS(bf16, bf16)
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
ATTENTION_TILES(TensorCores, 32, bf16)
ATTENTION_TILES(TensorCores, 64, bf16)
ATTENTION_TILES(TensorCores, 96, bf16)
ATTENTION_TILES(TensorCores, 128, bf16)
#endif
