// Maths (Loshchilov & Hutter 2019, algorithm 2, the decay being rate x weight_decay): with the
// gradient g already
//   scaled and clipped, b1 and b2 the betas, t the step,
//     m = b1 m + (1 - b1) g             v = b2 v + (1 - b2) g^2
//     param -= rate weight_decay param + rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
// Plan: one pass over all tensors, cut into pieces of 16384 elements in one region of the pool, so
// that
//   the many small tensors of a model cost no region each.
// Numbers: everything that depends on the step alone is worked out in double beforehand, the rest
// is in
//   float. Bound by bytes: 28 an element (four reads, three writes).
#include <cmath>

#include "cpu/ops.h"
#include "cpu/split.h"

namespace gptloom::cpu {

namespace {

// What the gradients are multiplied by, the norm being finite.
double gradient_factor(const float* norm, const Adamw& spec) {
  const double scale = static_cast<double>(spec.gradient_scale);
  if (!norm) return scale;
  if (spec.max_norm <= 0) return scale;
  const double size = static_cast<double>(*norm) * scale;
  return scale * std::min(1.0, static_cast<double>(spec.max_norm) / (size + 1e-6));
}

AdamwFactors common_factors(const Adamw& spec, double gradient) {
  const double beta1 = static_cast<double>(spec.beta1), beta2 = static_cast<double>(spec.beta2);
  const double t = static_cast<double>(spec.step), rate = static_cast<double>(spec.learning_rate);
  AdamwFactors factors{};
  factors.gradient = static_cast<float>(gradient);
  factors.beta1 = spec.beta1;
  factors.one_minus_beta1 = static_cast<float>(1 - beta1);
  factors.beta2 = spec.beta2;
  factors.one_minus_beta2 = static_cast<float>(1 - beta2);
  factors.rate = static_cast<float>(rate / (1 - std::pow(beta1, t)));
  factors.root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t)));
  factors.epsilon = spec.epsilon;
  return factors;
}

struct Piece {
  size_t tensor;
  int64_t begin;
};

}  // namespace

void adamw(Context& context, const std::vector<AdamwTensor>& tensors, const float* norm,
           const Adamw& spec) {
  if (norm && !std::isfinite(*norm)) return;
  const AdamwFactors common = common_factors(spec, gradient_factor(norm, spec));
  std::vector<Piece> pieces;
  int64_t elements = 0;
  for (size_t i = 0; i < tensors.size(); i++) {
    for (int64_t begin = 0; begin < tensors[i].n; begin += piece_elements)
      pieces.push_back({i, begin});
    elements += tensors[i].n;
  }
  split_pieces(context, static_cast<int64_t>(pieces.size()), elements, [&](int64_t index) {
    const Piece piece = pieces[static_cast<size_t>(index)];
    const AdamwTensor& tensor = tensors[piece.tensor];
    AdamwFactors factors = common;
    factors.decay = static_cast<float>(static_cast<double>(spec.learning_rate) *
                                       static_cast<double>(tensor.weight_decay));
    const int64_t at = piece.begin;
    context.kernels.adamw.update(tensor.param + at, tensor.gradient + at, tensor.m + at,
                                 tensor.v + at, std::min(piece_elements, tensor.n - at), factors);
  });
}

}  // namespace gptloom::cpu
