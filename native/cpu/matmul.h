// What products of many rows (matmul.cc) and of few (matmul_narrow.cc) have in common.
#pragma once
#include <algorithm>
#include <cstdint>

#include "cpu/ops.h"

namespace gptloom::cpu {

// The longest K block: a panel of a, 8 x 768 floats, is half of L1, and sums that wait in the
// output are read and written seldom.
constexpr int64_t kDepth = 768;
// So few multiply-adds are done sooner than other threads wake.
constexpr int64_t kAlone = 256 << 10;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
// The size of equal parts, none above `most`, in whole multiples of `unit`.
inline int64_t even_part(int64_t n, int64_t most, int64_t unit) {
  return round_up(divide_up(n, divide_up(n, most)), unit);
}

// The length of the K blocks, which follows from K alone: sums do not depend on the other sizes.
inline int64_t block_of(int64_t K) { return even_part(std::max<int64_t>(K, 1), kDepth, 8); }

// matmul for M up to MatmulKernels::narrow_rows, without spec.sums.
void matmul_narrow(Context&, float* out, const float* a, const float* b, const Matmul& spec);

}  // namespace gptloom::cpu
