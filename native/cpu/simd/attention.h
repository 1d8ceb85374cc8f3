// The attention kernels: blocks of queries (attention_forward.h, attention_backward.h), and one
// query at a time here.
//
// Maths: out = softmax(q k^T / sqrt(D)) v for one q.
// Plan: four keys at a time against q, the softmax over all scores in scratch, then the rows of v
//   summed into registers, four vectors of D wide. Every byte of k and v is read once.
// Numbers: float; bound by the bytes of the cache.
#pragma once
#include "cpu/attention_head.h"

#include "cpu/simd/random.h"

#include "cpu/simd/attention_rows.h"
#include "cpu/simd/attention_ahead.h"
#include "cpu/simd/attention_tile.h"
#include "cpu/simd/attention_visible.h"

#include "cpu/simd/attention_forward.h"
#include "cpu/simd/attention_backward.h"

namespace gptloom::cpu {
namespace {
namespace attention {

// The processor's own prefetching stops at the end of a page: rows are asked for 8 KB ahead.
inline int64_t rows_ahead(int64_t D) { return std::max<int64_t>(2048 / D, 1); }

// out[N * width or, in the last vector, less] = factor * the sum over keys of p[s] v[s].
template <int N>
void weigh_values(float* out, const float* p, const float* v, int64_t stride, int64_t keys,
                  int last_lanes, float factor) {
  Vec sum[N];
  GPTLOOM_UNROLL
  for (int n = 0; n < N; n++) sum[n] = Vec::zero();
  const int64_t ahead = rows_ahead(N * Vec::width);
  for (int64_t s = 0; s < keys; s++, v += stride) {
    if (s + ahead < keys) ask_row(v + ahead * stride, N * Vec::width);
    const Vec weight = Vec::set(p[s]);
    GPTLOOM_UNROLL
    for (int n = 0; n < N - 1; n++) sum[n] = fma(weight, Vec::load(v + n * Vec::width), sum[n]);
    const float* end = v + (N - 1) * Vec::width;
    const bool whole = last_lanes == Vec::width;
    sum[N - 1] = fma(weight, whole ? Vec::load(end) : Vec::load_part(end, last_lanes), sum[N - 1]);
  }
  GPTLOOM_UNROLL
  for (int n = 0; n < N - 1; n++) (sum[n] * Vec::set(factor)).store(out + n * Vec::width);
  (sum[N - 1] * Vec::set(factor)).store_part(out + (N - 1) * Vec::width, last_lanes);
}

// scores[keys] = scale * k q. Behind the keys the rows at `then` are asked for.
inline void score_keys(float* scores, const float* q, const float* k, int64_t stride, int64_t keys,
                       int64_t D, float scale, const float* then) {
  const int64_t ahead = rows_ahead(D);
  int64_t s = 0;
  for (; s + 4 <= keys; s += 4, k += 4 * stride) {
    const int64_t next = s + ahead;
    const float* rows = next < keys ? k + ahead * stride : then + (next - keys) * stride;
    for (int i = 0; i < 4; i++) ask_row(rows + i * stride, D);
    Vec sum[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
    int64_t d = 0;
    for (; d + Vec::width <= D; d += Vec::width) {
      const Vec x = Vec::load(q + d);
      GPTLOOM_UNROLL
      for (int i = 0; i < 4; i++) sum[i] = fma(Vec::load(k + i * stride + d), x, sum[i]);
    }
    if (d < D) {
      const int part = static_cast<int>(D - d);
      const Vec x = Vec::load_part(q + d, part);
      GPTLOOM_UNROLL
      for (int i = 0; i < 4; i++) sum[i] = fma(Vec::load_part(k + i * stride + d, part), x, sum[i]);
    }
    GPTLOOM_UNROLL
    for (int i = 0; i < 4; i++) scores[s + i] = scale * reduce_add(sum[i]);
  }
  for (; s < keys; s++, k += stride) scores[s] = scale * dot(q, k, D);
}

// out[D] for query t. Scratch: past + t + 1 floats, rounded up to 16.
inline void row(const AttentionHead& head, float* out, int64_t t, float* scratch) {
  const int64_t D = head.D, keys = head.past + t + 1, first = first_key(head, t);
  const int64_t n = keys - first, padded = round_up(n, Vec::width);
  const float* v = head.v + first * head.kv_stride;
  score_keys(scratch, head.q + t * head.q_stride, head.k + first * head.kv_stride, head.kv_stride,
             n, D, 1 / std::sqrt(static_cast<float>(D)), v);
  std::fill(scratch + n, scratch + padded, -std::numeric_limits<float>::infinity());
  Vec top = Vec::load(scratch), sum = Vec::zero();
  for (int64_t s = Vec::width; s < padded; s += Vec::width) top = max(top, Vec::load(scratch + s));
  top = Vec::set(reduce_max(top));
  for (int64_t s = 0; s < padded; s += Vec::width) {
    const Vec p = exp(Vec::load(scratch + s) - top);
    p.store(scratch + s);
    sum = sum + p;
  }
  const float factor = 1 / reduce_add(sum);
  for (int64_t d = 0; d < D; d += 4 * Vec::width) {
    const int left = static_cast<int>(std::min<int64_t>(D - d, 4 * Vec::width));
    const int vectors = (left + Vec::width - 1) / Vec::width;
    const int lanes = left - (vectors - 1) * Vec::width;
    (vectors == 4   ? weigh_values<4>
     : vectors == 3 ? weigh_values<3>
     : vectors == 2 ? weigh_values<2>
                    : weigh_values<1>)(out + d, scratch, v + d, head.kv_stride, n, lanes, factor);
  }
}

}  // namespace attention

constexpr AttentionKernels attention_kernels{attention::forward, attention::backward,
                                             attention::sum_parts, attention::row};

}  // namespace
}  // namespace gptloom::cpu
