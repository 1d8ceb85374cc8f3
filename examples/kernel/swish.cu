// The GPU's half of swish.cc. Build it with: nvcc -ptx -arch=compute_80 -o build/swish.ptx swish.cu
#include <stdint.h>

extern "C" __global__ void swish_forward(float* out, const float* x, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) out[i] = x[i] / (1 + expf(-x[i]));
}

extern "C" __global__ void swish_backward(float* dx, const float* dout, const float* x, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float s = 1 / (1 + expf(-x[i]));
  dx[i] = dout[i] * s * (1 + x[i] * (1 - s));
}
