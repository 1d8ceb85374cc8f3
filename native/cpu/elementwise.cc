// Maths: out = a + b; x *= f; gelu(x) = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) and its
//   derivative (simd/math.h holds both).
// Plan: pieces of 16384 elements, whole vectors and one partial vector at the end of a tensor;
// memory is
//   asked for ahead (simd/prefetch.h).
// Numbers: add and scale are rounded once; GELU within some 1e-7 of its magnitude. Bound by bytes:
//   add 12 an element, scale 8, gelu forward 8 and backward 12 (16 when accumulating).
#include <cstring>

#include "cpu/ops.h"
#include "cpu/split.h"

namespace gptloom::cpu {

void fill(Context& context, float* out, float value, int64_t n) {
  split(context, n, [&](int64_t begin, int64_t end) { std::fill(out + begin, out + end, value); });
}

void copy(Context& context, float* out, const float* x, int64_t n) {
  if (out == x) return;
  split(context, n, [&](int64_t begin, int64_t end) {
    std::memcpy(out + begin, x + begin, static_cast<size_t>(end - begin) * sizeof(float));
  });
}

void add(Context& context, float* out, const float* a, const float* b, int64_t n) {
  split(context, n, [&](int64_t begin, int64_t end) {
    context.kernels.elementwise.add(out + begin, a + begin, b + begin, end - begin);
  });
}

void scale(Context& context, float* x, const float* factor, int64_t n) {
  const float value = *factor;
  split(context, n, [&](int64_t begin, int64_t end) {
    context.kernels.elementwise.scale(x + begin, x + begin, value, end - begin);
  });
}

void gelu_forward(Context& context, float* out, const float* x, int64_t n, Gelu form) {
  split(context, n, [&](int64_t begin, int64_t end) {
    context.kernels.elementwise.gelu_forward(out + begin, x + begin, end - begin, form);
  });
}

void gelu_backward(Context& context, float* dx, const float* dout, const float* x, int64_t n,
                   Gelu form, bool accumulate) {
  split(context, n, [&](int64_t begin, int64_t end) {
    context.kernels.elementwise.gelu_backward(dx + begin, dout + begin, x + begin, end - begin,
                                              form, accumulate);
  });
}

}  // namespace gptloom::cpu
