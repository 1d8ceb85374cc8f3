// Matrix products of many rows.
//
// Maths: out[M, N] = act(op(a)[M, K] op(b)[K, N] + bias[N]) + residual[M, N]; op is the identity or
//   the transpose, act the identity or GELU. In the backward pass out (+)= (op(a) op(b)) gelu'(z),
//   and sums[N] (+)= the sums of b's columns over K.
// Plan (after Goto & van de Geijn 2008): K is cut into blocks whose length depends on K alone. For
//   each, a is packed into panels, at most kPackedRows rows, all threads together. Then each thread
//   takes tiles of the output: it packs columns of b (they stay in its L2) and sweeps a's panels over
//   them. All but the first columns are packed while those before them are multiplied, so that
//   reading b costs nothing. Between K blocks the sums wait in the output. What follows the sums
//   (bias, GELU or its slope, residual) is done to each register tile after the last block, while it
//   is in L1; the columns of b are summed where they are packed for the first rows of the output. Few
//   rows (generation) are matmul_narrow.cc's. Compact weights (compact.cc) become floats where b is
//   packed or read, and all else is the same: so are the bits, with the same weights as floats.
// Numbers: float32 chains over a K block, blocks added in order: the error of an element is about
//   sqrt(block) 6e-8 |a| |b|. Tiles never change the order, so neither do threads. Bound by flops
//   from some tens of rows on, below by the bytes of the weights.
#include <algorithm>
#include <atomic>
#include <utility>

#include "cpu/matmul.h"
#include "cpu/ops.h"

