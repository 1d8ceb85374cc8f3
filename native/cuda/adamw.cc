// The work of these kernels stands in cuda/adamw.cu, the formula in cpu/adamw.cc.
#include "../cuda/adamw.h"

#include <cmath>
#include <iterator>

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
  return step;
}

// A kernel each, and in the list one after the other.
constexpr const char* kKernels[] = {"adamw_f32", "adamw_master_bf16", "adamw_alone_bf16"};
constexpr size_t kKinds = std::size(kKernels);

size_t kind_of(const AdamwTensor& tensor) {
  if (!is_bf16(tensor.param)) return 0;
  return tensor.master.data ? 1 : 2;
}

}  // namespace

void adamw(Context& context, const std::vector<AdamwTensor>& tensors, Array norm,
           const Adamw& spec) {
  std::vector<AdamwEntry> entries;
  int32_t counts[kKinds] = {}, chunks[kKinds] = {};
  for (size_t kind = 0; kind < kKinds; kind++) {
    for (size_t i = 0; i < tensors.size(); i++) {
      const AdamwTensor& tensor = tensors[i];
      if (kind_of(tensor) != kind) continue;
      const int64_t n = tensor.param.count();
      entries.push_back({tensor.param.data, tensor.master.f32(), tensor.gradient.f32(),
                         tensor.m.f32(), tensor.v.f32(), n, chunks[kind], static_cast<int32_t>(i),
                         static_cast<double>(tensor.weight_decay)});
      counts[kind]++;
      chunks[kind] += static_cast<int32_t>(divide_up(n, kAdamwChunk));
    }
  }
  AdamwStep step = common_factors(spec);
  step.first_stream = static_cast<uint64_t>(spec.step) * tensors.size();
  const auto* list = static_cast<const AdamwEntry*>(
      context.table(entries.data(), entries.size() * sizeof(AdamwEntry)));
  for (size_t kind = 0; kind < kKinds; list += counts[kind++]) {
    step.count = counts[kind];
    context.launch(kKernels[kind], blocks(chunks[kind]), 256, 0, norm.f32(), list, step);
  }
}

}  // namespace gptloom::cuda
