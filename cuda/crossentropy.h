// What the host tells the cross-entropy kernel. Plain C++ for both sides.
#pragma once
#include <cstdint>

namespace gptloom::cuda {

struct Failure;

// Elements of a row that a thread keeps in registers: this many times 16 bytes.
constexpr int crossentropy_held(int element_bytes) { return element_bytes == 4 ? 6 : 7; }

struct CrossentropyTask {
  float* losses;           // [rows]
  void* dlogits;           // null: not wanted; may be logits
  const void* logits;      // rows of V elements, `stride` from one to the next, as dlogits
  const int32_t* targets;  // [rows]
  const int32_t* index;    // null: row i is row i of losses and targets; else it is row index[i]
  const int32_t* count;    // with index: how many rows there are in all
  Failure* failure;
  int64_t stride;
  int32_t V;
  int32_t offset;  // with index: the first of these rows
  int32_t kept;    // times 16 bytes that each thread keeps in shared memory besides
  float smoothing, spread;  // label smoothing, and that over V
};

}  // namespace gptloom::cuda
