// Causal attention forward from the simplest on, in bfloat16, to read what each step of
// cuda/attention.cu gains. qkv is [B, T, 3 C], out [B, T, C], a head has 64 channels. Compile with
// cuda/ as an include path.
//   1        the T x T scores of every head stand in memory as float32: written, read and written
//            by the softmax, read again; a thread makes an element, lanes read keys 6 C bytes apart
//   2        a warp a query, the sum kept online: no T x T matrix, whole sectors; but every query
//            reads every key and value anew, and multiplies them lane by lane
//   shipped  the queries of a block share each tile of keys and values, products on tensor cores
#include "common.cuh"

constexpr int threads = 256, D = 64;

__device__ inline const bf16* head_of(const bf16* qkv, int t, int part, int pair, int T, int H) {
  const int64_t row = static_cast<int64_t>(pair / H) * T + t;
  return qkv + (row * 3 + part) * H * D + pair % H * D;
}

// For [T / 32, B H T / 8] blocks of 32 x 8 threads.
extern "C" __global__ void attention_scores_1_bf16(float* scores, const bf16* qkv, int32_t T,
                                                   int32_t H) {
  const int s = blockIdx.x * 32 + threadIdx.x;
  const int64_t row = static_cast<int64_t>(blockIdx.y) * 8 + threadIdx.y;
  const int pair = static_cast<int>(row / T), t = static_cast<int>(row % T);
  if (s >= T) return;
  const bf16 *q = head_of(qkv, t, 0, pair, T, H), *k = head_of(qkv, s, 1, pair, T, H);
  float sum = 0;
  for (int d = 0; d < D; d++) sum += to_float(q[d]) * to_float(k[d]);
  scores[row * T + s] = s <= t ? sum / 8 : -INFINITY;
}

// For ceil(B H T / 256) blocks.
extern "C" __global__ void attention_softmax_1_bf16(float* scores, int64_t rows, int32_t T) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (row >= rows) return;
  float* const x = scores + row * T;
  float top = -INFINITY, sum = 0;
  for (int s = 0; s < T; s++) top = fmaxf(top, x[s]);
  for (int s = 0; s < T; s++) sum += expf(x[s] - top);
  for (int s = 0; s < T; s++) x[s] = expf(x[s] - top) / sum;
}

// For [2, B H T / 8] blocks of 32 x 8 threads.
extern "C" __global__ void attention_values_1_bf16(bf16* out, const float* scores, const bf16* qkv,
                                                   int32_t T, int32_t H) {
  const int d = blockIdx.x * 32 + threadIdx.x;
  const int64_t row = static_cast<int64_t>(blockIdx.y) * 8 + threadIdx.y;
  const int pair = static_cast<int>(row / T), t = static_cast<int>(row % T);
  float sum = 0;
  for (int s = 0; s < T; s++) {
    sum += scores[row * T + s] * to_float(head_of(qkv, s, 2, pair, T, H)[d]);
  }
  const int64_t to = (static_cast<int64_t>(pair / H) * T + t) * H * D + pair % H * D;
  out[to + d] = from_float<bf16>(sum);
}

// For B H T / 8 blocks: a lane has two channels.
extern "C" __global__ void attention_2_bf16(bf16* out, const bf16* qkv, int32_t T, int32_t H) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (threads / warp_size) + warp_index();
  const int pair = static_cast<int>(row / T), t = static_cast<int>(row % T), d = lane_index() * 2;
  float q[2], k[2], v[2], sums[2] = {}, top = -INFINITY, total = 0;
  load(q, head_of(qkv, t, 0, pair, T, H) + d);
  for (int s = 0; s <= t; s++) {
    load(k, head_of(qkv, s, 1, pair, T, H) + d);
    load(v, head_of(qkv, s, 2, pair, T, H) + d);
    const float score = warp_sum(q[0] * k[0] + q[1] * k[1]) / 8, higher = fmaxf(top, score);
    const float keep = expf(top - higher), weight = expf(score - higher);
    total = total * keep + weight;
    for (int i = 0; i < 2; i++) sums[i] = sums[i] * keep + weight * v[i];
    top = higher;
  }
  for (float& sum : sums) sum /= total;
  store(out + (static_cast<int64_t>(pair / H) * T + t) * H * D + pair % H * D + d, sums);
}
