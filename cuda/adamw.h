// The tensors and factors of an AdamW step, as both sides see them: few enough that a launch
// carries them.
#pragma once
#include <cstdint>

namespace gptloom::cuda {

constexpr int64_t kAdamwChunk = 16384;  // elements of one block

struct AdamwEntry {
  void* param;
  float* master;  // null: param is float32, or is bfloat16 and rounded stochastically
  const float* gradient;
  float *m, *v;
  int64_t n;
  int32_t first_chunk;  // of the launch: those of the tensors before
  float decay;          // learning rate x weight decay
  uint64_t stream;      // of random words: the tensor's number among all
};

// See native/cpu/adamw.cc for the formula.
struct AdamwStep {
  float gradient_scale, max_norm, beta1, one_minus_beta1, beta2, one_minus_beta2;
  float rate, root_correction, epsilon;
  int32_t count;  // entries
  uint64_t step;
};

struct AdamwLaunch {
  static constexpr int kMost = 62;  // parameters of a launch are 4 KB at most
  AdamwStep step;
  AdamwEntry entries[kMost];
};
static_assert(sizeof(AdamwLaunch) + sizeof(void*) <= 4096);

}  // namespace gptloom::cuda
