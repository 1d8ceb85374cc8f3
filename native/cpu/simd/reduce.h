// Maths, Plan and Numbers stand in cpu/reduce.cc. Where the accumulators are doubles the loops are
// plain ones over an array of them, which compilers turn into vectors of the target region.
#pragma once
#include "cpu/simd/prefetch.h"

namespace gptloom::cpu {
namespace {

constexpr int sum_lanes =
    32;  // the same for every instruction set, so that sums have the same bits

inline double add_lanes(double (&lanes)[sum_lanes]) {
  for (int half = sum_lanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

double sum_range(const float* x, int64_t n) {
  double lanes[sum_lanes] = {};
  int64_t i = 0;
  for (; i + sum_lanes <= n; i += sum_lanes) {
    prefetch_far_ahead(x + i);
    prefetch_far_ahead(x + i + line_floats);
    for (int lane = 0; lane < sum_lanes; lane++) lanes[lane] += static_cast<double>(x[i + lane]);
  }
  for (; i < n; i++) lanes[i % sum_lanes] += static_cast<double>(x[i]);
  return add_lanes(lanes);
}

double sum_of_squares_range(const float* x, int64_t n) {
  double lanes[sum_lanes] = {};
  int64_t i = 0;
  for (; i + sum_lanes <= n; i += sum_lanes) {
    prefetch_far_ahead(x + i);
    prefetch_far_ahead(x + i + line_floats);
    for (int lane = 0; lane < sum_lanes; lane++) {
      const double value = static_cast<double>(x[i + lane]);
      lanes[lane] += value * value;
    }
  }
  for (; i < n; i++) lanes[i % sum_lanes] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return add_lanes(lanes);
}

void add_to(float* out, const float* x, int64_t n) {
  constexpr int w = Vec::width;
  int64_t i = 0;
  for (; i + w <= n; i += w) (Vec::load(out + i) + Vec::load(x + i)).store(out + i);
  const int rest = static_cast<int>(n - i);
  if (rest) (Vec::load_part(out + i, rest) + Vec::load_part(x + i, rest)).store_part(out + i, rest);
}

// out += four rows, as a tree.
inline void add_four_rows(float* out, const float* x, int64_t columns, int64_t stride) {
  constexpr int w = Vec::width;
  const float *a = x, *b = x + stride, *c = x + 2 * stride, *d = x + 3 * stride;
  int64_t i = 0;
  for (; i + w <= columns; i += w) {
    const Vec left = Vec::load(a + i) + Vec::load(b + i),
              right = Vec::load(c + i) + Vec::load(d + i);
    (Vec::load(out + i) + (left + right)).store(out + i);
  }
  const int rest = static_cast<int>(columns - i);
  if (!rest) return;
  const Vec left = Vec::load_part(a + i, rest) + Vec::load_part(b + i, rest);
  const Vec right = Vec::load_part(c + i, rest) + Vec::load_part(d + i, rest);
  (Vec::load_part(out + i, rest) + (left + right)).store_part(out + i, rest);
}

void column_sums(float* out, const float* x, int64_t rows, int64_t columns, int64_t stride) {
  std::fill(out, out + columns, 0.0f);
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) add_four_rows(out, x + row * stride, columns, stride);
  for (; row < rows; row++) add_to(out, x + row * stride, columns);
}

void column_totals(float* out, const float* x, int64_t rows, int64_t columns, int64_t stride,
                   bool accumulate) {
  constexpr int64_t block = 64;
  for (int64_t begin = 0; begin < columns; begin += block) {
    const int64_t count = std::min(block, columns - begin);
    double totals[block] = {};
    for (int64_t row = 0; row < rows; row++) {
      const float* from = x + row * stride + begin;
      for (int64_t i = 0; i < count; i++) totals[i] += static_cast<double>(from[i]);
    }
    for (int64_t i = 0; i < count; i++) {
      out[begin + i] =
          static_cast<float>(totals[i] + (accumulate ? static_cast<double>(out[begin + i]) : 0));
    }
  }
}

constexpr ReduceKernels reduce_kernels{sum_range, sum_of_squares_range, column_sums, column_totals,
                                       add_to};

}  // namespace
}  // namespace gptloom::cpu
