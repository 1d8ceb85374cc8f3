// Layernorm from the simplest on, in float32, to read what each step of cuda/layernorm.cu gains.
// Every rung computes what the kernels there do; the numbers that change are bytes, sectors and
// launches. Compile with cuda/ as an include path.
//   forward 1   a thread a row: lanes read addresses 4 C bytes apart, so that each of the three
//               passes fetches 32 bytes for each 4
//   forward 2   a warp a row: neighbouring lanes read neighbouring columns, whole sectors, but x,
//               weight and bias are read three times
//   shipped     the row stays in registers, 16 bytes a lane, weight and bias once a block: one read
//   backward 1  a thread a row; the parameters' gradients by float atomics, in an order that is
//               another in every run: 8 bytes of atomics an element
//   backward 2  a warp a row for dx; a thread a column for the parameters' gradients, through all
//               rows: the same bits every time, but x and dout are read three times
//   shipped     one read of x and dout: sums of the parameters' gradients stay in registers, slices
//               of rows are added up in order
#include "common.cuh"

constexpr int threads = 256;

// For ceil(rows / 256) blocks.
extern "C" __global__ void layernorm_forward_1_f32(float* out, float* mean, float* rstd,
                                                   const float* x, const float* weight,
                                                   const float* bias, int64_t rows, int32_t C,
                                                   float epsilon) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (row >= rows) return;
  x += row * C;
  out += row * C;
  float m = 0, squares = 0;
  for (int c = 0; c < C; c++) m += x[c];
  m /= C;
  for (int c = 0; c < C; c++) squares += (x[c] - m) * (x[c] - m);
  const float s = 1 / sqrtf(squares / C + epsilon);
  for (int c = 0; c < C; c++) out[c] = (x[c] - m) * s * weight[c] + bias[c];
  mean[row] = m;
  rstd[row] = s;
}

// For ceil(rows / 8) blocks.
extern "C" __global__ void layernorm_forward_2_f32(float* out, float* mean, float* rstd,
                                                   const float* x, const float* weight,
                                                   const float* bias, int64_t rows, int32_t C,
                                                   float epsilon) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (threads / warp_size) + warp_index();
  if (row >= rows) return;
  x += row * C;
  out += row * C;
  float sum = 0, squares = 0;
  for (int c = lane_index(); c < C; c += warp_size) sum += x[c];
  const float m = warp_sum(sum) / C;
  for (int c = lane_index(); c < C; c += warp_size) squares += (x[c] - m) * (x[c] - m);
  const float s = 1 / sqrtf(warp_sum(squares) / C + epsilon);
  for (int c = lane_index(); c < C; c += warp_size) out[c] = (x[c] - m) * s * weight[c] + bias[c];
  if (lane_index() == 0) mean[row] = m, rstd[row] = s;
}

// For ceil(rows / 256) blocks; dweight and dbias begin as zeros.
extern "C" __global__ void layernorm_backward_1_f32(float* dx, float* dweight, float* dbias,
                                                    const float* dout, const float* x,
                                                    const float* weight, const float* mean,
                                                    const float* rstd, int64_t rows, int32_t C) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (row >= rows) return;
  const int64_t at = row * C;
  const float m = mean[row], s = rstd[row];
  float sum_g = 0, sum_gh = 0;
  for (int c = 0; c < C; c++) {
    const float d = dout[at + c], h = (x[at + c] - m) * s;
    sum_g += d * weight[c];
    sum_gh += d * weight[c] * h;
    atomicAdd(dweight + c, d * h);
    atomicAdd(dbias + c, d);
  }
  for (int c = 0; c < C; c++) {
    const float h = (x[at + c] - m) * s;
    dx[at + c] = s * (dout[at + c] * weight[c] - sum_g / C - h * sum_gh / C);
  }
}

// For ceil(rows / 8) blocks.
extern "C" __global__ void layernorm_backward_2_f32(float* dx, const float* dout, const float* x,
                                                    const float* weight, const float* mean,
                                                    const float* rstd, int64_t rows, int32_t C) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (threads / warp_size) + warp_index();
  if (row >= rows) return;
  const int64_t at = row * C;
  const float m = mean[row], s = rstd[row];
  float sum_g = 0, sum_gh = 0;
  for (int c = lane_index(); c < C; c += warp_size) {
    const float g = dout[at + c] * weight[c];
    sum_g += g;
    sum_gh += g * (x[at + c] - m) * s;
  }
  const float mean_g = warp_sum(sum_g) / C, mean_gh = warp_sum(sum_gh) / C;
  for (int c = lane_index(); c < C; c += warp_size) {
    const float h = (x[at + c] - m) * s;
    dx[at + c] = s * (dout[at + c] * weight[c] - mean_g - h * mean_gh);
  }
}

// The other half of backward 2, for ceil(C / 256) blocks: on GPT-2's 768 columns, three blocks.
extern "C" __global__ void layernorm_parameters_2_f32(float* dweight, float* dbias,
                                                      const float* dout, const float* x,
                                                      const float* mean, const float* rstd,
                                                      int64_t rows, int32_t C) {
  const int c = static_cast<int>(blockIdx.x) * threads + static_cast<int>(threadIdx.x);
  if (c >= C) return;
  float sum_weight = 0, sum_bias = 0;
  for (int64_t row = 0; row < rows; row++) {
    const float d = dout[row * C + c];
    sum_weight += d * (x[row * C + c] - mean[row]) * rstd[row];
    sum_bias += d;
  }
  dweight[c] = sum_weight;
  dbias[c] = sum_bias;
}
