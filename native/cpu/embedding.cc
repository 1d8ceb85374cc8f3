// Maths: out[b, t] = wte[tokens[b, t]] + wpe[past + t - starts[b, t]]; backward adds dout[b, t] to
// the
//   same rows of dwte and dwpe. Rows are of C floats.
// Plan: forward splits over positions. Backward never sorts and never touches a row that has no
// token:
//   a piece is one bucket of row numbers times one block of columns, and goes through all tokens in
//   order for those in its bucket. Every element is summed in the order of the tokens whatever the
//   pieces are, so there are as many buckets as keep the threads busy. Cost O(tokens C + tokens
//   pieces).
// Numbers: sums in float, token after token. Bound by bytes: forward 8 to 12 an element, backward
// 12 for
//   each table.
#include <string>

#include "cpu/ops.h"
#include "cpu/split.h"
#include "error.h"

namespace gptloom::cpu {

namespace {

[[noreturn]] void throw_index(const char* what, int64_t value, int64_t row, int64_t T,
                              int64_t limit) {
  throw Error("ERR_INDEX", "Expected " + std::string(what) + " in [0, " + std::to_string(limit) +
                               ") at [" + std::to_string(row / T) + ", " + std::to_string(row % T) +
                               "], received " + std::to_string(value));
}

int64_t position_of(const Embedding& spec, const int32_t* starts, int64_t row) {
  return spec.past + row % spec.T - (starts ? starts[row] : 0);
}

// Before anything is written, so that a bad index leaves everything as it was.
void check(const int32_t* tokens, const int32_t* starts, const Embedding& spec,
           bool with_positions) {
  for (int64_t row = 0; row < spec.B * spec.T; row++) {
    if (tokens[row] < 0 || tokens[row] >= spec.V) {
      throw_index("a token id", tokens[row], row, spec.T, spec.V);
    }
    if (!with_positions) continue;
    const int64_t position = position_of(spec, starts, row);
    if (position < 0 || position >= spec.P) {
      throw_index("a position", position, row, spec.T, spec.P);
    }
  }
}

// table[index[row]] += dout[row] for every row, in order.
void scatter_rows(Context& context, float* table, const float* dout, const int32_t* index,
                  int64_t rows, int64_t C) {
  constexpr int64_t block = 256;
  const bool parallel = context.pool.threads() > 1 && rows * C > 2 * piece_elements;
  const int64_t width = parallel ? block : C, across = (C + width - 1) / width;
  const int64_t buckets = parallel ? 4 * context.pool.threads() : 1;
  split_pieces(context, buckets * across, rows * C, [&](int64_t piece) {
    const int64_t bucket = piece / across, column = piece % across * width;
    const int64_t count = std::min(width, C - column);
    for (int64_t row = 0; row < rows; row++) {
      if (index[row] % buckets != bucket) continue;
      context.kernels.reduce.add_to(table + index[row] * C + column, dout + row * C + column,
                                    count);
    }
  });
}

}  // namespace

void embedding_forward(Context& context, float* out, const int32_t* tokens, const int32_t* starts,
                       const float* wte, const float* wpe, const Embedding& spec) {
  check(tokens, starts, spec, wpe != nullptr);
  const int64_t C = spec.C;
  split_rows(context, spec.B * spec.T, C, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const float* token = spec.compact ? out + row * C : wte + tokens[row] * C;
      if (spec.compact) compact_column(out + row * C, spec.compact, tokens[row]);
      if (wpe) {
        const float* position = wpe + position_of(spec, starts, row) * C;
        context.kernels.elementwise.add(out + row * C, token, position, C);
      } else if (token != out + row * C) {
        std::copy(token, token + C, out + row * C);
      }
    }
  });
}

void embedding_backward(Context& context, float* dwte, float* dwpe, const float* dout,
                        const int32_t* tokens, const int32_t* starts, const Embedding& spec) {
  check(tokens, starts, spec, dwpe != nullptr);
  const int64_t rows = spec.B * spec.T;
  if (dwte) scatter_rows(context, dwte, dout, tokens, rows, spec.C);
  if (!dwpe) return;
  Scratch<int32_t> positions(context, std::max<int64_t>(1, rows));
  for (int64_t row = 0; row < rows; row++) {
    positions[row] = static_cast<int32_t>(position_of(spec, starts, row));
  }
  scatter_rows(context, dwpe, dout, positions, rows, spec.C);
}

}  // namespace gptloom::cpu
