// Plan: crossentropy: a block of threads a row. linear_crossentropy: the rows that have a target
// are
//   listed on the GPU, then taken a chunk at a time: gathered, logits = x weight^T, the rows in
//   place, dx = dlogits weight, dweight += dlogits^T x. Only the GPU knows how many rows there are,
//   so the host launches chunks for all of them; blocks behind the last row end at once.
#include <algorithm>
#include <optional>

#include "../../cuda/crossentropy.h"
#include "cuda/kernels.h"
#include "cuda/matmul.h"
#include "cuda/ops.h"

namespace gptloom::cuda {

namespace {

// A chunk: enough rows to fill the GPU and to make little of reading weight and dweight once for
// each chunk, logits within 256 MB.
constexpr int64_t most_logits = 256 << 20, most_rows = 8192, least_rows = 128;

// Logits of this many rows lie `stride` apart; `task` says the rest.
void rows_of(Context& context, Dtype dtype, CrossentropyTask task, int64_t rows, int64_t stride) {
  const bool wide = dtype == Dtype::bfloat16;
  const int64_t packets = divide_up(task.V, wide ? 8 : 4);
  const int64_t held = crossentropy_held(static_cast<int>(dtype_size(dtype)));
  const int64_t threads = packets <= 128 * held ? 128 : 512;
  const int64_t room = static_cast<int64_t>(context.shared_memory()) - 1024;  // for the reductions
  const int64_t behind = std::max<int64_t>(0, divide_up(packets, threads) - held);
  task.kept = static_cast<int32_t>(std::min(behind, room / (threads * 16)));
  task.stride = stride;
  task.spread = task.smoothing / static_cast<float>(task.V);
  task.failure = context.failure();
  context.launch(threads == 128 ? wide ? "crossentropy_128_bf16" : "crossentropy_128_f32"
                 : wide         ? "crossentropy_512_bf16"
                                : "crossentropy_512_f32",
                 blocks(rows), static_cast<unsigned>(threads),
                 static_cast<unsigned>(task.kept * threads * 16), task);
}

}  // namespace

void crossentropy(Context& context, Array losses, Array dlogits, Array logits, Array targets,
                  float smoothing) {
  const int64_t V = logits.shape[-1];
  CrossentropyTask task{};
  task.losses = losses.f32();
  task.dlogits = dlogits.data;
  task.logits = logits.data;
  task.targets = targets.i32();
  task.V = static_cast<int32_t>(V);
  task.smoothing = smoothing;
  rows_of(context, logits.dtype, task, losses.count(), V);
}

void linear_crossentropy(Context& context, Array losses, Array dx, Array dweight, Array x,
                         Array weight, Array targets, float smoothing) {
  const int64_t V = weight.shape[0], C = weight.shape[1], N = losses.count();
  const Dtype dtype = x.dtype;
  const size_t size = dtype_size(dtype);
  if (dx) context.memset(dx.data, 0, dx.bytes());
  if (N == 0) {
    if (dweight) context.memset(dweight.data, 0, dweight.bytes());
    return;
  }
  // Rows begin at multiples of 16 bytes, those of logits at whole cache lines.
  const int64_t logits_stride = divide_up(V, 64) * 64, stride = divide_up(C, 8) * 8;
  const int64_t row_bytes = logits_stride * static_cast<int64_t>(size);
  const int64_t limit = std::clamp(most_logits / row_bytes, least_rows, most_rows);
  const int64_t chunks = divide_up(N, limit), most = divide_up(N, chunks);
  Scratch<int32_t> index(context, N), count(context, 1);
  Scratch<uint8_t> logits(context, most * row_bytes);
  Scratch<uint8_t> some_x(context, most * stride * static_cast<int64_t>(size));
  std::optional<Scratch<uint8_t>> some_dx;
  if (dx) some_dx.emplace(context, most * stride * static_cast<int64_t>(size));

  context.launch("crossentropy_select", {1}, 1024, 0, index.data(), count.data(), losses.f32(),
                 targets.i32(), static_cast<int32_t>(N), static_cast<int32_t>(V),
                 context.failure());
  const char* const move = by_type(x, "crossentropy_move_f32", "crossentropy_move_bf16");
  for (int64_t begin = 0; begin < N; begin += most) {
    const int64_t rows = std::min(most, N - begin);
    const auto offset = static_cast<int32_t>(begin), columns = static_cast<int32_t>(C);
    context.launch(move, blocks(rows), 128, 0, static_cast<void*>(some_x.data()), x.data,
                   index.data(), count.data(), offset, columns, stride, C, int32_t{0});

    MatmulTask product{};
    product.count = count.data();
    product.offset = offset;
    product.out = logits.data();
    product.a = some_x.data();
    product.b = weight.data;
    product.transpose_b = true;
    product.lda = stride;
    product.ldb = C;
    product.ldo = logits_stride;
    product.M = static_cast<int32_t>(rows);
    product.N = static_cast<int32_t>(V);
    product.K = columns;
    matmul(context, dtype, product);

    CrossentropyTask task{};
    task.losses = losses.f32();
    task.dlogits = dx || dweight ? logits.data() : nullptr;
    task.logits = logits.data();
    task.targets = targets.i32();
    task.index = index.data();
    task.count = count.data();
    task.V = static_cast<int32_t>(V);
    task.offset = offset;
    task.smoothing = smoothing;
    rows_of(context, dtype, task, rows, logits_stride);

    if (dx) {
      MatmulTask back = product;
      back.out = some_dx->data();
      back.a = logits.data();
      back.transpose_b = false;
      back.lda = logits_stride;
      back.ldo = stride;
      back.N = columns;
      back.K = static_cast<int32_t>(V);
      matmul(context, dtype, back);
      context.launch(move, blocks(rows), 128, 0, dx.data, static_cast<const void*>(some_dx->data()),
                     index.data(), count.data(), offset, columns, C, stride, int32_t{1});
    }
    if (dweight) {
      MatmulTask back = product;
      back.count_depth = true;
      back.out = dweight.data;
      back.a = logits.data();
      back.b = some_x.data();
      back.transpose_a = true;
      back.transpose_b = false;
      back.lda = logits_stride;
      back.ldb = stride;
      back.ldo = C;
      back.M = static_cast<int32_t>(V);
      back.N = columns;
      back.K = static_cast<int32_t>(rows);
      back.accumulate = begin > 0;
      back.wide = dtype == Dtype::bfloat16;
      matmul(context, dtype, back);
    }
  }
}

}  // namespace gptloom::cuda
