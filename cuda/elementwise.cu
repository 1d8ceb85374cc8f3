// Maths: out = value; out = x; out = a + b; x *= f; GELU and its derivative (common.cuh) as
//   out = gelu(x) and dx (+)= dout gelu'(x).
// Layout: contiguous arrays of n elements, any alignment: 16 bytes a lane where all of them are
//   aligned to 16, else element by element. out may be a or b, dx may be dout.
// Plan: a thread has one packet, neighbouring lanes neighbouring packets; each array passes once.
// Numbers: in float32, rounded once. Bound by bytes: (arrays read + arrays written) n.
#include "common.cuh"

template <class T>
__device__ void fill(T* out, float value, int64_t n) {
  for_each<packet<T>>(n, aligned(out), [&](int64_t i, auto width) {
    float x[width.value];
#pragma unroll
    for (int j = 0; j < width.value; j++) x[j] = value;
    store(out + i, x);
  });
}

// Bits as they are: T is any type of that size.
template <class T>
__device__ void copy(T* out, const T* x, int64_t n) {
  for_each<packet<T>>(n, aligned(out, x), [&](int64_t i, auto width) {
    using Vector = Bits<width.value* static_cast<int>(sizeof(T))>;
    *reinterpret_cast<Vector*>(out + i) = *reinterpret_cast<const Vector*>(x + i);
  });
}

// Of 4 elements, so that both sides fill whole sectors.
template <class Out, class In>
__device__ void cast(Out* out, const In* x, int64_t n) {
  for_each<4>(n, aligned(out, x), [&](int64_t i, auto width) {
    float values[width.value];
    load(values, x + i);
    store(out + i, values);
  });
}

template <class T>
__device__ void add(T* out, const T* a, const T* b, int64_t n) {
  for_each<packet<T>>(n, aligned(out, a, b), [&](int64_t i, auto width) {
    float x[width.value], y[width.value];
    load(x, a + i);
    load(y, b + i);
#pragma unroll
    for (int j = 0; j < width.value; j++) x[j] += y[j];
    store(out + i, x);
  });
}

template <class T>
__device__ void scale(T* x, const float* factor, int64_t n) {
  const float f = *factor;
  for_each<packet<T>>(n, aligned(x), [&](int64_t i, auto width) {
    float values[width.value];
    load(values, x + i);
#pragma unroll
    for (int j = 0; j < width.value; j++) values[j] *= f;
    store(x + i, values);
  });
}

template <class T>
__device__ void gelu_forward(T* out, const T* x, int64_t n, int form) {
  for_each<packet<T>>(n, aligned(out, x), [&](int64_t i, auto width) {
    float values[width.value];
    load(values, x + i);
#pragma unroll
    for (int j = 0; j < width.value; j++) values[j] = gelu(values[j], form);
    store(out + i, values);
  });
}

template <class T>
__device__ void gelu_backward(T* dx, const T* dout, const T* x, int64_t n, int form,
                              bool accumulate) {
  for_each<packet<T>>(n, aligned(dx, dout, x), [&](int64_t i, auto width) {
    float d[width.value], values[width.value], sum[width.value] = {};
    load(d, dout + i);
    load(values, x + i);
    if (accumulate) load(sum, dx + i);
#pragma unroll
    for (int j = 0; j < width.value; j++) {
      sum[j] = fmaf(d[j], gelu_slope(values[j], form), sum[j]);
    }
    store(dx + i, sum);
  });
}

extern "C" {

__global__ void elementwise_fill_f32(float* out, float value, int64_t n) { fill(out, value, n); }
__global__ void elementwise_fill_bf16(bf16* out, float value, int64_t n) { fill(out, value, n); }

__global__ void elementwise_copy_f32(uint32_t* out, const uint32_t* x, int64_t n) {
  copy(out, x, n);
}
__global__ void elementwise_copy_bf16(uint16_t* out, const uint16_t* x, int64_t n) {
  copy(out, x, n);
}

__global__ void elementwise_cast_f32(float* out, const bf16* x, int64_t n) { cast(out, x, n); }
__global__ void elementwise_cast_bf16(bf16* out, const float* x, int64_t n) { cast(out, x, n); }

__global__ void elementwise_add_f32(float* out, const float* a, const float* b, int64_t n) {
  add(out, a, b, n);
}
__global__ void elementwise_add_bf16(bf16* out, const bf16* a, const bf16* b, int64_t n) {
  add(out, a, b, n);
}

__global__ void elementwise_scale_f32(float* x, const float* factor, int64_t n) {
  scale(x, factor, n);
}
__global__ void elementwise_scale_bf16(bf16* x, const float* factor, int64_t n) {
  scale(x, factor, n);
}

// form: 1 by tanh, 2 exact.
__global__ void elementwise_gelu_forward_f32(float* out, const float* x, int64_t n, int32_t form) {
  gelu_forward(out, x, n, form);
}
__global__ void elementwise_gelu_forward_bf16(bf16* out, const bf16* x, int64_t n, int32_t form) {
  gelu_forward(out, x, n, form);
}

__global__ void elementwise_gelu_backward_f32(float* dx, const float* dout, const float* x,
                                              int64_t n, int32_t form, int32_t accumulate) {
  gelu_backward(dx, dout, x, n, form, accumulate);
}
__global__ void elementwise_gelu_backward_bf16(bf16* dx, const bf16* dout, const bf16* x, int64_t n,
                                               int32_t form, int32_t accumulate) {
  gelu_backward(dx, dout, x, n, form, accumulate);
}

}  // extern "C"
