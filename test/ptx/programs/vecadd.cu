// out[i] = a[i] + b[i]: four elements a thread where they are aligned, then the rest one by one.

extern "C" __global__ void vecadd(float* out, const float* a, const float* b, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x, quads = n / 4;
  if (i < quads) {
    const float4 x = reinterpret_cast<const float4*>(a)[i], y = reinterpret_cast<const float4*>(b)[i];
    reinterpret_cast<float4*>(out)[i] = make_float4(x.x + y.x, x.y + y.y, x.z + y.z, x.w + y.w);
  }
  const int tail = quads * 4 + i;
  if (tail < n) out[tail] = a[tail] + b[tail];
}

// Planted: the bounds test is gone.
extern "C" __global__ void vecadd_unbounded(float* out, const float* a, const float* b, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = a[i] + b[i];
}
