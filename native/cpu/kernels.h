// The kernels of one instruction set, as a table of plain functions. native/cpu/simd/<family>.h
// holds each family once, written on the vector type Vec; <isa>.cc compiles all of them for one
// instruction set and fills one table. The op (native/cpu/<family>.cc) decides the splitting, the
// kernel does a range on one thread.
#pragma once
#include <cstdint>

#include "cpu/compact.h"
#include "gelu.h"

namespace gptloom::cpu {

// One tensor's share of a step, all factors ready: see adamw.cc.
struct AdamwFactors {
  float gradient, beta1, one_minus_beta1, beta2, one_minus_beta2;
  float rate, root_correction, epsilon, decay;
};
struct AdamwKernels {
  void (*update)(float* param, const float* gradient, float* m, float* v, int64_t n,
                 const AdamwFactors& factors);
};

// See cpu/attention_head.h.
struct AttentionHead;
struct AttentionOutput;
struct AttentionGradient;
struct AttentionKernels {
  // Queries [begin, end), begin being a multiple of attention_block.
  void (*forward)(const AttentionHead&, const AttentionOutput&, int64_t begin, int64_t end,
                  float* scratch);
  // Keys [begin, end), begin being a multiple of attention_block.
  void (*backward)(const AttentionHead&, const AttentionGradient&, int64_t begin, int64_t end,
                   float* scratch);
  // dq of the queries [begin, end) from the parts at dq_part, which stand part_stride apart; part i
  // holds nothing for queries before first_keys[i].
  void (*sum_parts)(const AttentionHead&, const AttentionGradient&, int64_t part_stride,
                    const int64_t* first_keys, int64_t parts, int64_t begin, int64_t end);
  // out[D] of query t alone; scratch holds a float for each key, rounded up to a whole vector.
  void (*row)(const AttentionHead&, float* out, int64_t t, float* scratch);
};

struct MatmulNarrow;
struct CompactKernels {
  // A product of few rows with compact weights: of `part`, b counts for nothing and the columns
  // begin at `column`, which is a multiple of CompactWeight::lanes.
  void (*narrow)(const MatmulNarrow& part, const CompactWeight& weight, int64_t column);
  // The panels that MatmulKernels::pack_b makes, of depth rows from k and of columns from column, a
  // multiple of the vector's width.
  void (*unpack)(float* out, const CompactWeight& weight, int64_t column, int64_t columns,
                 int64_t k, int64_t depth);
};

struct CrossEntropyKernels {
  // The loss of one row of V logits; its gradient to dlogits, unless null, which may be logits
  // itself; past_caches: where not, past them.
  float (*row)(float* dlogits, const float* logits, int32_t target, int64_t V, float smoothing,
               bool past_caches);
};

struct ElementwiseKernels {
  void (*add)(float* out, const float* a, const float* b, int64_t n);
  void (*scale)(float* out, const float* x, float factor, int64_t n);
  void (*gelu_forward)(float* out, const float* x, int64_t n, Gelu form);
  void (*gelu_backward)(float* dx, const float* dout, const float* x, int64_t n, Gelu form,
                        bool accumulate);
};

struct EmbeddingKernels {};

struct LayernormKernels {
  // mean and rstd both null or neither; bias may be null.
  void (*forward)(float* out, float* mean, float* rstd, const float* x, const float* weight,
                  const float* bias, int64_t rows, int64_t C, float epsilon);
  // dparams is null or [2, C], overwritten with the rows' sums for weight and bias; dx may be null.
  void (*backward)(float* dx, float* dparams, const float* dout, const float* x,
                   const float* weight, const float* mean, const float* rstd, int64_t rows,
                   int64_t C, bool accumulate_dx);
};

// An operand that is to be packed: rows of a or columns of b. By default a is [count, depth] and b
// [depth, count], transposed the other way round.
struct MatmulPack {
  static constexpr int line = 16;  // floats in a line of cache, on most processors
  float* to = nullptr;
  const float* from = nullptr;
  int64_t stride = 0, count = 0, depth = 0;
  bool transpose = false;
};
// One block of a blocked product: sum[rows, columns] (+)= a b over `depth`, and on the last block
// over K what follows.
struct MatmulBlock {
  const float* a = nullptr;  // panels packed by pack_a, `panel` floats apart
  const float* b = nullptr;  // packed by pack_b
  int64_t panel = 0;
  bool transpose_a = false;
  int64_t rows = 0, columns = 0, depth = 0;
  float* sum = nullptr;
  int64_t stride = 0;           // of sum, out, slope and residual
  bool add = false;             // to what sum holds
  const float* bias = nullptr;  // added to sum
  // out = act(sum) + residual, or sum gelu'(slope) + residual, when there is any of the three.
  Gelu gelu = Gelu::none;
  const float* slope = nullptr;
  const float* residual = nullptr;
  float* out = nullptr;
  // What is to be packed meanwhile, if anything: all of a but its first panel, and of the block that
  // follows the first panel of a, which takes the place of this one's, and b.
  MatmulPack rest_a{}, next_a{}, next_b{};
};
// A product of few rows, over a range of columns: out = act((out) + a b + bias) + residual, or
// (out) + a b gelu'(slope).
struct MatmulNarrow {
  const float* a;  // [rows, depth]
  int64_t a_stride;
  const float* b;
  int64_t b_stride;
  int64_t rows, columns, depth;
  int64_t block;  // of K: its blocks are summed apart
  float* out;
  int64_t stride;  // of out, pre, slope and residual
  bool accumulate = false;
  const float* bias = nullptr;
  Gelu gelu = Gelu::none;
  float* pre = nullptr;
  const float* slope = nullptr;
  const float* residual = nullptr;
};
struct MatmulKernels {
  int tile_rows, tile_columns;  // what the innermost loop keeps in registers
  int panel_rows;               // of a, packed together
  int narrow_rows;              // the most rows that narrow takes
  // A panel of up to panel_rows rows: blocks of panel_rows x MatmulPack::line floats, the last one of
  // less depth; each holds rows or, transposed, columns.
  void (*pack_a)(const MatmulPack&);
  // Panels of tile_columns columns, each [depth, columns of the panel]; the last one is filled up
  // with zeros to whole vectors.
  void (*pack_b)(const MatmulPack&);
  // sums[columns] (+)= the sums over depth of what pack_b has packed.
  void (*sum_b)(float* sums, const float* packed, int64_t columns, int64_t depth, bool add);
  void (*block)(const MatmulBlock&);
  void (*narrow)(const MatmulNarrow&);             // b is [depth, columns]
  void (*narrow_transposed)(const MatmulNarrow&);  // b is [columns, depth]
};

// For the bench: see cpu/probe.h.
struct ProbeKernels {
  int flops;                                           // of a round of multiply_add
  void (*multiply_add)(float* state, int64_t rounds);  // state: both factors; a result comes back
  float (*read)(const float* x, int64_t n);
  void (*copy)(float* to, const float* from, int64_t n);
  void (*stream)(float* to, const float* from, int64_t n);  // 64-byte aligned
};

// `first` is the index of the first element in its stream: any value, so that a part of a tensor
// gets the numbers that the whole would have had. See random.cc for the mapping.
struct RandomKernels {
  void (*words)(uint32_t* out, int64_t n, uint64_t first, uint64_t seed, uint64_t stream);
  // Element i is dropped where word(i) >> 8 < threshold, else multiplied by scale; out may alias x.
  void (*dropout)(float* out, const float* x, int64_t n, uint64_t first, uint32_t threshold,
                  float scale, uint64_t seed, uint64_t stream, bool accumulate);
  void (*normal)(float* out, int64_t n, uint64_t first, float mean, float deviation, uint64_t seed,
                 uint64_t stream);
  void (*uniform)(float* out, int64_t n, uint64_t first, float low, float high, uint64_t seed,
                  uint64_t stream);
};

struct ReduceKernels {
  double (*sum)(const float* x, int64_t n);
  double (*sum_of_squares)(const float* x, int64_t n);
  // out[columns] = the sum over rows of x, whose rows stand `stride` apart, in float: for a few
  // hundred rows.
  void (*column_sums)(float* out, const float* x, int64_t rows, int64_t columns, int64_t stride);
  // The same in double, row after row; out (+)=.
  void (*column_totals)(float* out, const float* x, int64_t rows, int64_t columns, int64_t stride,
                        bool accumulate);
  void (*add_to)(float* out, const float* x, int64_t n);  // out += x
};

struct Kernels {
  const char* isa;  // "avx512", "avx2", "neon" or "portable"
  int width;        // floats in a vector
  AdamwKernels adamw;
  AttentionKernels attention;
  CompactKernels compact;
  CrossEntropyKernels crossentropy;
  ElementwiseKernels elementwise;
  EmbeddingKernels embedding;
  LayernormKernels layernorm;
  MatmulKernels matmul;
  ProbeKernels probe;
  RandomKernels random;
  ReduceKernels reduce;
};

// The best table for this processor; GPTLOOM_ISA=portable|avx2|avx512|neon asks for another one.
// Throws Error("ERR_DEVICE") when the one asked for cannot run here.
const Kernels& kernels();
// Every table that can run on this processor, best first.
int runnable_kernels(const Kernels* out[4]);

}  // namespace gptloom::cpu
