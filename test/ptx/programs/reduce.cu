// out[row] = sum of x[row, 0..n): a block a row, partial sums by warp shuffles, then over the warps through
// shared memory.

template <bool barrier>
__device__ void reduce_row(float* out, const float* x, int n) {
  __shared__ float partial[32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[static_cast<size_t>(blockIdx.x) * n + i];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (lane == 0) partial[warp] = sum;
  if (barrier) __syncthreads();
  if (warp == 0) {
    sum = lane < warps ? partial[lane] : 0;
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
    if (lane == 0) out[blockIdx.x] = sum;
  }
}

extern "C" __global__ void reduce(float* out, const float* x, int n) { reduce_row<true>(out, x, n); }

// Planted: no barrier between the warps' writes and the reads.
extern "C" __global__ void reduce_unsynced(float* out, const float* x, int n) {
  reduce_row<false>(out, x, n);
}

// Planted: lanes that have left the loop are named in the mask.
extern "C" __global__ void reduce_absent(float* out, const float* x, int n) {
  const int lane = threadIdx.x;
  if (lane >= n) return;
  float sum = x[lane];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
  if (lane == 0) out[0] = sum;
}
