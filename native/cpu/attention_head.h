// One (batch, head) pair as attention.cc hands it to the kernels.
#pragma once
#include <cstdint>

namespace gptloom::cpu {

// Keys are walked in blocks of attention_block, queries in blocks of half as many, whose scores stay
// in L1. Both are divisible by every instruction set's register tile.
constexpr int attention_block = 96;
constexpr int attention_queries = attention_block / 2;
// Floats from one row of a block's scores to the next.
constexpr int attention_pitch = attention_block + 16;

struct AttentionHead {
  const float* q;  // rows of D: query t at q + t * q_stride, key s at k + s * kv_stride
  const float* k;
  const float* v;
  int64_t q_stride, kv_stride;
  const int32_t* starts;  // [T] the first key that each query sees, or null: 0
  int64_t T, D;
  int64_t past;    // query t sees the keys up to past + t
  int64_t window;  // and of those the last so many; 0: all
  // Dropout as in random.cc, none where the threshold is 0. Weight (t, s) is element `element` + t
  // T + s.
  uint32_t drop_threshold;
  float keep_scale;
  uint64_t seed, stream, element;
};

struct AttentionOutput {
  float* out;  // row t at out + t * stride
  int64_t stride;
  float* lse;  // [T] or null
};

struct AttentionGradient {
  const float* dout;  // rows at the same stride as out's
  const float* out;
  int64_t stride;
  const float* lse;
  float* dq;  // rows of D at dq + t * dstride
  float* dk;
  float* dv;
  int64_t dstride;
  bool accumulate;
  // Where these keys' part of dq goes, [T, D], neither scaled nor accumulated; null: all of dq goes
  // to dq.
  float* dq_part;
};

}  // namespace gptloom::cpu
