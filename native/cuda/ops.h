// The CUDA engine's ops: each chooses kernels, block and grid, and launches. Arguments are trusted
// (TypeScript has checked shapes and dtypes) but for values that only the data holds, such as token
// ids: kernels report those through context.failure().
//
// Row-major and contiguous; base pointers come from tensors or views of rows, so that they are
// aligned to 4 bytes at least (2 for bfloat16): vector paths ask for alignment, others must serve
// the rest. T is float32 or bfloat16 and is the dtype of activations AND of weights of one call.
// Gradients of parameters (dweight, dbias, dwte, dwpe) are float32 whatever T is, and so are means,
// rstd, lse, losses, norms and moments. Sums are kept in float32. `accumulate` adds to the output.
// Letters and orders as in cpu/ops.h, whose formulas these follow. No float atomics: the same input
// gives the same bits.
#pragma once
#include <cstdint>
#include <vector>

#include "cuda/context.h"
#include "gelu.h"
#include "gptloom.h"

namespace gptloom::cuda {

// ---- elementwise.cc ----
void fill(Context&, Array out, float value);
void copy(Context&, Array out, Array x);  // of one dtype
void cast(Context&, Array out, Array x);  // float32 to bfloat16 (to nearest even) and back
void add(Context&, Array out, Array a, Array b);
void scale(Context&, Array x, Array factor);  // factor: float32 [1]
void gelu_forward(Context&, Array out, Array x, Gelu form);
void gelu_backward(Context&, Array dx, Array dout, Array x, Gelu form, bool accumulate);

// ---- random.cc ----
void dropout(Context&, Array out, Array x, float p, uint64_t seed, uint64_t stream,
             bool accumulate);
void random_normal(Context&, Array out, float mean, float deviation, uint64_t seed,
                   uint64_t stream);
void random_uniform(Context&, Array out, float low, float high, uint64_t seed, uint64_t stream);

// ---- reduce.cc ----
void sum(Context&, Array out, Array x);                   // out: float32 [1]
void norm(Context&, Array out, const std::vector<Array>& tensors);  // out: float32 [1]
void bias_backward(Context&, Array dbias, Array dout, bool accumulate);

// ---- matmul.cc ----
// out may be float32 while a and b are bfloat16 (gradients of weights). pre, slope, bias, residual: T.
struct Matmul {
  Array out, a, b;
  bool transpose_a, transpose_b, accumulate;
  Array bias = {}, residual = {};
  Gelu gelu = Gelu::none;
  Array pre = {};    // with gelu: where the value before it is kept; may be left out
  Array slope = {};  // with gelu: out (+)= (op(a) op(b)) gelu'(slope) instead
  Array sums = {};   // float32 [N] (+)= the sums of the columns of b, which is not transposed
  bool accumulate_sums = false;
};
void matmul(Context&, const Matmul&);

// ---- layernorm.cc ----
void layernorm_forward(Context&, Array out, Array mean, Array rstd, Array x, Array weight,
                       Array bias, float epsilon);
void layernorm_backward(Context&, Array dx, Array dweight, Array dbias, Array dout, Array x,
                        Array weight, Array mean, Array rstd, bool accumulate_dx,
                        bool accumulate_dweight, bool accumulate_dbias);

// ---- embedding.cc ----
void embedding_forward(Context&, Array out, Array tokens, Array starts, Array wte, Array wpe,
                       int64_t past);
void embedding_backward(Context&, Array dwte, Array dwpe, Array dout, Array tokens, Array starts);

// ---- attention.cc ----
struct Attention {
  int64_t heads, window;  // a query sees that many keys at most, itself included; 0: all before it
  float dropout = 0;
  uint64_t seed = 0, stream = 0;
};
void attention_forward(Context&, Array out, Array lse, Array qkv, Array starts,
                       const Attention& spec);
void attention_backward(Context&, Array dqkv, Array dout, Array qkv, Array out, Array lse,
                        Array starts, const Attention& spec, bool accumulate);
void attention_cached(Context&, Array out, Array k_cache, Array v_cache, Array qkv,
                      const Attention& spec, int64_t past);

// ---- crossentropy.cc ----
void crossentropy(Context&, Array losses, Array dlogits, Array logits, Array targets,
                  float smoothing);
void linear_crossentropy(Context&, Array losses, Array dx, Array dweight, Array x, Array weight,
                         Array targets, float smoothing);

// ---- adamw.cc ----
struct AdamwTensor {
  Array param;     // T
  Array gradient;  // float32
  Array m, v;      // float32
  Array master;    // float32, the exact weights; left out when param is float32 itself, and when it
                   // is bfloat16 that is rounded at random
  float weight_decay;
};
struct Adamw {
  float learning_rate, beta1, beta2, epsilon, gradient_scale, max_norm;  // max_norm 0: no clipping
  int64_t step;                                                          // counted from 1
  uint64_t seed;                                                         // of random rounding
};
void adamw(Context&, const std::vector<AdamwTensor>& tensors, Array norm, const Adamw& spec);

// A kernel from outside. Throws what it says is wrong.
void foreign(Context&, const gptloom_kernel& kernel, const std::vector<Array>& arrays,
             const std::vector<uint8_t>& params);

}  // namespace gptloom::cuda
