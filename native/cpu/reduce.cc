// Maths: sum = sum_i x_i; norm = sqrt(sum over tensors of sum_i x_i^2); dbias[N] = sum over rows of
//   dout[M, N].
// Plan: sum and norm cut every tensor into chunks of 65536 elements, one double for each chunk,
// added
//   in order at the end. bias_backward cuts dout into blocks of 128 rows x 1024 columns, so that
//   rows are read as they lie while the sums stay in L1, and then adds up the blocks of each
//   column.
// Numbers: sum and norm accumulate in double from the first element (squares of floats are exact
// and
//   cannot overflow there) and have the same bits on every instruction set. bias_backward adds 4
//   rows as a tree and 32 of those in float, the blocks in double: some 1e-6 of sum |dout|. All are
//   bound by bytes: 4 an element.
#include <cmath>

#include "cpu/ops.h"
#include "cpu/split.h"

namespace gptloom::cpu {

namespace {

constexpr int64_t chunk_elements = 65536;

using Partial = double (*)(const float* x, int64_t n);

double total(Context& context, const std::vector<Span>& tensors, Partial partial) {
  std::vector<Span> chunks;
  int64_t elements = 0;
  for (const Span& tensor : tensors) {
    for (int64_t begin = 0; begin < tensor.n; begin += chunk_elements) {
      chunks.push_back({tensor.data + begin, std::min(chunk_elements, tensor.n - begin)});
    }
    elements += tensor.n;
  }
  const int64_t count = static_cast<int64_t>(chunks.size());
  std::vector<double> partials(chunks.size());
  split_pieces(context, count, elements, [&](int64_t i) {
    const size_t chunk = static_cast<size_t>(i);
    partials[chunk] = partial(chunks[chunk].data, chunks[chunk].n);
  });
  double sum = 0;
  for (const double value : partials) sum += value;
  return sum;
}

}  // namespace

void sum(Context& context, float* out, const float* x, int64_t n) {
  *out = static_cast<float>(total(context, {{x, n}}, context.kernels.reduce.sum));
}

void norm(Context& context, float* out, const std::vector<Span>& tensors) {
  const double squares = total(context, tensors, context.kernels.reduce.sum_of_squares);
  *out = static_cast<float>(std::sqrt(squares));
}

// ---- columns
// -------------------------------------------------------------------------------------

void bias_backward(Context& context, float* dbias, const float* dout, int64_t M, int64_t N,
                   bool accumulate) {
  constexpr int64_t block_rows = 128, block_columns = 1024;
  const int64_t down = (M + block_rows - 1) / block_rows;
  const int64_t across = (N + block_columns - 1) / block_columns;
  Scratch<float> partials(context, std::max<int64_t>(1, down * N));
  split_pieces(context, down * across, M * N, [&](int64_t index) {
    const int64_t row = index / across * block_rows, column = index % across * block_columns;
    context.kernels.reduce.column_sums(partials + index / across * N + column,
                                       dout + row * N + column, std::min(block_rows, M - row),
                                       std::min(block_columns, N - column), N);
  });
  add_partials(context, dbias, partials, down, N, N, accumulate);
}

void add_partials(Context& context, float* out, const float* partials, int64_t rows,
                  int64_t columns, int64_t stride, bool accumulate) {
  const int64_t grain =
      std::max<int64_t>(64, piece_elements / std::max<int64_t>(1, rows) / 64 * 64);
  split(
      context, columns,
      [&](int64_t begin, int64_t end) {
        context.kernels.reduce.column_totals(out + begin, partials + begin, rows, end - begin,
                                             stride, accumulate);
      },
      grain);
}

}  // namespace gptloom::cpu
