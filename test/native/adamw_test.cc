// AdamW against the paper's algorithm in double over many steps.
#include "test.h"

namespace gptloom::test {

namespace {

struct Model {
  std::vector<std::vector<double>> param, m, v;
};

void reference_step(Model& model, const std::vector<std::vector<float>>& gradients,
                    const std::vector<float>& decay, const cpu::Adamw& spec, double norm) {
  const double b1 = spec.beta1, b2 = spec.beta2, rate = spec.learning_rate,
               t = static_cast<double>(spec.step);
  double scale = spec.gradient_scale;
  if (spec.max_norm > 0) scale *= std::min(1.0, spec.max_norm / (norm * scale + 1e-6));
  for (size_t i = 0; i < model.param.size(); i++) {
    for (size_t j = 0; j < model.param[i].size(); j++) {
      double &p = model.param[i][j], &m = model.m[i][j], &v = model.v[i][j];
      const double g = static_cast<double>(gradients[i][j]) * scale;
      m = b1 * m + (1 - b1) * g;
      v = b2 * v + (1 - b2) * g * g;
      p -= rate * static_cast<double>(decay[i]) * p;
      p -= rate * (m / (1 - std::pow(b1, t))) /
           (std::sqrt(v / (1 - std::pow(b2, t))) + static_cast<double>(spec.epsilon));
    }
  }
}

constexpr int64_t sizes[] = {1, 31, 33, 127, 0, 40001};
const std::vector<float> decays = {0, 0.1f, 0.1f, 0, 0, 0.5f};

// Runs `steps` steps in every context and compares parameters and moments at the end.
void compare(int steps, float gradient_scale, float max_norm, float gradient_size) {
  Model model;
  std::vector<float> initial;
  for (const int64_t n : sizes) {
    const std::vector<float> values = normals(n, static_cast<uint64_t>(n) + 1);
    model.param.push_back(doubles(values));
    model.m.emplace_back(values.size());
    model.v.emplace_back(values.size());
    initial.insert(initial.end(), values.begin(), values.end());
  }
  const size_t total = initial.size();
  initial.resize(3 * total, 0);
  std::vector<std::vector<std::vector<float>>> gradients;
  std::vector<float> norms;
  cpu::Adamw spec{0.01f, 0.9f, 0.99f, 1e-8f, gradient_scale, max_norm, 0};
  for (int step = 0; step < steps; step++) {
    gradients.emplace_back();
    double squares = 0;
    for (const int64_t n : sizes) {
      gradients.back().push_back(normals(n, static_cast<uint64_t>(100 * step + n), gradient_size));
      for (const float g : gradients.back().back())
        squares += static_cast<double>(g) * static_cast<double>(g);
    }
    norms.push_back(static_cast<float>(std::sqrt(squares)));
    spec.step = step + 1;
    reference_step(model, gradients.back(), decays, spec, std::sqrt(squares));
  }
  std::vector<double> expected;
  for (const auto* part : {&model.param, &model.m, &model.v}) {
    for (const auto& tensor : *part) expected.insert(expected.end(), tensor.begin(), tensor.end());
  }
  const auto op = [&](cpu::Context& context, float* out) {
    for (int step = 0; step < steps; step++) {
      std::vector<cpu::AdamwTensor> tensors;
      float* at = out;
      for (size_t i = 0; i < decays.size(); i++) {
        tensors.push_back({at, gradients[static_cast<size_t>(step)][i].data(), at + total,
                           at + 2 * total, sizes[i], decays[i]});
        at += sizes[i];
      }
      spec.step = step + 1;
      cpu::adamw(context, tensors, &norms[static_cast<size_t>(step)], spec);
    }
  };
  for_each_result(
      static_cast<int64_t>(3 * total), op,
      [&](const float* out) {
        const int64_t n = static_cast<int64_t>(total);
        const double size = std::fabs(static_cast<double>(gradient_size * gradient_scale));
        close(out, expected.data(), n, 3e-6, 3e-6, "param");
        close(out + n, expected.data() + n, n, 1e-6 * size, 1e-6, "m");
        close(out + 2 * n, expected.data() + 2 * n, n, 0, 5e-6, "v");
      },
      &initial);
}

}  // namespace

TEST(adamw_many_steps) { compare(30, 1, 0, 1); }
TEST(adamw_scales_gradients) { compare(10, 0.125f, 0, 3); }
TEST(adamw_clips_gradients) { compare(10, 0.5f, 1, 3); }
TEST(adamw_does_not_clip_what_is_small) { compare(10, 1, 1e6f, 1); }

// The first step moves every parameter by the rate against its gradient's sign.
TEST(adamw_first_step_is_the_rate) {
  const std::vector<float> initial = {0, 0, 0, 0, 0, 0, 0, 0, 0};
  const float gradient[3] = {2, -0.01f, 0};
  const double expected[3] = {-0.1, 0.1, 0};
  for_each_result(
      9,
      [&](cpu::Context& context, float* out) {
        const cpu::Adamw spec{0.1f, 0.9f, 0.999f, 1e-12f, 1, 0, 1};
        cpu::adamw(context, {{out, gradient, out + 3, out + 6, 3, 0}}, nullptr, spec);
      },
      [&](const float* out) { close(out, expected, 3, 1e-12, 1e-6, "param"); }, &initial);
}

// Decay alone: (1 - rate decay)^steps, also where rate decay is far below a float's epsilon times
// 100.
TEST(adamw_decay_is_decoupled) {
  const std::vector<float> initial = {3, 0, 0};
  const float zero = 0;
  const double expected = 3 * std::pow(1 - 1e-3 * 0.01, 1000);
  for_each_result(
      3,
      [&](cpu::Context& context, float* out) {
        for (int step = 1; step <= 1000; step++) {
          const cpu::Adamw spec{1e-3f, 0.9f, 0.999f, 1e-8f, 1, 0, step};
          cpu::adamw(context, {{out, &zero, out + 1, out + 2, 1, 0.01f}}, nullptr, spec);
        }
      },
      [&](const float* out) { close(out, &expected, 1, 0, 2e-5, "param"); }, &initial);
}

TEST(adamw_changes_nothing_when_the_norm_is_not_finite) {
  const int64_t n = 50001;
  const std::vector<float> initial = normals(3 * n, 8);
  const Floats gradient = normals(n, 9);
  for (const float norm : {INFINITY, NAN}) {
    for (const float max_norm : {0.0f, 1.0f}) {
      for_each_result(
          3 * n,
          [&](cpu::Context& context, float* out) {
            const cpu::Adamw spec{0.1f, 0.9f, 0.999f, 1e-8f, 1, max_norm, 1};
            cpu::adamw(context, {{out, gradient, out + n, out + 2 * n, n, 0.1f}}, &norm, spec);
          },
          [&](const float* out) { same_bits(out, initial.data(), 3 * n, "unchanged"); }, &initial);
    }
  }
}

}  // namespace gptloom::test
