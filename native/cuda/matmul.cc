// Which matmul kernel runs, on which tiles, over how many parts of K.
//
// Plan: up to 16 rows against a transposed b take a kernel of their own. Everything else is tiles:
//   for each kind and each number of parts, the time is estimated as the work of the busiest
//   multiprocessor plus what it costs to add the parts, and the least is taken. The choice follows
//   shapes and the GPU's model only, so that the same run gives the same bits. A kernel for another
//   generation of GPUs would be another line of the tables below, with the compute capability that
//   it asks for.
#include "cuda/matmul.h"

#include <algorithm>
#include <climits>
#include <optional>
#include <string>
#include <utility>

#include "cuda/kernels.h"
#include "cuda/ops.h"
#include "error.h"

namespace gptloom::cuda {

namespace {

// See cuda/matmul.cu for the kernels of these names. shared: stages x (rows + columns) x 64 bytes of
// K, be it bfloat16 or tf32.
constexpr MatmulTiles tensor_tiles[] = {
    {"256x128", 256, 128, 256, 3 * (256 + 128) * 64, 1, 1.0},
    {"128x128", 128, 128, 128, 3 * (128 + 128) * 64, 2, 0.95},
    {"128x64", 128, 64, 128, 4 * (128 + 64) * 64, 3, 0.8},
    {"64x64", 64, 64, 128, 4 * (64 + 64) * 64, 4, 0.6},
};
constexpr MatmulTiles tf32_tiles[] = {
    {"128x128", 128, 128, 256, 3 * (128 + 128) * 64, 1, 1.0},
    {"128x64", 128, 64, 128, 4 * (128 + 64) * 64, 3, 0.9},
    {"64x64", 64, 64, 128, 4 * (64 + 64) * 64, 4, 0.7},
};
constexpr MatmulTiles exact_tiles[] = {
    {"128x64", 128, 64, 128, 0, 3, 1.0},
    {"64x64", 64, 64, 128, 0, 4, 0.75},
};

constexpr int64_t narrow_rows = 16;
constexpr int64_t least_part = 256;  // of K: shorter ones are mostly beginning and end
constexpr int64_t part_unit = 32;    // a multiple of every kernel's stage
constexpr int most_splits = 32;
constexpr int64_t most_partial = 64 << 20;  // bytes of sums that wait to be added

int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
int packet(Dtype dtype) { return 16 / static_cast<int>(dtype_size(dtype)); }

int64_t split_depth(int64_t K, int splits) {
  return std::max(part_unit, round_up(divide_up(K, splits), part_unit));
}

// In multiply-adds of one multiprocessor. Beginning and end of a tile cost about what 96 of K do. A
// block alone does not fill a multiprocessor that has room for more: half of its speed is lost
// where a fourth of the room is used.
double estimate(const Context& context, const MatmulTask& task, const MatmulTiles& tiles,
                int splits) {
  const double multiprocessors = context.multiprocessors();
  const int64_t count = divide_up(task.M, tiles.rows) * divide_up(task.N, tiles.columns) * splits;
  const int64_t busiest = divide_up(count, context.multiprocessors());
  const double room = static_cast<double>((context.shared_memory() + 1024) / (tiles.shared + 1024));
  const double used = std::min(1.0, static_cast<double>(busiest) / std::min(room, tiles.resident));
  const double speed = tiles.speed * (2.0 / 3) * (0.5 + used);
  const double area = static_cast<double>(tiles.rows * tiles.columns);
  const double depth = static_cast<double>(std::min<int64_t>(task.K, split_depth(task.K, splits)));
  double cost = static_cast<double>(busiest) * area * (depth + 96) / speed;
  if (splits > 1) {  // writing the parts and reading them, about 64 multiply-adds a byte
    const double bytes = 8.0 * splits * task.M * static_cast<double>(task.N);
    cost += bytes * 64 / multiprocessors + 4e6;  // and one launch more
  }
  return cost;
}

std::string kernel_name(const std::string& variant, Dtype dtype) {
  return "matmul_" + variant + (dtype == Dtype::bfloat16 ? "_bf16" : "_f32");
}

// Do both operands' rows begin at multiples of 16 bytes?
bool aligned_a(Dtype dtype, const MatmulTask& task) {
  return task.lda % packet(dtype) == 0 && aligned(task.a);
}
bool aligned_b(Dtype dtype, const MatmulTask& task) {
  return task.ldb % packet(dtype) == 0 && aligned(task.b);
}

// An operand whose rows do not begin at multiples of 16 bytes is copied so that they do.
class Aligned {
 public:
  Aligned(Context& context, const void** data, int64_t* stride, int64_t rows, int64_t columns) {
    constexpr unsigned threads = 256;
    const int64_t wide = round_up(columns, 8);
    copy_.emplace(context, rows * wide);
    context.launch("matmul_align_bf16", blocks(divide_up(rows * columns, threads)), threads, 0,
                   copy_->data(), static_cast<const uint16_t*>(*data), rows, columns, *stride,
                   wide);
    *data = copy_->data();
    *stride = wide;
  }

