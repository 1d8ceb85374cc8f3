// Matrix products of many rows.
//
// Maths: out[M, N] = act(op(a)[M, K] op(b)[K, N] + bias[N]) + residual[M, N]; op is the identity or
//   the transpose, act the identity or GELU. In the backward pass out (+)= (op(a) op(b)) gelu'(z),
//   and sums[N] (+)= the sums of b's columns over K.
// Plan (after Goto & van de Geijn 2008): K is cut into blocks whose length depends on K alone. A
//   region of at most kPackedA floats of a is packed into panels, all threads together. Then each
//   thread takes tiles of the output; for each K block it packs its columns of b (they stay in its
//   L2) and sweeps a's panels over them, so that b is read from memory once and a in sequence.
//   Between K blocks the sums wait in the output. What follows the sums (bias, GELU or its slope,
//   residual) is done to each register tile after the last block, while it is in L1; the columns of
//   b are summed where they have just been packed for the first rows of the output. Few rows
//   (generation) are matmul_narrow.cc's. Compact weights (compact.cc) become floats where b is
//   packed or read, and all else is the same: so are the bits, with the same weights as floats.
// Numbers: float32 chains over a K block, blocks added in order: the error of an element is about
//   sqrt(block) 6e-8 |a| |b|. Tiles never change the order, so neither do threads. Bound by flops
//   from some tens of rows on, below by the bytes of the weights.
#include <algorithm>

#include "cpu/matmul.h"
#include "cpu/ops.h"

namespace gptloom::cpu {

namespace {

// Most columns of b packed at once, in vectors: 768 x 112 floats with AVX2 fit 512 KB of L2, 768 x
// 240 with AVX-512 the larger L2 of the processors that have it.
constexpr int64_t kPackedVectors = 15;
constexpr int64_t kPackedA = 4 << 20;     // most floats of a packed at once: 16 MB, some of L3
constexpr int64_t kPackedRows = 2048;     // and most rows, so that several K blocks share a region
constexpr int64_t kPackGrain = 16 << 10;  // floats of a packed by one call: a few microseconds
constexpr int64_t kPackAlone = 64 << 10;  // so few floats are packed sooner than other threads wake

struct Tiles {
  int64_t rows, columns;  // of the output, handed to one thread
  int64_t packed;         // columns of b packed at once
};

// As large as can be with one thread; with more, small enough that there are some for each. Fewer
// rows mean that b is packed more often, fewer columns that a passes through L1 more often, which
// costs less.
Tiles choose_tiles(const Context& context, int64_t rows, int64_t N, int64_t depth) {
  const int64_t mr = context.kernels.matmul.tile_rows, nr = context.kernels.matmul.tile_columns;
  const int64_t threads = rows * N * depth <= kAlone ? 1 : context.pool.threads();
  Tiles tiles{round_up(rows, mr), round_up(N, nr), 0};
  const auto count = [&] { return divide_up(rows, tiles.rows) * divide_up(N, tiles.columns); };
  while (threads > 1 && count() < 4 * threads) {
    const bool few = count() < threads;
    if (tiles.columns >= (few ? 2 : 4) * nr) {
      tiles.columns = even_part(N, tiles.columns / 2, nr);
    } else if (tiles.rows >= (few ? 4 * mr : 256)) {
      tiles.rows = even_part(rows, tiles.rows / 2, mr);
    } else {
      break;
    }
  }
  tiles.packed = even_part(tiles.columns, kPackedVectors * context.kernels.width / nr * nr, nr);
  return tiles;
}

class Blocked {
 public:
  Blocked(Context& context, float* out, float* sum, const float* a, const float* b,
          const Matmul& spec)
      : context_(context),
        kernels_(context.kernels.matmul),
        spec_(spec),
        out_(out),
        sum_(sum),
        a_(a),
        b_(b) {}

  void run() {
    const int64_t K = std::max<int64_t>(spec_.K, 1);
    depth_ = block_of(K);
    const int64_t rows = even_part(spec_.M, kPackedRows, kernels_.tile_rows);
    const int64_t blocks = std::max<int64_t>(kPackedA / (rows * depth_), 1);
    const int64_t span = even_part(K, blocks * depth_, depth_);
    tiles_ = choose_tiles(context_, rows, spec_.N, K);
    Scratch<float> packed_a(context_, std::min(rows, spec_.M) * std::min(span, K));
    const int64_t per_thread =
        round_up(tiles_.packed, context_.kernels.width) * std::min(depth_, K);
    Scratch<float> packed_b(context_, per_thread * context_.pool.threads());
    for (int64_t row = 0; row < spec_.M; row += rows) {
      for (int64_t k = 0; k < K; k += span) {
        const Region region{row, std::min(rows, spec_.M - row), k, std::min(span, spec_.K - k)};
        pack(packed_a, region);
        multiply(packed_a, packed_b, per_thread, region);
      }
    }
  }

