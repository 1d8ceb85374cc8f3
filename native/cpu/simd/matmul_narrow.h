// Products of few rows, as in generation. The plan above them is cpu/matmul_narrow.cc.
//
// Plan: weights are read once, as they lie: rows of b side by side, or squares of a transposed b
//   through registers. Sums of some columns stay in L1 while k runs.
// Numbers: matmul.h's: every element is one chain of multiply-adds in order of k within a block of
//   K, and blocks are added in order, so that a row's result does not depend on how many are
//   computed with it. Bound by the bytes of the weights.
#pragma once

namespace gptloom::cpu {
namespace {
namespace matmul_detail {

constexpr int narrow_rows = 8;

template <Gelu form>
void narrow_finish_as(const MatmulNarrow& s, int64_t j, const float* sums, int64_t sums_stride,
                      int64_t columns) {
  for (int64_t i = 0; i < s.rows; i++) {
    const int64_t row = i * s.stride + j;
    for (int64_t c = 0; c < columns; c += W) {
      const int n = static_cast<int>(std::min<int64_t>(columns - c, W));
      Vec x = load_some(sums + i * sums_stride + c, n);
      if (form != Gelu::none && s.slope) x = x * gelu_slope<form>(load_some(s.slope + row + c, n));
      if (s.accumulate) x = x + load_some(s.out + row + c, n);
      if (s.bias) x = x + load_some(s.bias + j + c, n);
      if (s.pre) store_some(x, s.pre + row + c, n);
      if (form != Gelu::none && !s.slope) x = gelu<form>(x);
      if (s.residual) x = x + load_some(s.residual + row + c, n);
      store_some(x, s.out + row + c, n);
    }
  }
}
void narrow_finish(const MatmulNarrow& s, int64_t j, const float* sums, int64_t sums_stride,
                   int64_t columns) {
  switch (s.gelu) {
    case Gelu::none:
      return narrow_finish_as<Gelu::none>(s, j, sums, sums_stride, columns);
    case Gelu::tanh:
      return narrow_finish_as<Gelu::tanh>(s, j, sums, sums_stride, columns);
    case Gelu::exact:
      return narrow_finish_as<Gelu::exact>(s, j, sums, sums_stride, columns);
  }
}

// sums[R, columns] += a[R, D] b[D, columns]: D rows of b are read side by side. Meanwhile as much of
// what lies at `ahead`, rows that follow, is asked for, in order of addresses, which is what memory
// is fastest at; the rows next in turn, which it has brought into L2 by now, come into L1.
template <int R, int D>
void narrow_step(float* sums, int64_t sums_stride, const float* a, int64_t depth, const float* b,
                 int64_t b_stride, int64_t columns, const float* ahead) {
  int64_t asked = 0;
  for (int64_t c = 0; c < columns; c += W) {
    const int n = static_cast<int>(std::min<int64_t>(columns - c, W));
    Vec x[D], acc[R];
    GPTLOOM_UNROLL
    for (int d = 0; d < D; d++) {
      GPTLOOM_PREFETCH_FAR(ahead + asked);
      asked += W;
      if (asked >= columns) asked = 0, ahead += b_stride;
      GPTLOOM_PREFETCH(b + (d + D) * b_stride + c);
      x[d] = load_some(b + d * b_stride + c, n);
    }
    GPTLOOM_UNROLL
    for (int i = 0; i < R; i++) acc[i] = Vec::load(sums + i * sums_stride + c);
    GPTLOOM_UNROLL
    for (int d = 0; d < D; d++) {
      GPTLOOM_UNROLL
      for (int i = 0; i < R; i++) acc[i] = fma(Vec::set(a[i * depth + d]), x[d], acc[i]);
    }
    GPTLOOM_UNROLL
    for (int i = 0; i < R; i++) acc[i].store(sums + i * sums_stride + c);
  }
}

// total += sums over R rows; the first block's sums are made in total itself.
void narrow_add(float* total, const float* sums, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t c = 0; c < columns; c += W) {
      float* const at = total + i * stride + c;
      (Vec::load(sums + i * stride + c) + Vec::load(at)).store(at);
    }
  }
}

template <int R>
void narrow_rows_of(const MatmulNarrow& s) {
  constexpr int D = 4, most = std::max(2048 / R, 512);
  const int64_t ahead = 2 * D * s.b_stride;
  float total[R * most], sums[R * most];
  for (int64_t j = 0; j < s.columns; j += most) {
    const int64_t columns = std::min<int64_t>(s.columns - j, most);
    std::fill_n(total, R * most, 0.0f);
    const float* b = s.b + j;
    for (int64_t k = 0; k < s.depth;) {
      const int64_t end = std::min(k + s.block, s.depth);
      float* const into = k == 0 ? total : sums;
      if (k > 0) std::fill_n(sums, R * most, 0.0f);
      for (; k + D <= end; k += D) {
        const float* rows = b + k * s.b_stride;
        narrow_step<R, D>(into, most, s.a + k, s.a_stride, rows, s.b_stride, columns, rows + ahead);
      }
      for (; k < end; k++) {
        const float* row = b + k * s.b_stride;
        narrow_step<R, 1>(into, most, s.a + k, s.a_stride, row, s.b_stride, columns, row + ahead);
      }
      if (into == sums) narrow_add(total, sums, most, R, columns);
    }
    narrow_finish(s, j, total, most, columns);
  }
}

// sums[R, W] = a[R, length] b[columns, length]^T, columns being at most W. Squares of b are
// transposed in registers, so that each sum is one chain along k. Meanwhile as much of what lies at
// `ahead`, the next columns, is asked for in order of addresses, to wait in L2 until a square is near.
template <int R>
void chain_step(float* sums, int64_t sums_stride, const float* a, int64_t depth, const float* b,
                int64_t b_stride, int columns, int64_t length, const float* ahead) {
  Vec acc[R], x[W];
  GPTLOOM_UNROLL
  for (int i = 0; i < R; i++) acc[i] = Vec::zero();
  int64_t k = 0;
  for (; columns == W && k + W <= length; k += W) {
    GPTLOOM_UNROLL
    for (int j = 0; j < W * W; j += line) GPTLOOM_PREFETCH_FAR(ahead + k * W + j);
    GPTLOOM_UNROLL
    for (int j = 0; j < W; j++) GPTLOOM_PREFETCH(b + j * b_stride + k + 2 * line);
    GPTLOOM_UNROLL
    for (int j = 0; j < W; j++) x[j] = Vec::load(b + j * b_stride + k);
    transpose(x);
    GPTLOOM_UNROLL
    for (int d = 0; d < W; d++) {
      GPTLOOM_UNROLL
      for (int i = 0; i < R; i++) acc[i] = fma(Vec::set(a[i * depth + k + d]), x[d], acc[i]);
    }
  }
  for (; k < length; k += W) {
    const int n = static_cast<int>(std::min<int64_t>(length - k, W));
    for (int j = 0; j < W; j++) {
      x[j] = j < columns ? Vec::load_part(b + j * b_stride + k, n) : Vec::zero();
    }
    transpose(x);
    for (int d = 0; d < n; d++) {
      GPTLOOM_UNROLL
      for (int i = 0; i < R; i++) acc[i] = fma(Vec::set(a[i * depth + k + d]), x[d], acc[i]);
    }
  }
  GPTLOOM_UNROLL
  for (int i = 0; i < R; i++) acc[i].store(sums + i * sums_stride);
}

template <int R>
void narrow_transposed_of(const MatmulNarrow& s) {
  constexpr int most = 64;
  float total[R * most], sums[R * most];
  for (int64_t j = 0; j < s.columns; j += most) {
    const int64_t columns = std::min<int64_t>(s.columns - j, most);
    std::fill_n(total, R * most, 0.0f);
    for (int64_t c = 0; c < columns; c += W) {
      const int n = static_cast<int>(std::min<int64_t>(columns - c, W));
      const float *b = s.b + (j + c) * s.b_stride, *ahead = b + W * s.b_stride;
      for (int64_t k = 0; k < s.depth; k += s.block) {
        float* const into = k == 0 ? total : sums;
        chain_step<R>(into + c, most, s.a + k, s.a_stride, b + k, s.b_stride, n,
                      std::min(s.block, s.depth - k), ahead + k * W);
        if (into == sums) narrow_add(total + c, sums + c, most, R, W);
      }
    }
    narrow_finish(s, j, total, most, columns);
  }
}

using Narrow = void (*)(const MatmulNarrow&);
template <int... I>
void narrow_any(const MatmulNarrow& s, bool transpose, std::integer_sequence<int, I...>) {
  constexpr Narrow plain[] = {narrow_rows_of<I + 1>...};
  constexpr Narrow transposed[] = {narrow_transposed_of<I + 1>...};
  (transpose ? transposed : plain)[s.rows - 1](s);
}
void narrow(const MatmulNarrow& s) {
  narrow_any(s, false, std::make_integer_sequence<int, narrow_rows>());
}
void narrow_transposed(const MatmulNarrow& s) {
  narrow_any(s, true, std::make_integer_sequence<int, narrow_rows>());
}

}  // namespace matmul_detail
}  // namespace
}  // namespace gptloom::cpu
