// The work of these kernels stands in cuda/adamw.cu, the formula in cpu/adamw.cc.
#include "../cuda/adamw.h"

#include <cmath>

#include "cuda/kernels.h"
#include "cuda/ops.h"

namespace gptloom::cuda {

namespace {

AdamwStep common_factors(const Adamw& spec) {
  const double beta1 = static_cast<double>(spec.beta1), beta2 = static_cast<double>(spec.beta2);
  const double t = static_cast<double>(spec.step), rate = static_cast<double>(spec.learning_rate);
  AdamwStep step{};
  step.gradient_scale = spec.gradient_scale;
  step.max_norm = spec.max_norm;
  step.beta1 = spec.beta1;
  step.one_minus_beta1 = static_cast<float>(1 - beta1);
  step.beta2 = spec.beta2;
  step.one_minus_beta2 = static_cast<float>(1 - beta2);
  step.rate = static_cast<float>(rate / (1 - std::pow(beta1, t)));
  step.root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t)));
  step.epsilon = spec.epsilon;
  step.learning_rate = rate;
  step.seed = spec.seed;
  step.step = static_cast<uint64_t>(spec.step);
  return step;
}

}  // namespace

void adamw(Context& context, const std::vector<AdamwTensor>& tensors, Array norm,
           const Adamw& spec) {
  std::vector<AdamwEntry> entries;
  int32_t chunks = 0;
  for (const AdamwTensor& tensor : tensors) {
    const int64_t n = tensor.param.count();
    entries.push_back({tensor.param.data, tensor.master.f32(), tensor.gradient.f32(),
                       tensor.m.f32(), tensor.v.f32(), n, chunks, is_bf16(tensor.param),
                       static_cast<double>(tensor.weight_decay)});
    chunks += static_cast<int32_t>(divide_up(n, kAdamwChunk));
  }
  AdamwStep step = common_factors(spec);
  step.count = static_cast<int32_t>(entries.size());
  const auto* list = static_cast<const AdamwEntry*>(
      context.table(entries.data(), entries.size() * sizeof(AdamwEntry)));
  context.launch("adamw_step", blocks(chunks), 256, 0, norm.f32(), list, step);
}

}  // namespace gptloom::cuda
