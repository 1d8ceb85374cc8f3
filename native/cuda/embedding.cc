// The work of these kernels stands in cuda/embedding.cu.
#include <limits>
#include <utility>

#include "cuda/kernels.h"
#include "cuda/ops.h"

namespace gptloom::cuda {

namespace {

constexpr int64_t sort_tile = 1024;
constexpr int digits = 256, digit_bits = 8;

// Rows by table row: (key, row) of each, sorted by key and then by row.
class Sorted {
 public:
  Sorted(Context& context, int64_t rows)
      : context_(context),
        rows_(rows),
        tiles_(divide_up(rows, sort_tile)),
        scratch_(context, 4 * rows),
        counts_(context, digits * tiles_) {}

  int32_t* keys() { return scratch_ + half_ * 2 * rows_; }
  int32_t* order() { return keys() + rows_; }

  // For keys up to `limit`.
  void sort(int64_t limit) {
    const int32_t rows = static_cast<int32_t>(rows_);
    for (int32_t shift = 0; limit >> shift > 0; shift += digit_bits) {
      int32_t* const from = keys();
      half_ ^= 1;
      context_.launch("embedding_count", blocks(tiles_), 256, 0, counts_.data(), from, rows, shift);
      context_.launch("embedding_scan", Grid{}, 1024, 0, counts_.data(), digits * tiles_);
      context_.launch("embedding_move", blocks(tiles_), 256, 0, keys(), order(), from, from + rows_,
                      counts_.data(), rows, shift);
    }
  }

 private:
  Context& context_;
  const int64_t rows_, tiles_;
  Scratch<int32_t> scratch_, counts_;
  int half_ = 0;  // which half of scratch holds the rows
};

// table[key] += dout[row] for all (key, row), but for keys at the limit.
void add_rows(Context& context, Array table, Array dout, Sorted& sorted, int32_t limit) {
  const int64_t columns = dout.shape[-1], rows = dout.count() / columns;
  // Runs long enough that one key's partial sums are few, and short enough that there are many.
  int32_t run_rows = 32;
  while (rows / run_rows > 512) run_rows *= 2;
  const int64_t runs = divide_up(rows, run_rows);
  Scratch<float> partials(context, 2 * runs * columns);
  const bool vectors = columns % 4 == 0 && aligned(table.data, dout.data);
  const Grid grid = blocks(runs * divide_up(columns, 64 * (vectors ? 4 : 1)));
  const char* kernel = vectors ? by_type(dout, "embedding_sums_f32", "embedding_sums_bf16")
                               : by_type(dout, "embedding_sums_any_f32", "embedding_sums_any_bf16");
  const int32_t count = static_cast<int32_t>(rows);
  context.launch(kernel, grid, 64, 0, table.f32(), partials.data(), dout.data, sorted.keys(),
                 sorted.order(), count, columns, run_rows, limit);
  context.launch(vectors ? "embedding_ends" : "embedding_ends_any", grid, 64, 0, table.f32(),
                 partials.data(), sorted.keys(), count, columns, run_rows, limit);
}

}  // namespace

void embedding_forward(Context& context, Array out, Array tokens, Array starts, Array wte,
                       Array wpe, int64_t past) {
  const int64_t columns = out.shape[-1], rows = tokens.count();
  const bool vectors = columns % packet(out) == 0 && aligned(out.data, wte.data, wpe.data);
  const char* kernel =
      vectors ? by_type(out, "embedding_forward_f32", "embedding_forward_bf16")
              : by_type(out, "embedding_forward_any_f32", "embedding_forward_any_bf16");
  context.launch(kernel, blocks(divide_up(rows, 4)), 128, 0, out.data, tokens.i32(), starts.i32(),
                 wte.data, wpe.data, rows, columns, tokens.shape[-1], wte.shape[0],
                 wpe ? wpe.shape[0] : int64_t{0}, past, context.failure());
}

void embedding_backward(Context& context, Array dwte, Array dwpe, Array dout, Array tokens,
                        Array starts) {
  const int64_t rows = tokens.count();
  if (dout.count() == 0) return;
  const int32_t count = static_cast<int32_t>(rows);
  Sorted sorted(context, rows);
  if (dwte) {
    const int32_t limit = static_cast<int32_t>(dwte.shape[0]);
    context.launch("embedding_tokens", blocks(divide_up(rows, 256)), 256, 0, sorted.keys(),
                   sorted.order(), tokens.i32(), count, limit, context.failure());
    sorted.sort(limit);
    add_rows(context, dwte, dout, sorted, limit);
  }
  if (dwpe) {
    const int32_t limit = static_cast<int32_t>(dwpe.shape[0]);
    context.launch("embedding_positions", blocks(divide_up(rows, 256)), 256, 0, sorted.keys(),
                   sorted.order(), starts.i32(), count, static_cast<int32_t>(tokens.shape[-1]),
                   limit, context.failure());
    if (starts) sorted.sort(limit);
    add_rows(context, dwpe, dout, sorted, limit);
  }
}

}  // namespace gptloom::cuda
