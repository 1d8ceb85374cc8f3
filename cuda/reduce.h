// The tensors of one sum or norm, as both sides see them: few enough that a launch carries them.
#pragma once
#include <cstdint>

namespace gptloom::cuda {

// Elements that one block sums, in an order that depends on nothing else.
constexpr int64_t kReduceChunk = 16384;

struct ReduceTensor {
  const void* data;
  int64_t n;
  int32_t first_chunk;  // of the launch: those of the tensors before
  int32_t bfloat16;     // else float32
};

struct ReduceTensors {
  static constexpr int kMost = 160;  // parameters of a launch are 4 KB at most
  ReduceTensor tensors[kMost];
  int32_t count;
};

}  // namespace gptloom::cuda
