// What the attention kernels do to single rows and vectors.
#pragma once

namespace gptloom::cpu {
namespace {
namespace attention {

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

inline float dot(const float* a, const float* b, int64_t n) {
  Vec sum = Vec::zero();
  int64_t i = 0;
  for (; i + Vec::width <= n; i += Vec::width) sum = fma(Vec::load(a + i), Vec::load(b + i), sum);
  if (i < n) {
    const int part = static_cast<int>(n - i);
    sum = fma(Vec::load_part(a + i, part), Vec::load_part(b + i, part), sum);
  }
  return reduce_add(sum);
}

// Scores of blocks are in units of ln 2, so that softmax takes powers of 2: fewer steps than exp.
constexpr float log2_e = 1.44269504f, ln_2 = 0.693147181f;

// to[D] (+)= factor * from[D]
inline void put_row(float* to, const float* from, int64_t D, float factor, bool accumulate) {
  const Vec by = Vec::set(factor);
  int64_t d = 0;
  for (; d + Vec::width <= D; d += Vec::width) {
    const Vec x = Vec::load(from + d);
    (accumulate ? fma(x, by, Vec::load(to + d)) : x * by).store(to + d);
  }
  if (d == D) return;
  const int part = static_cast<int>(D - d);
  const Vec x = Vec::load_part(from + d, part);
  (accumulate ? fma(x, by, Vec::load_part(to + d, part)) : x * by).store_part(to + d, part);
}

// The first key that query t sees. A start past the query itself is taken for the query's own
// position.
inline int64_t first_key(const AttentionHead& head, int64_t t) {
  const int64_t position = head.past + t;
  const int64_t first = head.window > 0 ? std::max<int64_t>(position - head.window + 1, 0) : 0;
  if (!head.starts) return first;
  return std::min(std::max<int64_t>(head.starts[t], first), position);
}

// Dropout on weights[n] of query t, the first of which is for `key`.
inline void drop_weights(float* weights, const AttentionHead& head, int64_t t, int64_t key, int n) {
  dropout_range(weights, weights, n, head.element + static_cast<uint64_t>(t * head.T + key),
                head.drop_threshold, head.keep_scale, head.seed, head.stream, false);
}

}  // namespace attention
}  // namespace
}  // namespace gptloom::cpu
