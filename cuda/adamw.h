// The tensors and factors of an AdamW step, as both sides see them.
#pragma once
#include <cstdint>

namespace gptloom::cuda {

constexpr int64_t kAdamwChunk = 16384;  // elements of one block

// A list of these lies in device memory. Nothing in it changes from step to step, as long as the
// gradients come to lie where they did.
struct AdamwEntry {
  void* param;
  float* master;  // null: param is float32, or is bfloat16 and rounded stochastically
  const float* gradient;
  float *m, *v;
  int64_t n;
  int32_t first_chunk;  // those of the tensors before
  int32_t bfloat16;     // param; else float32
  double weight_decay;
};

// See native/cpu/adamw.cc for the formula.
struct AdamwStep {
  float gradient_scale, max_norm, beta1, one_minus_beta1, beta2, one_minus_beta2;
  float rate, root_correction, epsilon;
  int32_t count;         // entries
  double learning_rate;  // of the decay
  uint64_t seed, step;   // of random words: the stream is step x count + the tensor's place
};

}  // namespace gptloom::cuda
