// The work of these kernels stands in cuda/random.cu; what becomes of random words stands in
// cpu/random.cc, and is worked out here in the same way.
#include <cmath>

#include "cuda/kernels.h"
#include "cuda/ops.h"

namespace gptloom::cuda {

namespace {

constexpr unsigned threads = 256;

Grid grid_of(const Array& out) { return blocks(divide_up(out.count(), packet(out) * threads)); }

}  // namespace

void dropout(Context& context, Array out, Array x, float p, uint64_t seed, uint64_t stream,
             bool accumulate) {
  const int32_t threshold = static_cast<int32_t>(std::ceil(static_cast<double>(p) * 0x1p24));
  const float scale = p < 1 ? static_cast<float>(1 / (1 - static_cast<double>(p))) : 0;
  context.launch(by_type(out, "random_dropout_f32", "random_dropout_bf16"), grid_of(out), threads,
                 0, out.data, x.data, out.count(), threshold, scale, seed, stream,
                 int32_t{accumulate});
}

void random_normal(Context& context, Array out, float mean, float deviation, uint64_t seed,
                   uint64_t stream) {
  context.launch(by_type(out, "random_normal_f32", "random_normal_bf16"), grid_of(out), threads, 0,
                 out.data, out.count(), mean, deviation, seed, stream);
}

void random_uniform(Context& context, Array out, float low, float high, uint64_t seed,
                    uint64_t stream) {
  const float span = high - low, last = low < high ? std::nextafter(high, low) : low;
  context.launch(by_type(out, "random_uniform_f32", "random_uniform_bf16"), grid_of(out), threads,
                 0, out.data, out.count(), low, span, last, seed, stream);
}

}  // namespace gptloom::cuda
