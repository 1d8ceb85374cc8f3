// Matrix products as other ops ask for them, with strides and with rows that only the GPU counts.
#pragma once
#include "../../cuda/matmul.h"
#include "cuda/context.h"

namespace gptloom::cuda {

// One kernel that makes tiles of the output.
struct MatmulTiles {
  const char* name;  // within the kernel's name
  int64_t rows, columns;
  unsigned threads, shared;
  double resident;  // blocks that share a multiprocessor at most, for their registers
  double speed;     // of multiply-adds, relative, once there are enough blocks
};

// How a product is made: by which tiles, K in how many parts. No tiles: few rows against the rows
// of b.
struct MatmulPlan {
  const MatmulTiles* tiles;
  int splits;
  bool tf32;  // of float32 rounded to tf32, on tensor cores
};

// The plan that is estimated to be the fastest on this GPU.
MatmulPlan plan_matmul(const Context&, Dtype, const MatmulTask&);

// What a task says of alignment and of parts is set here; everything else is the caller's.
void matmul(Context&, Dtype, const MatmulTask&, const MatmulPlan&);
void matmul(Context&, Dtype, const MatmulTask&);

}  // namespace gptloom::cuda
