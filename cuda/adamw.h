// The tensors and factors of an AdamW step, as both sides see them.
#pragma once
#include <cstdint>

namespace gptloom::cuda {

constexpr int64_t kAdamwChunk = 16384;  // elements of one block

// A list of these lies in device memory, those that one kernel takes side by side. Nothing in it
// changes from step to step, as long as the gradients come to lie where they did.
struct AdamwEntry {
  void* param;
  float* master;  // of a bfloat16 param that has one, else null
  const float* gradient;
  float *m, *v;
  int64_t n;
  int32_t first_chunk;  // those of the tensors before in the launch
  int32_t place;        // among all tensors of the step
  double weight_decay;
};

// See native/cpu/adamw.cc for the formula.
struct AdamwStep {
  float gradient_scale, max_norm, beta1, one_minus_beta1, beta2, one_minus_beta2;
  float rate, root_correction, epsilon;
  int32_t count;                // entries of the launch
  double learning_rate;         // of the decay
  uint64_t seed, first_stream;  // of random words; the tensor's place is added to the stream
};

}  // namespace gptloom::cuda
