// Maths, Plan and Numbers stand in cpu/layernorm.cc.
#pragma once
#include "cpu/simd/prefetch.h"

namespace gptloom::cpu {
namespace {

inline float row_sum(const float* x, int64_t C) {
  constexpr int w = Vec::width;
  Vec s0 = Vec::zero(), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * w <= C; i += 4 * w) {
    s0 = s0 + Vec::load(x + i);
    s1 = s1 + Vec::load(x + i + w);
    s2 = s2 + Vec::load(x + i + 2 * w);
    s3 = s3 + Vec::load(x + i + 3 * w);
  }
  for (; i + w <= C; i += w) s0 = s0 + Vec::load(x + i);
  if (i < C) s1 = s1 + Vec::load_part(x + i, static_cast<int>(C - i));
  return reduce_add((s0 + s1) + (s2 + s3));
}

inline Vec add_square(Vec sum, Vec deviation) { return fma(deviation, deviation, sum); }

inline float row_squares(const float* x, int64_t C, float mean) {
  constexpr int w = Vec::width;
  const Vec m = Vec::set(mean);
  Vec s0 = Vec::zero(), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * w <= C; i += 4 * w) {
    s0 = add_square(s0, Vec::load(x + i) - m);
    s1 = add_square(s1, Vec::load(x + i + w) - m);
    s2 = add_square(s2, Vec::load(x + i + 2 * w) - m);
    s3 = add_square(s3, Vec::load(x + i + 3 * w) - m);
  }
  for (; i + w <= C; i += w) s0 = add_square(s0, Vec::load(x + i) - m);
  if (i < C) {
    // Lanes past the end must deviate by nothing, so the mean is cut off there as x is.
    const int rest = static_cast<int>(C - i);
    float means[w];
    m.store(means);
    s1 = add_square(s1, Vec::load_part(x + i, rest) - Vec::load_part(means, rest));
  }
  return reduce_add((s0 + s1) + (s2 + s3));
}

// How far ahead the next row is, or the one after it where rows are short.
inline int64_t next_row(int64_t C) { return std::max(C, prefetch_distance); }

template <bool with_bias>
void normalize_row(float* out, const float* x, const float* weight, const float* bias, int64_t C,
                   float mean, float rstd) {
  constexpr int w = Vec::width;
  const Vec m = Vec::set(mean), r = Vec::set(rstd);
  const int64_t next = next_row(C);
  int64_t i = 0;
  for (; i + w <= C; i += w) {
    prefetch(x + i + next);
    GPTLOOM_PREFETCH_WRITE(out + i + next);
    const Vec h = (Vec::load(x + i) - m) * r, scale = Vec::load(weight + i);
    (with_bias ? fma(h, scale, Vec::load(bias + i)) : h * scale).store(out + i);
  }
  const int rest = static_cast<int>(C - i);
  if (!rest) return;
  const Vec h = (Vec::load_part(x + i, rest) - m) * r, scale = Vec::load_part(weight + i, rest);
  (with_bias ? fma(h, scale, Vec::load_part(bias + i, rest)) : h * scale).store_part(out + i, rest);
}

void layernorm_forward_rows(float* out, float* mean, float* rstd, const float* x,
                            const float* weight, const float* bias, int64_t rows, int64_t C,
                            float epsilon) {
  const float share = 1 / static_cast<float>(C);
  for (int64_t row = 0; row < rows; row++, x += C, out += C) {
    const float m = row_sum(x, C) * share;
    const float r = 1 / std::sqrt(row_squares(x, C, m) * share + epsilon);
    bias ? normalize_row<true>(out, x, weight, bias, C, m, r)
         : normalize_row<false>(out, x, weight, bias, C, m, r);
    if (mean) mean[row] = m, rstd[row] = r;
  }
}

// ---- backward
// ------------------------------------------------------------------------------------

struct RowSums {
  Vec g, gh;  // of g = dout weight and of g h
};

// One vector of the first pass: adds to the row's sums and, with params, gives dout h and dout.
GPTLOOM_INLINE Vec sum_vector(RowSums& sums, Vec d, Vec x, Vec weight, Vec mean, Vec rstd) {
  const Vec h = (x - mean) * rstd, g = d * weight;
  sums.g = sums.g + g;
  sums.gh = fma(g, h, sums.gh);
  return h;
}

