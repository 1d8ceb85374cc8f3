// Matrix products of many rows.
//
// Maths: out[M, N] = act(op(a)[M, K] op(b)[K, N] + bias[N]) + residual[M, N]; op is the identity or
//   the transpose, act the identity or GELU. In the backward pass out (+)= (op(a) op(b)) gelu'(z),
//   and sums[N] (+)= the sums of b's columns over K.
// Plan (after Goto & van de Geijn 2008): threads take tiles of the output, and go through K in
//   blocks whose length depends on K alone. Of each block they pack their rows of a, which stay in
//   their L2, and sweep them over columns of b, some at a time. All but the first panels are packed
//   while those before them are multiplied, so that reading a and b costs nothing, nobody waits for
//   others, and the same rows may well be packed by several. Between K blocks the sums wait in the
//   output. What follows the sums (bias, GELU or its slope, residual) is done to each register tile
//   after the last block, while it is in L1; the columns of b are summed where they are packed for
//   the first rows of the output. Few rows (generation) are matmul_narrow.cc's. Compact weights
//   (compact.cc) become floats where b is packed or read, and all else is the same: so are the bits,
//   with the same weights as floats.
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

// Floats of b packed at once. Two such blocks lie in L2, that which is multiplied and that which
// follows.
constexpr int64_t kPackedB = 72 << 10;
constexpr int64_t kKeptA = 192 << 10;  // floats of a that stay in L2 while b's columns pass
constexpr int64_t kFewRows = 192;      // rows that b's packing still hides under

struct Tiles {
  int64_t rows, columns;  // of the output, handed to one thread
  int64_t packed;         // columns of b packed at once
};

