// Maths: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011). A stream is named by (seed, stream); its
//   counter c is the four words {c low, c high, stream low, stream high}, the key {seed low, seed
//   high}. Element i takes word w(i): number i % 4 of counter i / 4. From words:
//     dropout  x(i) is dropped where (w(i) >> 8) < ceil(2^24 p), else divided by 1 - p: the
//              probability is p to within 2^-24, and 0 drops nothing.
//     uniform  low + (high - low) u with u = (w(i) >> 8) 2^-24 in [0, 1); never `high` itself.
//     normal   Box & Muller on pairs of elements (i, i + 1), i even: r = sqrt(-2 ln u) with
//              u = (w(i) + 0.5) 2^-32 and the angle a = 2 pi w(i + 1) 2^-32; element i is
//              mean + deviation r cos a, element i + 1 is mean + deviation r sin a. |z| <= 6.8.
// Plan: pieces of 16384 elements, each in blocks of words that stay in L1; the rounds run on
// vectors
//   of counters.
// Numbers: the words are integers, the same everywhere; so are masks and, up to rounding, the rest.
//   ln, sin and cos within 2e-7. Dropout is bound by bytes with wide vectors (8 an element).
#include <cmath>

#include "cpu/ops.h"
#include "cpu/split.h"

namespace gptloom::cpu {

void dropout(Context& context, float* out, const float* x, int64_t n, float p, uint64_t seed,
             uint64_t stream, bool accumulate) {
  const uint32_t threshold = static_cast<uint32_t>(std::ceil(static_cast<double>(p) * 0x1p24));
  const float scale = p < 1 ? static_cast<float>(1 / (1 - static_cast<double>(p))) : 0;
  split(context, n, [&](int64_t begin, int64_t end) {
    context.kernels.random.dropout(out + begin, x + begin, end - begin,
                                   static_cast<uint64_t>(begin), threshold, scale, seed, stream,
                                   accumulate);
  });
}

void random_normal(Context& context, float* out, int64_t n, float mean, float deviation,
                   uint64_t seed, uint64_t stream) {
  split(context, n, [&](int64_t begin, int64_t end) {
    context.kernels.random.normal(out + begin, end - begin, static_cast<uint64_t>(begin), mean,
                                  deviation, seed, stream);
  });
}

void random_uniform(Context& context, float* out, int64_t n, float low, float high, uint64_t seed,
                    uint64_t stream) {
  split(context, n, [&](int64_t begin, int64_t end) {
    context.kernels.random.uniform(out + begin, end - begin, static_cast<uint64_t>(begin), low,
                                   high, seed, stream);
  });
}

}  // namespace gptloom::cpu