 private:
  struct Region {
    int64_t row, rows, k, depth;
  };

  // packed_a: for each K block, the panels of all rows.
  void pack(float* packed_a, const Region& region) {
    const int64_t depth = std::min(depth_, std::max<int64_t>(region.depth, 1));
    const bool small = region.rows * region.depth <= kPackAlone;
    const int64_t some = round_up(small ? region.rows : std::max<int64_t>(kPackGrain / depth, 128),
                                  kernels_.tile_rows);
    const int64_t parts = divide_up(region.rows, some), blocks = divide_up(region.depth, depth_);
    context_.pool.run(parts * blocks, [&](int64_t index, int) {
      const int64_t k = index / parts * depth_, row = index % parts * some;
      const int64_t length = std::min(depth_, region.depth - k);
      const int64_t i = region.row + row, p = region.k + k;
      const int64_t stride = spec_.transpose_a ? spec_.M : spec_.K;
      const float* from = spec_.transpose_a ? a_ + p * stride + i : a_ + i * stride + p;
      kernels_.pack_a(packed_a + k * region.rows + row * length, from, stride,
                      std::min(some, region.rows - row), length, spec_.transpose_a);
    });
  }

  void multiply(const float* packed_a, float* packed_b, int64_t per_thread, const Region& region) {
    const int64_t down = divide_up(region.rows, tiles_.rows),
                  across = divide_up(spec_.N, tiles_.columns);
    context_.pool.run(down * across, [&](int64_t index, int thread) {
      const int64_t row = index % down * tiles_.rows,
                    rows = std::min(tiles_.rows, region.rows - row);
      const int64_t begin = index / down * tiles_.columns,
                    end = std::min(begin + tiles_.columns, spec_.N);
      float* const panels = packed_b + thread * per_thread;
      for (int64_t column = begin; column < end; column += tiles_.packed) {
        const int64_t columns = std::min(tiles_.packed, end - column);
        int64_t k = 0;
        do {
          const int64_t length = std::min(depth_, region.depth - k);
          const int64_t p = region.k + k, stride = spec_.transpose_b ? spec_.K : spec_.N;
          const float* from =
              spec_.compact ? nullptr
                            : b_ + (spec_.transpose_b ? column * stride + p : p * stride + column);
          if (spec_.compact)
            context_.kernels.compact.unpack(panels, spec_.compact, column, columns, p, length);
          else
            kernels_.pack_b(panels, from, stride, columns, length, spec_.transpose_b);
          if (spec_.sums && region.row + row == 0) {
            kernels_.sum_b(spec_.sums + column, panels, columns, length,
                           spec_.accumulate_sums || p > 0);
          }
          const int64_t at = (region.row + row) * spec_.N + column;
          MatmulBlock block{packed_a + k * region.rows + row * length,
                            panels,
                            rows,
                            columns,
                            length,
                            sum_ + at,
                            spec_.N,
                            spec_.accumulate || p > 0};
          if (p + length == spec_.K) finish(block, at, column);
          kernels_.block(block);
          k += depth_;
        } while (k < region.depth);
      }
    });
  }

  void finish(MatmulBlock& block, int64_t at, int64_t column) const {
    if (spec_.bias) block.bias = spec_.bias + column;
    block.gelu = spec_.gelu;
    if (spec_.slope) block.slope = spec_.slope + at;
    if (spec_.residual) block.residual = spec_.residual + at;
    block.out = out_ + at;
  }

  Context& context_;
  const MatmulKernels& kernels_;
  const Matmul& spec_;
  float* out_;
  float* sum_;
  const float* a_;
  const float* b_;
  int64_t depth_ = 0;
  Tiles tiles_{};
};

}  // namespace

void matmul(Context& context, float* out, const float* a, const float* b, const Matmul& spec) {
  if (spec.N <= 0) return;
  const bool few = spec.M <= context.kernels.matmul.narrow_rows;
  if (few && spec.sums) {
    bias_backward(context, spec.sums, b, spec.K, spec.N, spec.accumulate_sums);
  }
  if (spec.M <= 0) return;
  if (few) return matmul_narrow(context, out, a, b, spec);
  Matmul plain = spec;
  const bool curved = plain.gelu != Gelu::none;
  // out += (a b) gelu'(z) has a residual: only a b is summed.
  if (plain.slope && plain.accumulate) plain.accumulate = false, plain.residual = out;
  // out = a b + bias + out is an accumulation.
  if (plain.residual == out && !curved) plain.accumulate = true, plain.residual = nullptr;
  // Between K blocks the sums must not lie where the residual is still to be read.
  const bool apart = plain.residual == out && !plain.pre;
  Scratch<float> sums(context, apart ? spec.M * spec.N : 0);
  float* const sum = plain.pre ? plain.pre : apart ? sums.data() : out;
  Blocked(context, out, sum, a, b, plain).run();
}

}  // namespace gptloom::cpu
