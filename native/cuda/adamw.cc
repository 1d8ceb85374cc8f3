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
  step.step = static_cast<uint64_t>(spec.step);
  return step;
}

}  // namespace

void adamw(Context& context, const std::vector<AdamwTensor>& tensors, Array norm,
           const Adamw& spec) {
  // One launch of each type of parameters for every AdamwLaunch::kMost of them.
  for (const Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    AdamwLaunch list{};
    list.step = common_factors(spec);
    int32_t chunks = 0;
    const auto launch = [&] {
      if (chunks == 0) return;
      context.launch(dtype == Dtype::bfloat16 ? "adamw_bf16" : "adamw_f32", blocks(chunks), 256, 0,
                     norm.f32(), list);
      chunks = list.step.count = 0;
    };
    for (size_t i = 0; i < tensors.size(); i++) {
      const AdamwTensor& tensor = tensors[i];
      const int64_t n = tensor.param.count();
      if (tensor.param.dtype != dtype || n == 0) continue;
      const double decay =
          static_cast<double>(spec.learning_rate) * static_cast<double>(tensor.weight_decay);
      list.entries[list.step.count] = {tensor.param.data,
                                       tensor.master.f32(),
                                       tensor.gradient.f32(),
                                       tensor.m.f32(),
                                       tensor.v.f32(),
                                       n,
                                       chunks,
                                       static_cast<float>(decay),
                                       static_cast<uint64_t>(i)};
      chunks += static_cast<int32_t>(divide_up(n, kAdamwChunk));
      if (++list.step.count == AdamwLaunch::kMost) launch();
    }
    launch();
  }
}

}  // namespace gptloom::cuda