 private:
  std::optional<Scratch<uint16_t>> copy_;
};

void narrow(Context& context, Dtype dtype, const MatmulTask& task) {
  constexpr unsigned threads = 256, warps = threads / 32;
  const int64_t M = task.M, N = task.N;
  if (dtype == Dtype::bfloat16) {
    context.launch(kernel_name(M <= 8 ? "narrow_8" : "narrow_16", dtype).c_str(),
                   blocks(divide_up(N, 16)), threads, 0, task);
  } else {
    const char* const variant = M <= 1 ? "narrow_1" : M <= 4 ? "narrow_4" : "narrow_16";
    const int64_t columns = M <= 4 ? 1 : 2;  // of the output for each warp
    context.launch(kernel_name(variant, dtype).c_str(), blocks(divide_up(N, warps * columns)),
                   threads, 0, task);
  }
}

void tiled(Context& context, Dtype dtype, MatmulTask task, const MatmulPlan& plan) {
  const MatmulTiles& tiles = *plan.tiles;
  const int64_t part = split_depth(task.K, plan.splits);
  task.split_depth = static_cast<int32_t>(part);
  task.splits = static_cast<int32_t>(std::max<int64_t>(1, divide_up(task.K, part)));
  std::optional<Scratch<float>> partial;
  if (task.splits > 1) {
    const int64_t rows = int64_t{task.M} + (task.sums ? 1 : 0);
    partial.emplace(context, task.splits * rows * task.N);
    task.partial = partial->data();
    task.partial_sums = task.partial + int64_t{task.splits} * task.M * task.N;
  }
  const std::string order = {'_', task.transpose_a ? 't' : 'n', task.transpose_b ? 't' : 'n'};
  const int64_t count = divide_up(task.M, tiles.rows) * divide_up(task.N, tiles.columns);
  const std::string kernel =
      plan.tf32 ? "matmul_" + (tiles.name + order) + "_tf32" : kernel_name(tiles.name + order, dtype);
  context.launch(kernel.c_str(),
                 {static_cast<unsigned>(count), static_cast<unsigned>(task.splits)}, tiles.threads,
                 tiles.shared, task);
  if (task.splits > 1) {
    constexpr unsigned threads = 128;
    constexpr int64_t group = 4;  // elements a thread
    const int64_t rows = int64_t{task.M} + (task.sums ? 1 : 0);
    context.launch(kernel_name("sum", dtype).c_str(),
                   blocks(divide_up(rows * divide_up(task.N, group), threads)), threads, 0, task);
  }
}

std::pair<const MatmulTiles*, size_t> tiles_of(Dtype dtype, bool tf32) {
  if (dtype == Dtype::bfloat16) return {tensor_tiles, std::size(tensor_tiles)};
  if (tf32) return {tf32_tiles, std::size(tf32_tiles)};
  return {exact_tiles, std::size(exact_tiles)};
}

}  // namespace

MatmulPlan plan_matmul(const Context& context, Dtype dtype, const MatmulTask& task) {
  if (task.M <= narrow_rows && !task.transpose_a && task.transpose_b) return {nullptr, 1, false};
  // What cannot be copied 16 bytes at a time, and an order that no model's training has, is exact.
  const bool tf32 = dtype == Dtype::float32 && context.tf32() && aligned_a(dtype, task) &&
                    aligned_b(dtype, task) && !(task.transpose_a && task.transpose_b);
  MatmulPlan best{nullptr, 1, tf32};
  double least = 0;
  const auto [tiles, count] = tiles_of(dtype, tf32);
  for (size_t i = 0; i < count; i++) {
    if (tiles[i].shared > context.shared_memory()) continue;
    if (task.transpose_a && task.transpose_b && tiles[i].rows > 64) continue;  // the only one made
    for (int splits = 1; splits <= most_splits; splits++) {
      const int64_t bytes = int64_t{4} * splits * task.M * task.N;
      if (splits > 1 && (task.K / splits < least_part || bytes > most_partial)) break;
      const double cost = estimate(context, task, tiles[i], splits);
      if (best.tiles && cost >= least) continue;
      best = {tiles + i, splits, tf32};
      least = cost;
    }
  }
  return best;
}

void matmul(Context& context, Dtype dtype, const MatmulTask& given, const MatmulPlan& plan) {
  MatmulTask task = given;
  if (task.M <= 0 || task.N <= 0) return;
  const int wide = packet(dtype), out = task.wide ? 4 : wide;
  task.splits = 1;
  task.partial = nullptr;
  task.vector = task.ldo % out == 0 && aligned(task.out, task.pre, task.slope, task.bias, task.residual);
  task.vector_a = aligned_a(dtype, task);
  task.vector_b = aligned_b(dtype, task);
  if (!plan.tiles) return narrow(context, dtype, task);
  std::optional<Aligned> a, b;
  if (dtype == Dtype::bfloat16 && task.K > 0) {
    const int64_t M = task.M, N = task.N, K = task.K;
    if (!task.vector_a) {
      a.emplace(context, &task.a, &task.lda, task.transpose_a ? K : M, task.transpose_a ? M : K);
    }
    if (!task.vector_b) {
      b.emplace(context, &task.b, &task.ldb, task.transpose_b ? N : K, task.transpose_b ? K : N);
    }
  }
  tiled(context, dtype, task, plan);
}

void matmul(Context& context, Dtype dtype, const MatmulTask& task) {
  matmul(context, dtype, task, plan_matmul(context, dtype, task));
}

void matmul(Context& context, const Matmul& spec) {
  // Leading dimensions fold into rows: [B, T, C] is [B T, C].
  const Array &a = spec.a, &b = spec.b, &out = spec.out;
  const int64_t columns = a.shape[-1], rows = columns ? a.count() / columns : 0;
  const int64_t M = spec.transpose_a ? columns : rows, K = spec.transpose_a ? rows : columns;
  const int64_t N = out.shape[-1];
  constexpr int64_t most = INT_MAX - 256;  // a tile may reach behind the end
  if (M > most || N > most || K > most) {
    throw Error("ERR_OUT_OF_MEMORY", "A product of " + a.shape.text() + " and " + b.shape.text() +
                                         " has a side longer than " + std::to_string(most));
  }
  MatmulTask task{};
  task.out = out.data;
  task.gelu = static_cast<int32_t>(spec.gelu);
  task.pre = task.gelu ? spec.pre.data : nullptr;
  task.slope = spec.slope.data;
  task.a = a.data;
  task.b = b.data;
  task.bias = spec.bias.data;
  task.residual = spec.residual.data;
  task.transpose_a = spec.transpose_a && M > 1;  // one row lies the same either way
  task.transpose_b = spec.transpose_b;
  task.lda = task.transpose_a ? M : K;
  task.ldb = task.transpose_b ? K : N;
  task.ldo = N;
  task.M = static_cast<int32_t>(M);
  task.N = static_cast<int32_t>(N);
  task.K = static_cast<int32_t>(K);
  task.accumulate = spec.accumulate;
  task.wide = a.dtype == Dtype::bfloat16 && out.dtype == Dtype::float32;
  if (spec.sums) {
    // Kernels of one order sum the columns of b on the way.
    if (task.transpose_a) {
      task.sums = spec.sums.f32();
      task.accumulate_sums = spec.accumulate_sums;
    } else {
      bias_backward(context, spec.sums, b, spec.accumulate_sums);
    }
  }
  matmul(context, a.dtype, task);
}

}  // namespace gptloom::cuda
