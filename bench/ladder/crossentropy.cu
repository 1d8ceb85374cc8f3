// Softmax cross-entropy from the simplest on, in bfloat16, to read what each step of
// cuda/crossentropy.cu gains. Logits become their gradient in place. Compile with cuda/ as an
// include path.
//   1        a thread a row: lanes read addresses 2 V bytes apart, a sector for each 2 bytes, in
//            three passes, and write as wastefully
//   2        a block a row, neighbouring threads neighbouring elements: whole sectors, but a lane
//            takes 2 bytes at a time, and the row is read three times
//   shipped  16 bytes a lane, and the row waits in registers and shared memory: one read, one write
#include "common.cuh"

constexpr int threads = 256;

// For ceil(rows / 256) blocks.
extern "C" __global__ void crossentropy_1_bf16(float* losses, bf16* logits, const int32_t* targets,
                                               int32_t rows, int32_t V) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (row >= rows) return;
  bf16* const x = logits + row * V;
  float top = to_float(x[0]), sum = 0;
  for (int i = 1; i < V; i++) top = fmaxf(top, to_float(x[i]));
  for (int i = 0; i < V; i++) sum += expf(to_float(x[i]) - top);
  losses[row] = logf(sum) + top - to_float(x[targets[row]]);
  for (int i = 0; i < V; i++) {
    x[i] = from_float<bf16>(expf(to_float(x[i]) - top) / sum - (i == targets[row] ? 1.0f : 0.0f));
  }
}

// For `rows` blocks.
extern "C" __global__ void crossentropy_2_bf16(float* losses, bf16* logits, const int32_t* targets,
                                               int32_t rows, int32_t V) {
  __shared__ float maxima[threads / 32], totals[threads / 32];
  const int64_t row = blockIdx.x;
  if (row >= rows) return;
  bf16* const x = logits + row * V;
  const int target = targets[row];
  const float at_target = threadIdx.x == 0 ? to_float(x[target]) : 0;
  float top = to_float(x[0]), sum = 0;
  for (int i = threadIdx.x; i < V; i += threads) top = fmaxf(top, to_float(x[i]));
  top = block_max(top, maxima);
  for (int i = threadIdx.x; i < V; i += threads) sum += expf(to_float(x[i]) - top);
  sum = block_sum(sum, totals);
  if (threadIdx.x == 0) losses[row] = logf(sum) + top - at_target;
  for (int i = threadIdx.x; i < V; i += threads) {
    x[i] = from_float<bf16>(expf(to_float(x[i]) - top) / sum - (i == target ? 1.0f : 0.0f));
  }
}
