// Maths, Plan and Numbers stand in cpu/elementwise.cc.
#pragma once
#include "cpu/simd/prefetch.h"

namespace gptloom::cpu {
namespace {

void add_range(float* out, const float* a, const float* b, int64_t n) {
  constexpr int w = Vec::width;
  int64_t i = 0;
  for (; i + w <= n; i += w) {
    prefetch_ahead(a + i);
    prefetch_ahead(b + i);
    prefetch_ahead(out + i);
    (Vec::load(a + i) + Vec::load(b + i)).store(out + i);
  }
  const int rest = static_cast<int>(n - i);
  if (rest) (Vec::load_part(a + i, rest) + Vec::load_part(b + i, rest)).store_part(out + i, rest);
}

void scale_range(float* out, const float* x, float factor, int64_t n) {
  constexpr int w = Vec::width;
  const Vec f = Vec::set(factor);
  int64_t i = 0;
  for (; i + w <= n; i += w) (Vec::load(x + i) * f).store(out + i);
  const int rest = static_cast<int>(n - i);
  if (rest) (Vec::load_part(x + i, rest) * f).store_part(out + i, rest);
}

template <Gelu form>
void gelu_forward_loop(float* out, const float* x, int64_t n) {
  constexpr int w = Vec::width;
  int64_t i = 0;
  for (; i + w <= n; i += w) {
    prefetch_ahead(x + i);
    prefetch_ahead(out + i);
    gelu<form>(Vec::load(x + i)).store(out + i);
  }
  const int rest = static_cast<int>(n - i);
  if (rest) gelu<form>(Vec::load_part(x + i, rest)).store_part(out + i, rest);
}

void gelu_forward_range(float* out, const float* x, int64_t n, Gelu form) {
  (form == Gelu::tanh ? gelu_forward_loop<Gelu::tanh> : gelu_forward_loop<Gelu::exact>)(out, x, n);
}

template <Gelu form, bool accumulate>
void gelu_backward_loop(float* dx, const float* dout, const float* x, int64_t n) {
  constexpr int w = Vec::width;
  int64_t i = 0;
  for (; i + w <= n; i += w) {
    prefetch_ahead(x + i);
    prefetch_ahead(dout + i);
    prefetch_ahead(dx + i);
    const Vec d = Vec::load(dout + i), slope = gelu_slope<form>(Vec::load(x + i));
    (accumulate ? fma(d, slope, Vec::load(dx + i)) : d * slope).store(dx + i);
  }
  const int rest = static_cast<int>(n - i);
  if (!rest) return;
  const Vec d = Vec::load_part(dout + i, rest);
  const Vec slope = gelu_slope<form>(Vec::load_part(x + i, rest));
  (accumulate ? fma(d, slope, Vec::load_part(dx + i, rest)) : d * slope).store_part(dx + i, rest);
}

template <Gelu form>
void gelu_backward_of(float* dx, const float* dout, const float* x, int64_t n, bool accumulate) {
  (accumulate ? gelu_backward_loop<form, true> : gelu_backward_loop<form, false>)(dx, dout, x, n);
}
void gelu_backward_range(float* dx, const float* dout, const float* x, int64_t n, Gelu form,
                         bool accumulate) {
  (form == Gelu::tanh ? gelu_backward_of<Gelu::tanh>
                      : gelu_backward_of<Gelu::exact>)(dx, dout, x, n, accumulate);
}

constexpr ElementwiseKernels elementwise_kernels{add_range, scale_range, gelu_forward_range,
                                                 gelu_backward_range};

}  // namespace
}  // namespace gptloom::cpu