namespace gptloom::cpu {

namespace {

// Most columns of b packed at once, in vectors: 768 x 96 floats with AVX-512, 768 x 48 with AVX2.
// Two such blocks lie in L2, that which is multiplied and that which follows.
constexpr int64_t kPackedVectors = 6;
constexpr int64_t kKeptA = 192 << 10;     // floats of a that stay in L2 while b's columns pass
constexpr int64_t kFewRows = 192;         // rows that b's packing still hides under
constexpr int64_t kPackedRows = 2048;     // most rows of a packed at once
constexpr int64_t kPackGrain = 16 << 10;  // floats of a packed by one call: a few microseconds
constexpr int64_t kPackAlone = 64 << 10;  // so few floats are packed sooner than other threads wake

struct Tiles {
  int64_t rows, columns;  // of the output, handed to one thread
  int64_t packed;         // columns of b packed at once
};

// Rows of a that stay in L2 and all columns with one thread; with more, small enough that there are
// some for each. Rows are split first: threads that write neighbouring columns of the same rows wait
// for each other's lines, since processors fetch ahead along a row.
Tiles choose_tiles(const Context& context, int64_t rows, int64_t N, int64_t depth) {
  const int64_t mr = context.kernels.matmul.tile_rows, nr = context.kernels.matmul.tile_columns;
  const int64_t threads = rows * N * depth <= kAlone ? 1 : context.pool.threads();
  Tiles tiles{even_part(rows, std::max(kKeptA / depth, kFewRows), mr), round_up(N, nr), 0};
  const auto count = [&] { return divide_up(rows, tiles.rows) * divide_up(N, tiles.columns); };
  while (threads > 1 && count() < 4 * threads) {
    const bool few = count() < threads;
    if (tiles.rows >= 2 * kFewRows) {
      tiles.rows = even_part(rows, tiles.rows / 2, mr);
    } else if (tiles.columns >= (few ? 2 : 4) * nr) {
      tiles.columns = even_part(N, tiles.columns / 2, nr);
    } else if (few && tiles.rows >= 4 * mr) {
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
    tiles_ = choose_tiles(context_, rows, spec_.N, depth_);
    Scratch<float> packed_a(context_, std::min(rows, spec_.M) * std::min(depth_, K));
    const int64_t per_thread =
        round_up(tiles_.packed, context_.kernels.width) * std::min(depth_, K);
    Scratch<float> packed_b(context_, 2 * per_thread * context_.pool.threads());
    for (int64_t row = 0; row < spec_.M; row += rows) {
      for (int64_t k = 0; k < K; k += depth_) {
        const Region region{row, std::min(rows, spec_.M - row), k, std::min(depth_, spec_.K - k)};
        pack(packed_a, region);
        multiply(packed_a, packed_b, per_thread, region);
      }
    }
  }

 private:
  struct Region {
    int64_t row, rows, k, depth;
  };

  void pack(float* packed_a, const Region& region) {
    if (region.depth == 0) return;
    const int64_t depth = region.depth;
    const bool small = region.rows * depth <= kPackAlone;
    const int64_t some = round_up(small ? region.rows : std::max<int64_t>(kPackGrain / depth, 128),
                                  kernels_.tile_rows);
    context_.pool.run_ranges(region.rows, some, [&](int64_t begin, int64_t end, int) {
      const int64_t i = region.row + begin;
      const int64_t stride = spec_.transpose_a ? spec_.M : spec_.K;
      const float* from =
          spec_.transpose_a ? a_ + region.k * stride + i : a_ + i * stride + region.k;
      kernels_.pack_a(packed_a + begin * depth, from, stride, end - begin, depth,
                      spec_.transpose_a);
    });
  }

  // Part of a tile; the tile's columns end at `end`.
  struct Part {
    int64_t row = 0, rows = 0, column = 0, columns = 0, end = 0;
  };

  // Tiles in the order in which threads take them. Those that are taken one after another lie apart:
  // see choose_tiles.
  class Queue {
   public:
    Queue(const Tiles& tiles, int64_t rows, int64_t N, int64_t threads)
        : tiles_(tiles),
          rows_(rows),
          N_(N),
          down_(divide_up(rows, tiles.rows)),
          apart_(divide_up(divide_up(N, tiles.columns), threads)),
          count_(down_ * apart_ * threads),
          threads_(threads) {}

    // The part after this one, of its tile or of another that is left.
    bool next(Part& part) {
      part.column += part.columns;
      while (part.column >= part.end) {
        const int64_t index = taken_.fetch_add(1, std::memory_order_relaxed);
        if (index >= count_) return false;
        const int64_t across = index / down_;
        part.row = index % down_ * tiles_.rows;
        part.rows = std::min(tiles_.rows, rows_ - part.row);
        part.column = (across % threads_ * apart_ + across / threads_) * tiles_.columns;
        part.end = std::min(part.column + tiles_.columns, N_);
      }
      part.columns = std::min(tiles_.packed, part.end - part.column);
      return true;
    }

   private:
    const Tiles tiles_;
    const int64_t rows_, N_, down_, apart_, count_, threads_;
    std::atomic<int64_t> taken_{0};
  };

  void multiply(const float* packed_a, float* packed_b, int64_t per_thread, const Region& region) {
    const int64_t count =
        divide_up(region.rows, tiles_.rows) * divide_up(spec_.N, tiles_.columns);
    const int64_t threads = std::min<int64_t>(count, context_.pool.threads());
    Queue queue(tiles_, region.rows, spec_.N, threads);
    context_.pool.run(threads, [&](int64_t, int thread) {
      float *panels = packed_b + thread * 2 * per_thread, *spare = panels + per_thread;
      Part now;
      if (!queue.next(now)) return;
      // Nothing hides the packing of the first, which therefore is narrow.
      now.columns = std::min<int64_t>(now.columns, kernels_.tile_columns);
      const MatmulPack first = pack_of(region, now, panels);
      kernels_.pack_b(panels, first.from, first.stride, first.columns, first.depth,
                      first.transpose);
      for (bool more = true; more; std::swap(panels, spare)) {
        Part next = now;
        more = queue.next(next);
        multiply(packed_a, panels, region, now,
                 more ? pack_of(region, next, spare) : MatmulPack{});
        now = next;
      }
    });
  }

  void multiply(const float* packed_a, float* panels, const Region& region, const Part& part,
                const MatmulPack& next) const {
    if (spec_.compact)
      context_.kernels.compact.unpack(panels, spec_.compact, part.column, part.columns, region.k,
                                      region.depth);
    const int64_t row = region.row + part.row, at = row * spec_.N + part.column;
    MatmulBlock block{packed_a + part.row * region.depth,
                      panels,
                      part.rows,
                      part.columns,
                      region.depth,
                      sum_ + at,
                      spec_.N,
                      spec_.accumulate || region.k > 0};
    if (region.k + region.depth == spec_.K) finish(block, at, part.column);
    block.next = next;
    kernels_.block(block);
    if (spec_.sums && row == 0) {
      kernels_.sum_b(spec_.sums + part.column, panels, part.columns, region.depth,
                     spec_.accumulate_sums || region.k > 0);
    }
  }

  // Nothing with compact weights.
  MatmulPack pack_of(const Region& region, const Part& part, float* to) const {
    if (spec_.compact) return {};
    const int64_t stride = spec_.transpose_b ? spec_.K : spec_.N;
    const float* from = b_ + (spec_.transpose_b ? part.column * stride + region.k
                                                : region.k * stride + part.column);
    return {to, from, stride, part.columns, region.depth, spec_.transpose_b};
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
