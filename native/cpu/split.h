// Splitting an op over the pool where that pays. Waking the threads costs some microseconds, which
// a small tensor does not earn back: it runs as one piece on the caller. For ops whose elements (or
// rows) are independent, so that the pieces cannot change a bit.
#pragma once
#include <algorithm>
#include <utility>

#include "cpu/context.h"

namespace gptloom::cpu {

// Elements in a piece of a memory-bound op: some 10 us of work, and a multiple of every vector.
constexpr int64_t piece_elements = 16384;

// f(begin, end) over [0, count) elements in pieces of `grain`.
template <class F>
void split(Context& context, int64_t count, F&& f, int64_t grain = piece_elements) {
  if (count <= 0) return;
  if (count <= 2 * grain || context.pool.threads() == 1) return f(int64_t{0}, count);
  context.pool.run_near((count + grain - 1) / grain, [&](int64_t piece, int) {
    f(piece * grain, std::min(count, (piece + 1) * grain));
  });
}

// f(begin, end) over [0, rows) rows of C elements.
template <class F>
void split_rows(Context& context, int64_t rows, int64_t C, F&& f) {
  split(context, rows, std::forward<F>(f),
        std::max<int64_t>(1, piece_elements / std::max<int64_t>(1, C)));
}

// f(index) for indices of [0, count) that are `elements` of work in all.
template <class F>
void split_pieces(Context& context, int64_t count, int64_t elements, F&& f) {
  if (elements <= 2 * piece_elements) {
    for (int64_t i = 0; i < count; i++) f(i);
  } else {
    context.pool.run_near(count, [&](int64_t i, int) { f(i); });
  }
}

// out[columns] (+)= the sum over rows, in order and in double, of partial sums whose rows stand
// `stride` apart (reduce.cc).
void add_partials(Context& context, float* out, const float* partials, int64_t rows,
                  int64_t columns, int64_t stride, bool accumulate);

}  // namespace gptloom::cpu
