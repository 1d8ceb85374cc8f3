// Maths: loss = log sum exp(x) - x[target] for each row, and the gradient of the sum of losses,
//   softmax(x) less one at the target; with label smoothing e, instead of x[target] and that one,
//   (1 - e) of them and e times the mean of the row.
// Plan: crossentropy: a row is a task. linear_crossentropy: the rows that have a target are taken a
//   chunk at a time; logits = x weight^T, the rows in place, dx = dlogits weight, dweight +=
//   dlogits^T x. Chunks are of equal size, as many rows as keep the logits within 64 MB, but 128 if
//   need be; the number never follows the threads. Rows without a target cost nothing: where there
//   are some, the others are gathered and their gradient scattered.
// Numbers: see simd/crossentropy.h. A row is bound by bytes, 8 an element, in caches by exp;
//   linear_crossentropy by flops: 6 N C V.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "cpu/ops.h"
#include "cpu/split.h"
#include "error.h"

namespace gptloom::cpu {

namespace {

constexpr int64_t least_rows = 128;
constexpr int64_t row_floats = 8192;  // of short rows so many are worth waking a thread for
constexpr int64_t cached_floats = int64_t{16} << 20;  // a larger gradient is written past the caches

void check_targets(const int32_t* targets, int64_t N, int64_t V) {
  for (int64_t i = 0; i < N; i++) {
    if (targets[i] < V) continue;
    throw Error("ERR_INDEX", "crossentropy: target " + std::to_string(targets[i]) +
                                 " at position " + std::to_string(i) +
                                 " is outside the vocabulary of " + std::to_string(V));
  }
}

// x[M, K], weight[N, K] and logits[M, N] of `shape`; dweight is added to unless this is the first.
void chunk(Context& context, float* losses, float* dx, float* dweight, float* logits,
           const float* x, const float* weight, const int32_t* targets, const Matmul& shape,
           float smoothing, bool first) {
  const int64_t rows = shape.M, V = shape.N, C = shape.K;
  Matmul product{rows, V, C};
  product.transpose_b = true;
  matmul(context, logits, x, weight, product);
  crossentropy(context, losses, dx || dweight ? logits : nullptr, logits, targets, rows, V,
               smoothing);
  if (dx) matmul(context, dx, logits, weight, Matmul{rows, C, V});
  if (!dweight) return;
  product = Matmul{V, C, rows};
  product.transpose_a = true;
  product.accumulate = !first;
  matmul(context, dweight, logits, x, product);
}

}  // namespace

void crossentropy(Context& context, float* losses, float* dlogits, const float* logits,
                  const int32_t* targets, int64_t N, int64_t V, float smoothing) {
  check_targets(targets, N, V);
  const bool past_caches = N * V > cached_floats;
  const auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      float* gradient = dlogits ? dlogits + i * V : nullptr;
      if (targets[i] >= 0) {
        losses[i] = context.kernels.crossentropy.row(gradient, logits + i * V, targets[i], V,
                                                     smoothing, past_caches);
      } else {
        losses[i] = 0;
        if (gradient) std::fill(gradient, gradient + V, 0.0f);
      }
    }
  };
  split(context, N, rows, std::max<int64_t>(1, row_floats / std::max<int64_t>(1, V)));
}

void linear_crossentropy(Context& context, float* losses, float* dx, float* dweight, const float* x,
                         const float* weight, const int32_t* targets, int64_t N, int64_t C,
                         int64_t V, float smoothing, int64_t chunk_floats) {
  check_targets(targets, N, V);
  std::vector<int64_t> rows;  // those with a target
  for (int64_t i = 0; i < N; i++) {
    if (targets[i] >= 0) rows.push_back(i);
  }
  const int64_t count = static_cast<int64_t>(rows.size());
  if (dweight && count == 0) fill(context, dweight, 0, V * C);
  const bool gather = count < N;
  if (gather) {
    std::fill(losses, losses + N, 0.0f);
    if (dx) fill(context, dx, 0, N * C);
  }
  // Chunks of about one size: a short last one would walk over all of weight and dweight for a few
  // rows.
  const int64_t limit = std::max(least_rows, chunk_floats / V);
  const int64_t chunks = std::max<int64_t>(1, (count + limit - 1) / limit);
  const int64_t most = (count + chunks - 1) / chunks;
  Scratch<float> logits(context, most * V);
  Scratch<float> some_x(context, gather ? most * C : 0);
  Scratch<float> some_dx(context, gather && dx ? most * C : 0);
  Scratch<float> some_losses(context, gather ? most : 0);
  std::vector<int32_t> some_targets(static_cast<size_t>(gather ? most : 0));
  for (int64_t begin = 0; begin < count; begin += most) {
    const Matmul shape{std::min(most, count - begin), V, C};
    if (!gather) {
      chunk(context, losses + begin, dx ? dx + begin * C : nullptr, dweight, logits, x + begin * C,
            weight, targets + begin, shape, smoothing, begin == 0);
      continue;
    }
    const size_t bytes = static_cast<size_t>(C) * sizeof(float);
    for (int64_t i = 0; i < shape.M; i++) {
      const int64_t row = rows[begin + i];
      std::memcpy(some_x + i * C, x + row * C, bytes);
      some_targets[i] = targets[row];
    }
    chunk(context, some_losses, dx ? some_dx.data() : nullptr, dweight, logits, some_x, weight,
          some_targets.data(), shape, smoothing, begin == 0);
    for (int64_t i = 0; i < shape.M; i++) {
      const int64_t row = rows[begin + i];
      losses[row] = some_losses[i];
      if (dx) std::memcpy(dx + row * C, some_dx + i * C, bytes);
    }
  }
}

}  // namespace gptloom::cpu
