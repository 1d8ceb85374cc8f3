// The CPU engine's ops. Each is one call over whole tensors: it splits its work over context.pool
// and calls the kernels of context.kernels. Arguments are trusted (TypeScript has checked them) but
// for values that only the data holds, such as token ids: those throw Error("ERR_INDEX").
//
// Everything is float32, row-major and contiguous unless said; pointers need no alignment beyond
// that of float. Letters: B batch, T time, C channels, V vocabulary, H heads, D head size; dx is
// the gradient of x. Outputs first, then inputs, parameters, sizes. `accumulate` adds to the output
// instead of overwriting it. Bits never depend on the number of threads.
#pragma once
#include <cstdint>
#include <vector>

#include "array.h"
#include "cpu/context.h"
#include "gptloom.h"

namespace gptloom::cpu {

// ---- matmul.cc
// ----------------------------------------------------------------------------------------------

// out[M, N] = act(op(a)[M, K] op(b)[K, N] + bias[N]) + residual[M, N]; see slope for the other form.
struct Matmul {
  int64_t M, N, K;
  bool transpose_a = false;         // a is stored [K, M]
  bool transpose_b = false;         // b is stored [N, K]
  bool accumulate = false;          // out += ; excludes bias, residual and gelu
  const float* bias = nullptr;      // [N]
  const float* residual = nullptr;  // [M, N], may be out itself
  Gelu gelu = Gelu::none;           // act, the identity without it
  float* pre = nullptr;  // [M, N]: with gelu, where the value before GELU is kept for the backward
  const float* slope = nullptr;  // [M, N]: out (+)= (op(a) op(b)) gelu'(slope) instead
  float* sums = nullptr;         // [N] (+)= the sums of the columns of b, not transposed
  bool accumulate_sums = false;
  CompactWeight compact{};  // instead of b; excludes both transposes
};
void matmul(Context&, float* out, const float* a, const float* b, const Matmul& spec);

// ---- compact.cc
// ---------------------------------------------------------------------------------------------

// Packs weight[K, N], or [N, K] with transpose, into out, which has room for panels(N) panels.
void compact_pack(Context&, const CompactWeight& out, const float* weight, int64_t N,
                  bool transpose);
// out[K] = one column of it, as floats.
void compact_column(float* out, const CompactWeight& weight, int64_t column);

// ---- elementwise.cc
// -----------------------------------------------------------------------------------------

void fill(Context&, float* out, float value, int64_t n);
void copy(Context&, float* out, const float* x, int64_t n);
void add(Context&, float* out, const float* a, const float* b, int64_t n);  // out may alias a or b
// x *= *factor, the factor being read when the op runs.
void scale(Context&, float* x, const float* factor, int64_t n);
void gelu_forward(Context&, float* out, const float* x, int64_t n, Gelu form);
// dx (+)= dout * gelu'(x); dx may alias dout when not accumulating.
void gelu_backward(Context&, float* dx, const float* dout, const float* x, int64_t n, Gelu form,
                   bool accumulate);

// ---- random.cc
// ----------------------------------------------------------------------------------------------
// Philox4x32-10 keyed by the 64-bit seed; element i takes word i % 4 of counter {i / 4, stream}.

// out = x * mask / (1 - p), where each element is dropped with probability p. The same (seed,
// stream) gives the same mask, so that the backward is this call on the gradient. out may alias x.
void dropout(Context&, float* out, const float* x, int64_t n, float p, uint64_t seed,
             uint64_t stream, bool accumulate);
void random_normal(Context&, float* out, int64_t n, float mean, float deviation, uint64_t seed,
                   uint64_t stream);
void random_uniform(Context&, float* out, int64_t n, float low, float high, uint64_t seed,
                    uint64_t stream);

// ---- layernorm.cc
// -------------------------------------------------------------------------------------------

// out[rows, C] = (x - mean) * rstd * weight[C] + bias[C]; mean and rstd are [rows], or both null
// when no backward will follow. bias may be null.
void layernorm_forward(Context&, float* out, float* mean, float* rstd, const float* x,
                       const float* weight, const float* bias, int64_t rows, int64_t C,
                       float epsilon);
// Any of dx, dweight, dbias may be null. dweight and dbias follow accumulate_params.
void layernorm_backward(Context&, float* dx, float* dweight, float* dbias, const float* dout,
                        const float* x, const float* weight, const float* mean, const float* rstd,
                        int64_t rows, int64_t C, bool accumulate_dx, bool accumulate_dweight,
                        bool accumulate_dbias);

// ---- embedding.cc
// -------------------------------------------------------------------------------------------

// out[B, T, C] = wte[tokens[B, T]] + wpe[past + t - starts[b, t]]. wpe may be null (no positions; P
// is then unused), starts may be null (all 0). A token outside [0, V) or a position outside [0, P)
// throws ERR_INDEX.
struct Embedding {
  int64_t B, T, C, V, P = 0, past = 0;
  CompactWeight compact{};  // of the forward: instead of wte, whose rows are its columns
};
void embedding_forward(Context&, float* out, const int32_t* tokens, const int32_t* starts,
                       const float* wte, const float* wpe, const Embedding& spec);
// Adds to dwte[V, C] and dwpe[P, C], either of which may be null. Tokens are summed in order.
void embedding_backward(Context&, float* dwte, float* dwpe, const float* dout,
                        const int32_t* tokens, const int32_t* starts, const Embedding& spec);

// ---- attention.cc
// -------------------------------------------------------------------------------------------

// Causal multi-head attention on packed rows qkv[B, T, 3 H D] = q | k | v, each [H, D]. Position t
// attends to s in [starts[b, t], t]; starts null means 0 everywhere. out[B, T, H D]. lse[B, H, T]
// is log sum exp of the scaled scores, for the backward (null when none will follow). No T x T
// matrix is ever held. Scores are scaled by 1/sqrt(D). dropout p > 0 drops attention weights after
// the softmax: weight (b, h, t, s) takes the Philox word of element
// ((b H + h) T + t) T + s of (seed, stream).
struct Attention {
  int64_t B, T, H, D;
  int64_t window = 0;  // a query sees that many keys at most, itself included; 0: all before it
  float dropout = 0;
  uint64_t seed = 0, stream = 0;
};
void attention_forward(Context&, float* out, float* lse, const float* qkv, const int32_t* starts,
                       const Attention& spec);
void attention_backward(Context&, float* dqkv, const float* dout, const float* qkv,
                        const float* out, const float* lse, const int32_t* starts,
                        const Attention& spec, bool accumulate);
// Generation: T new positions follow `past` ones whose keys and values stand in the caches
// [B, H, capacity, D]; the new ones are appended there, and out[B, T, H D] attends to all up to
// itself.
void attention_cached(Context&, float* out, float* k_cache, float* v_cache, const float* qkv,
                      const Attention& spec, int64_t past, int64_t capacity);

// ---- crossentropy.cc
// ----------------------------------------------------------------------------------------

// losses[N] = -log softmax(logits[N, V])[target]; 0 where target < 0 (ignored). Throws ERR_INDEX
// for target >= V. dlogits[N, V] (null: not wanted; may alias logits) is the gradient of the SUM of
// losses. `smoothing` of a target's weight is spread over all V (label smoothing).
void crossentropy(Context&, float* losses, float* dlogits, const float* logits,
                  const int32_t* targets, int64_t N, int64_t V, float smoothing = 0);
// The same with logits = x[N, C] weight[V, C]^T, formed for some rows at a time and never held
// whole: forward and backward in one pass. dx[N, C] and dweight[V, C] (either may be null) are
// gradients of the SUM of losses, overwritten. As many rows as have `chunk_floats` logits are formed
// at a time, but 128 if need be.
void linear_crossentropy(Context&, float* losses, float* dx, float* dweight, const float* x,
                         const float* weight, const int32_t* targets, int64_t N, int64_t C,
                         int64_t V, float smoothing = 0, int64_t chunk_floats = int64_t{16} << 20);

// ---- reduce.cc
// ----------------------------------------------------------------------------------------------
// Sums run in chunks of a fixed number of elements, in double, added in order.

void sum(Context&, float* out, const float* x, int64_t n);  // out[1]
// out[1] = the square root of the sum of squares of all elements of all tensors.
struct Span {
  const float* data;
  int64_t n;
};
void norm(Context&, float* out, const std::vector<Span>& tensors);
// dbias[N] (+)= the sum of dout[M, N] over rows.
void bias_backward(Context&, float* dbias, const float* dout, int64_t M, int64_t N,
                   bool accumulate);

// ---- adamw.cc
// -----------------------------------------------------------------------------------------------

// One AdamW step (Loshchilov & Hutter 2019) over all tensors. Gradients are first multiplied by
// gradient_scale and, when norm and max_norm are given, by min(1, max_norm / (*norm *
// gradient_scale + 1e-6)). When *norm is not finite nothing is changed at all, so that the last
// good weights survive.
struct AdamwTensor {
  float* param;
  const float* gradient;
  float* m;
  float* v;
  int64_t n;
  float weight_decay;
};
struct Adamw {
  float learning_rate, beta1, beta2, epsilon, gradient_scale = 1,
                                              max_norm = 0;  // max_norm 0: no clipping
  int64_t step;                                              // counted from 1
};
void adamw(Context&, const std::vector<AdamwTensor>& tensors, const float* norm, const Adamw& spec);

// ---- foreign.cc
// ---------------------------------------------------------------------------------------------

// A kernel from outside. Throws what it says is wrong.
void foreign(Context&, const gptloom_kernel& kernel, const std::vector<Array>& arrays,
             const std::vector<uint8_t>& params);

}  // namespace gptloom::cpu
