// The work of these kernels stands in cuda/elementwise.cu: a thread has 16 bytes of what it writes.
#include "cuda/kernels.h"
#include "cuda/ops.h"

namespace gptloom::cuda {

namespace {

constexpr unsigned threads = 256;

Grid grid_of(int64_t n, int64_t packet) { return blocks(divide_up(n, packet * threads)); }

}  // namespace

void fill(Context& context, Array out, float value) {
  const int64_t n = out.count();
  context.launch(by_type(out, "elementwise_fill_f32", "elementwise_fill_bf16"),
                 grid_of(n, packet(out)), threads, 0, out.data, value, n);
}

void copy(Context& context, Array out, Array x) {
  if (out.data == x.data) return;
  const int64_t n = out.count();
  context.launch(by_type(out, "elementwise_copy_f32", "elementwise_copy_bf16"),
                 grid_of(n, packet(out)), threads, 0, out.data, x.data, n);
}

void cast(Context& context, Array out, Array x) {
  const int64_t n = out.count();
  if (out.dtype == x.dtype) return copy(context, out, x);
  context.launch(by_type(out, "elementwise_cast_f32", "elementwise_cast_bf16"), grid_of(n, 4),
                 threads, 0, out.data, x.data, n);
}

void add(Context& context, Array out, Array a, Array b) {
  const int64_t n = out.count();
  context.launch(by_type(out, "elementwise_add_f32", "elementwise_add_bf16"),
                 grid_of(n, packet(out)), threads, 0, out.data, a.data, b.data, n);
}

void scale(Context& context, Array x, Array factor) {
  const int64_t n = x.count();
  context.launch(by_type(x, "elementwise_scale_f32", "elementwise_scale_bf16"),
                 grid_of(n, packet(x)), threads, 0, x.data, factor.f32(), n);
}

void gelu_forward(Context& context, Array out, Array x, Gelu form) {
  const int64_t n = out.count();
  context.launch(by_type(x, "elementwise_gelu_forward_f32", "elementwise_gelu_forward_bf16"),
                 grid_of(n, packet(x)), threads, 0, out.data, x.data, n, static_cast<int32_t>(form));
}

void gelu_backward(Context& context, Array dx, Array dout, Array x, Gelu form, bool accumulate) {
  const int64_t n = dx.count();
  context.launch(by_type(x, "elementwise_gelu_backward_f32", "elementwise_gelu_backward_bf16"),
                 grid_of(n, packet(x)), threads, 0, dx.data, dout.data, x.data, n,
                 static_cast<int32_t>(form), int32_t{accumulate});
}

}  // namespace gptloom::cuda