// Rows of a that stay in L2 and all columns with one thread; with more, small enough that there are
// some for each. Rows are split first: threads that write neighbouring columns of the same rows wait
// for each other's lines, since processors fetch ahead along a row. Where K has several blocks, the
// rows are packed for each tile again, so that it is to have more columns. A transposed b takes longer
// to pack: there are twice the rows to hide it under, and room for fewer of its columns.
Tiles choose_tiles(const Context& context, const Matmul& spec, int64_t depth) {
  const int64_t M = spec.M, N = spec.N, threads = context.pool.threads();
  const int64_t nr = context.kernels.matmul.tile_columns, some = context.kernels.matmul.panel_rows;
  const int64_t share = spec.transpose_b ? 2 : 1, few_rows = share * kFewRows;
  Tiles tiles{even_part(M, std::max(share * kKeptA / depth, few_rows), some), round_up(N, nr), 0};
  const auto count = [&] { return divide_up(M, tiles.rows) * divide_up(N, tiles.columns); };
  const int64_t again = spec.K > depth ? 8 : 1;
  while (threads > 1 && M * N * depth > kAlone && count() < 4 * threads) {
    const bool few = count() < threads;
    const int64_t rows = even_part(M, divide_up(tiles.rows, 2), some);
    const int64_t columns = even_part(N, divide_up(tiles.columns, 2), nr);
    const bool evener = rows * tiles.columns < tiles.rows * columns;
    if (tiles.rows >= 2 * few_rows || (few && evener)) {
      tiles.rows = rows;
    } else if (tiles.columns >= (few ? 2 : 4 * again) * nr) {
      tiles.columns = columns;
    } else if (few && tiles.rows >= 2 * some) {
      tiles.rows = rows;
    } else {
      break;
    }
  }
  tiles.packed = even_part(tiles.columns, std::max(kPackedB / share / depth / nr * nr, nr), nr);
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
    const int64_t K = std::max<int64_t>(spec_.K, 1), threads = context_.pool.threads();
    depth_ = block_of(K);
    tiles_ = choose_tiles(context_, spec_, depth_);
    const int64_t depth = std::min(depth_, K), some = kernels_.panel_rows;
    panel_ = some * round_up(depth, MatmulPack::line);
    const int64_t a = divide_up(std::min(tiles_.rows, spec_.M), some) * panel_;
    const int64_t b = round_up(tiles_.packed, context_.kernels.width) * depth;
    Queue queue(tiles_, spec_, depth_, threads);
    Scratch<float> scratch(context_, threads * (a + 2 * b));
    context_.pool.run(std::min(queue.tiles(), threads), [&](int64_t, int thread) {
      float* const panels = scratch + thread * (a + 2 * b);
      work(queue, panels, panels + a, panels + a + b);
    });
  }

 private:
  // What is multiplied at once: a block of K of a tile's rows and of some of its columns.
  struct Part {
    int64_t row = 0, rows = 0, column = 0, columns = 0, k = 0, depth = 0;
    int64_t first = 0, end = 0;  // the tile's columns

    bool same_a(const Part& part) const { return row == part.row && k == part.k; }
  };

  // Tiles in the order in which threads take them. Those that are taken one after another lie apart:
  // see choose_tiles.
  class Queue {
   public:
    Queue(const Tiles& tiles, const Matmul& spec, int64_t depth, int64_t threads)
        : tiles_(tiles),
          spec_(spec),
          depth_(depth),
          down_(divide_up(spec.M, tiles.rows)),
          across_(divide_up(spec.N, tiles.columns)),
          apart_(divide_up(across_, threads)),
          count_(down_ * apart_ * threads),
          threads_(threads) {}

    int64_t tiles() const { return down_ * across_; }

    // The part after this one, of its tile or of another that is left.
    bool next(Part& part) {
      part.column += part.columns;
      if (part.column >= part.end) {
        part.column = part.first;
        part.k += part.depth;
        if (part.k >= spec_.K && !next_tile(part)) return false;
        part.depth = std::min(depth_, spec_.K - part.k);
      }
      part.columns = std::min(tiles_.packed, part.end - part.column);
      return true;
    }

   private:
    bool next_tile(Part& part) {
      do {
        const int64_t index = taken_.fetch_add(1, std::memory_order_relaxed);
        if (index >= count_) return false;
        const int64_t across = index / down_;
        part.row = index % down_ * tiles_.rows;
        part.rows = std::min(tiles_.rows, spec_.M - part.row);
        part.first = (across % threads_ * apart_ + across / threads_) * tiles_.columns;
        part.end = std::min(part.first + tiles_.columns, spec_.N);
      } while (part.first >= part.end);
      part.column = part.first;
      part.k = 0;
      return true;
    }

    const Tiles tiles_;
    const Matmul& spec_;
    const int64_t depth_, down_, across_, apart_, count_, threads_;
    std::atomic<int64_t> taken_{0};
  };

  void work(Queue& queue, float* a, float* b, float* spare) const {
    Part now;
    now.k = spec_.K;
    if (!queue.next(now)) return;
    // Nothing hides the packing of the first columns, which therefore are few.
    now.columns = std::min<int64_t>(now.columns, kernels_.tile_columns);
    kernels_.pack_a(rows_of(now, a, kernels_.panel_rows));
    kernels_.pack_b(columns_of(now, b));
    bool fresh = true;  // of a there is the first panel only
    for (bool more = true; more; std::swap(b, spare)) {
      Part next = now;
      more = queue.next(next);
      MatmulBlock block{a, b, panel_, spec_.transpose_a};
      if (fresh) block.rest_a = rows_of(now, a, now.rows);
      fresh = more && !next.same_a(now);
      if (fresh) block.next_a = rows_of(next, a, kernels_.panel_rows);
      if (more) block.next_b = columns_of(next, spare);
      multiply(block, now, b);
      now = next;
    }
  }

  void multiply(MatmulBlock& block, const Part& part, float* b) const {
    if (spec_.compact)
      context_.kernels.compact.unpack(b, spec_.compact, part.column, part.columns, part.k,
                                      part.depth);
    const int64_t at = part.row * spec_.N + part.column;
    block.rows = part.rows;
    block.columns = part.columns;
    block.depth = part.depth;
    block.sum = sum_ + at;
    block.stride = spec_.N;
    block.add = spec_.accumulate || part.k > 0;
    if (part.k + part.depth == spec_.K) finish(block, at, part.column);
    kernels_.block(block);
    if (spec_.sums && part.row == 0) {
      kernels_.sum_b(spec_.sums + part.column, b, part.columns, part.depth,
                     spec_.accumulate_sums || part.k > 0);
    }
  }

  MatmulPack rows_of(const Part& part, float* to, int64_t most) const {
    const bool transpose = spec_.transpose_a;
    const int64_t stride = transpose ? spec_.M : spec_.K;
    const float* from = a_ + (transpose ? part.k * stride + part.row : part.row * stride + part.k);
    return {to, from, stride, std::min(part.rows, most), part.depth, transpose};
  }
  // Nothing with compact weights.
  MatmulPack columns_of(const Part& part, float* to) const {
    if (spec_.compact) return {};
    const bool transpose = spec_.transpose_b;
    const int64_t stride = transpose ? spec_.K : spec_.N;
    const float* from =
        b_ + (transpose ? part.column * stride + part.k : part.k * stride + part.column);
    return {to, from, stride, part.columns, part.depth, transpose};
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
  int64_t depth_ = 0, panel_ = 0;
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