template <bool with_params>
RowSums first_pass(float* dweight, float* dbias, const float* dout, const float* x,
                   const float* weight, int64_t C, Vec mean, Vec rstd) {
  constexpr int w = Vec::width;
  RowSums even{Vec::zero(), Vec::zero()}, odd = even;
  const int64_t next = next_row(C);
  int64_t i = 0;
  for (; i + 2 * w <= C; i += 2 * w) {
    for (int64_t at = i; at < i + 2 * w; at += line_floats) {
      prefetch(dout + at + next);
      prefetch(x + at + next);
    }
    const Vec d0 = Vec::load(dout + i), d1 = Vec::load(dout + i + w);
    const Vec h0 = sum_vector(even, d0, Vec::load(x + i), Vec::load(weight + i), mean, rstd);
    const Vec h1 = sum_vector(odd, d1, Vec::load(x + i + w), Vec::load(weight + i + w), mean, rstd);
    if (!with_params) continue;
    fma(d0, h0, Vec::load(dweight + i)).store(dweight + i);
    fma(d1, h1, Vec::load(dweight + i + w)).store(dweight + i + w);
    (Vec::load(dbias + i) + d0).store(dbias + i);
    (Vec::load(dbias + i + w) + d1).store(dbias + i + w);
  }
  while (i < C) {  // lanes past the end: dout is 0 there, so that they add nothing
    const int rest = static_cast<int>(std::min<int64_t>(w, C - i));
    const Vec d = Vec::load_part(dout + i, rest);
    const Vec h = sum_vector(even, d, Vec::load_part(x + i, rest), Vec::load_part(weight + i, rest),
                             mean, rstd);
    if (with_params) {
      fma(d, h, Vec::load_part(dweight + i, rest)).store_part(dweight + i, rest);
      (Vec::load_part(dbias + i, rest) + d).store_part(dbias + i, rest);
    }
    i += rest;
  }
  return {even.g + odd.g, even.gh + odd.gh};
}

// dx (+)= rstd g - (mean_g rstd + h mean_gh rstd)
template <bool accumulate>
void second_pass(float* dx, const float* dout, const float* x, const float* weight, int64_t C,
                 Vec mean, Vec rstd, Vec mean_g, Vec mean_gh) {
  constexpr int w = Vec::width;
  const int64_t next = next_row(C);
  int64_t i = 0;
  for (; i + w <= C; i += w) {
    GPTLOOM_PREFETCH_WRITE(dx + i + next);
    const Vec h = (Vec::load(x + i) - mean) * rstd;
    const Vec g = Vec::load(dout + i) * Vec::load(weight + i);
    const Vec centred = (g - mean_g) - h * mean_gh;
    (accumulate ? fma(centred, rstd, Vec::load(dx + i)) : centred * rstd).store(dx + i);
  }
  const int rest = static_cast<int>(C - i);
  if (!rest) return;
  const Vec h = (Vec::load_part(x + i, rest) - mean) * rstd;
  const Vec g = Vec::load_part(dout + i, rest) * Vec::load_part(weight + i, rest);
  const Vec centred = (g - mean_g) - h * mean_gh;
  (accumulate ? fma(centred, rstd, Vec::load_part(dx + i, rest)) : centred * rstd)
      .store_part(dx + i, rest);
}

void layernorm_backward_rows(float* dx, float* dparams, const float* dout, const float* x,
                             const float* weight, const float* mean, const float* rstd,
                             int64_t rows, int64_t C, bool accumulate_dx) {
  const float share = 1 / static_cast<float>(C);
  if (dparams) std::fill(dparams, dparams + 2 * C, 0.0f);
  for (int64_t row = 0; row < rows; row++, dout += C, x += C) {
    const Vec m = Vec::set(mean[row]), r = Vec::set(rstd[row]);
    const RowSums sums = dparams ? first_pass<true>(dparams, dparams + C, dout, x, weight, C, m, r)
                                 : first_pass<false>(nullptr, nullptr, dout, x, weight, C, m, r);
    if (!dx) continue;
    const Vec mean_g = Vec::set(reduce_add(sums.g) * share);
    const Vec mean_gh = Vec::set(reduce_add(sums.gh) * share);
    float* to = dx + row * C;
    accumulate_dx ? second_pass<true>(to, dout, x, weight, C, m, r, mean_g, mean_gh)
                  : second_pass<false>(to, dout, x, weight, C, m, r, mean_g, mean_gh);
  }
}

constexpr LayernormKernels layernorm_kernels{layernorm_forward_rows, layernorm_backward_rows};

}  // namespace
}  // namespace gptloom::cpu
