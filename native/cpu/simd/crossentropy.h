// Softmax cross-entropy of one row.
//
// Maths: m = max x, S = sum exp(x - m); loss = log S + m - x[target]; dx = exp(x - m) / S - [i =
//   target]. With label smoothing e (Szegedy et al. 2016) the target keeps 1 - e, and e / V goes to
//   each: loss = log S + m - (1 - e) x[target] - e mean x, and both are taken off dx.
// Plan: three passes over a row that stays in L2 (two without a gradient): the maximum, the sum of
//   the exponentials, and the gradient, for which they are computed again: that is less than writing
//   and reading them. Smoothing takes one more, for the mean. Meanwhile the next row, and where its
//   gradient goes, are asked for: nothing of memory is waited for but the first row. A gradient that
//   no cache holds is written past them, which saves reading what it overwrites.
// Numbers: exp(x - m) = 2^((x - m) log2 e), the more exact the nearer to the maximum: |x - m| 4e-8 and
//   1e-7 relative. Pieces of 1024 are summed in float on four vectors, the pieces in double: S
//   within 1e-7 relative for any V. A NaN among the logits reaches S, whatever the maximum made of
//   it, and so the loss.
#pragma once

namespace gptloom::cpu {
namespace {
namespace crossentropy {

constexpr int lanes = 4 * Vec::width;

inline float row_max(const float* x, int64_t n) {
  float top = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
  if (n >= lanes) {
    Vec t[4];
    GPTLOOM_UNROLL
    for (int j = 0; j < 4; j++) t[j] = Vec::load(x + j * Vec::width);
    for (i = lanes; i + lanes <= n; i += lanes) {
      GPTLOOM_UNROLL
      for (int j = 0; j < 4; j++) t[j] = max(t[j], Vec::load(x + i + j * Vec::width));
    }
    top = reduce_max(max(max(t[0], t[1]), max(t[2], t[3])));
  }
  for (; i < n; i++) top = std::max(top, x[i]);
  return top;
}

// exp(x - top)
GPTLOOM_INLINE Vec weight(Vec x, Vec top) { return power_of_2((x - top) * Vec::set(1.44269504f)); }

// The sum of exp(x - top).
inline double exp_sum(const float* x, int64_t n, float top) {
  const Vec shift = Vec::set(top);
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += 1024) {
    const int64_t end = std::min(n, begin + 1024);
    Vec sum[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      GPTLOOM_UNROLL
      for (int j = 0; j < 4; j++) {
        GPTLOOM_PREFETCH_FAR(x + n + i + j * Vec::width);
        sum[j] = sum[j] + weight(Vec::load(x + i + j * Vec::width), shift);
      }
    }
    for (; i < end; i += Vec::width) {
      const int part = static_cast<int>(std::min<int64_t>(Vec::width, end - i));
      float padded[Vec::width];
      std::fill(padded, padded + Vec::width, -std::numeric_limits<float>::infinity());
      std::copy(x + i, x + i + part, padded);
      sum[0] = sum[0] + weight(Vec::load(padded), shift);
    }
    total += static_cast<double>(reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3])));
  }
  return total;
}

// The sum of top - x.
inline double depth_sum(const float* x, int64_t n, float top) {
  const Vec shift = Vec::set(top);
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += 1024) {
    const int64_t end = std::min(n, begin + 1024);
    Vec sum[4] = {Vec::zero(), Vec::zero(), Vec::zero(), Vec::zero()};
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      GPTLOOM_UNROLL
      for (int j = 0; j < 4; j++) sum[j] = sum[j] + (shift - Vec::load(x + i + j * Vec::width));
    }
    total += static_cast<double>(reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3])));
    for (; i < end; i++) total += static_cast<double>(top - x[i]);
  }
  return total;
}

enum class Into { place, caches, memory };

// dx = exp(x - top) factor - less
template <Into into>
void gradient(float* dx, const float* x, int64_t n, float top, float factor, float less) {
  const Vec shift = Vec::set(top), by = Vec::set(factor), minus = Vec::set(less);
  constexpr int64_t bytes = sizeof(float) * Vec::width;
  const int64_t past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(dx) % bytes);
  int64_t i = 0;
  if (into == Into::memory && past) {  // up to where whole vectors may go
    i = std::min<int64_t>(n, (bytes - past) / static_cast<int64_t>(sizeof(float)));
    const int part = static_cast<int>(i);
    (weight(Vec::load_part(x, part), shift) * by - minus).store_part(dx, part);
  }
  for (; i + lanes <= n; i += lanes) {
    GPTLOOM_UNROLL
    for (int j = 0; j < 4; j++) {
      const int64_t at = i + j * Vec::width;
      if (into == Into::caches) GPTLOOM_PREFETCH_FAR(dx + n + at);
      const Vec value = weight(Vec::load(x + at), shift) * by - minus;
      into == Into::memory ? value.stream(dx + at) : value.store(dx + at);
    }
  }
  for (; i < n; i += Vec::width) {
    const int part = static_cast<int>(std::min<int64_t>(Vec::width, n - i));
    (weight(Vec::load_part(x + i, part), shift) * by - minus).store_part(dx + i, part);
  }
}

inline float row(float* dlogits, const float* logits, int32_t target, int64_t V, float smoothing,
                 bool past_caches) {
  const float top = row_max(logits, V), chosen = logits[target];
  const double keep = 1 - static_cast<double>(smoothing);
  const double mean = smoothing > 0 ? depth_sum(logits, V, top) / static_cast<double>(V) : 0;
  const double total = exp_sum(logits, V, top);
  if (dlogits) {
    (dlogits == logits ? gradient<Into::place>
     : past_caches     ? gradient<Into::memory>
                       : gradient<Into::caches>)(dlogits, logits, V, top,
                                                 static_cast<float>(1 / total),
                                                 smoothing / static_cast<float>(V));
    dlogits[target] -= static_cast<float>(keep);
  }
  return static_cast<float>(std::log(total) +
                            keep * (static_cast<double>(top) - static_cast<double>(chosen)) +
                            static_cast<double>(smoothing) * mean);
}

}  // namespace crossentropy

constexpr CrossEntropyKernels crossentropy_kernels{crossentropy::row};

}  // namespace
}  // namespace gptloom::cpu
