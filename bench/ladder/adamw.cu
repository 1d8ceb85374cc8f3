// AdamW from the simplest on, for float32 parameters, to read what each step of cuda/adamw.cu
// gains. Compile with cuda/ as an include path.
//   1        clipping is a pass of its own over the gradients (8 bytes an element), and the step is
//            one launch for each tensor, one element a thread: 36 bytes an element, and for GPT-2
//            124M 296 launches, most of them on a few hundred elements
//   2        clipping in the step: 28 bytes an element, 148 launches
//   shipped  28 bytes an element by 16 bytes a lane, a quarter of the memory instructions, and 3
//            launches: blocks find their tensor in the launch's parameters
#include "common.cuh"

constexpr int threads = 256;

struct Step {
  float scale, max_norm, beta1, beta2, rate, root_correction, epsilon, decay;
};

__device__ inline float clipped(const float* norm, const Step& f) {
  return f.scale * fminf(1.0f, f.max_norm / (*norm * f.scale + 1e-6f));
}

__device__ inline void update(float* param, float g, float* m, float* v, const Step& f, int64_t i) {
  m[i] = f.beta1 * m[i] + (1 - f.beta1) * g;
  v[i] = f.beta2 * v[i] + (1 - f.beta2) * g * g;
  param[i] -= f.decay * param[i] + f.rate * m[i] / (sqrtf(v[i]) * f.root_correction + f.epsilon);
}

// Both for ceil(n / 256) blocks a tensor, clipping first.
extern "C" __global__ void adamw_clip_1_f32(float* gradient, const float* norm, int64_t n,
                                            Step step) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i < n && isfinite(*norm)) gradient[i] *= clipped(norm, step);
}
extern "C" __global__ void adamw_step_1_f32(float* param, const float* gradient, float* m, float* v,
                                            const float* norm, int64_t n, Step step) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i < n && isfinite(*norm)) update(param, gradient[i], m, v, step, i);
}

// For ceil(n / 256) blocks a tensor.
extern "C" __global__ void adamw_step_2_f32(float* param, const float* gradient, float* m, float* v,
                                            const float* norm, int64_t n, Step step) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
  if (i < n && isfinite(*norm)) update(param, gradient[i] * clipped(norm, step), m, v, step, i);
}
