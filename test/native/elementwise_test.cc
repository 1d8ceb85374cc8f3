// Element-wise ops against double loops, at sizes around vectors and pieces.
#include "test.h"

namespace gptloom::test {

namespace {

constexpr int64_t sizes[] = {1, 3, 7, 15, 16, 17, 31, 33, 127, 1000, 40001};

}  // namespace

TEST(elementwise_fill_and_copy) {
  for (const int64_t n : sizes) {
    const Floats x = normals(n, 1);
    const auto fill = [&](cpu::Context& context, float* out) { cpu::fill(context, out, -1.5f, n); };
    for_each_result(n, fill, [&](const float* out) {
      close(out, std::vector<double>(static_cast<size_t>(n), -1.5), 0, 0, "fill");
    });
    const auto copy = [&](cpu::Context& context, float* out) { cpu::copy(context, out, x, n); };
    for_each_result(n, copy, [&](const float* out) { same_bits(out, x, n, "copy"); });
  }
}

TEST(elementwise_add_also_in_place) {
  for (const int64_t n : sizes) {
    const Floats a = normals(n, 1), b = normals(n, 2);
    std::vector<float> expected(static_cast<size_t>(n)), kept = a.vector();
    for (int64_t i = 0; i < n; i++) expected[static_cast<size_t>(i)] = a[i] + b[i];
    const auto check = [&](const float* out) { same_bits(out, expected.data(), n, "add"); };
    for_each_result(
        n, [&](cpu::Context& c, float* out) { cpu::add(c, out, a, b, n); }, check);
    for_each_result(
        n, [&](cpu::Context& c, float* out) { cpu::add(c, out, out, b, n); }, check, &kept);
    for_each_result(
        n, [&](cpu::Context& c, float* out) { cpu::add(c, out, b, out, n); }, check, &kept);
  }
}

TEST(elementwise_scale_reads_its_factor) {
  for (const int64_t n : sizes) {
    const std::vector<float> x = normals(n, 1);
    const float factor = 0.3f;
    std::vector<float> expected = x;
    for (float& value : expected) value *= factor;
    for_each_result(
        n, [&](cpu::Context& context, float* out) { cpu::scale(context, out, &factor, n); },
        [&](const float* out) { same_bits(out, expected.data(), n, "scale"); }, &x);
  }
}

TEST(elementwise_gelu_forward_and_backward) {
  for (const int64_t n : sizes) {
    const Gelu form = n % 2 ? Gelu::exact : Gelu::tanh;
    const Floats x = normals(n, 1, 2.5), dout = normals(n, 2);
    const std::vector<float> before = normals(n, 3), douts = dout.vector();
    std::vector<double> y, dx, added;
    for (int64_t i = 0; i < n; i++) {
      y.push_back(gelu(static_cast<double>(x[i]), form));
      dx.push_back(static_cast<double>(dout[i]) * gelu_derivative(static_cast<double>(x[i]), form));
      added.push_back(dx.back() + static_cast<double>(before[static_cast<size_t>(i)]));
    }
    const auto forward = [&](cpu::Context& c, float* out) {
      cpu::gelu_forward(c, out, x, n, form);
    };
    for_each_result(n, forward, [&](const float* out) { close(out, y, 1e-7, 1e-6, "gelu"); });
    const auto backward = [&](cpu::Context& c, float* out) {
      cpu::gelu_backward(c, out, dout, x, n, form, false);
    };
    for_each_result(n, backward, [&](const float* out) { close(out, dx, 4e-6, 1e-6, "dx"); });
    const auto in_place = [&](cpu::Context& c, float* out) {
      cpu::gelu_backward(c, out, out, x, n, form, false);
    };
    for_each_result(
        n, in_place, [&](const float* out) { close(out, dx, 4e-6, 1e-6, "dx in place"); }, &douts);
    const auto accumulate = [&](cpu::Context& c, float* out) {
      cpu::gelu_backward(c, out, dout, x, n, form, true);
    };
    for_each_result(
        n, accumulate, [&](const float* out) { close(out, added, 4e-6, 1e-6, "dx +="); }, &before);
  }
}

TEST(elementwise_gelu_far_out) {
  const Floats x = std::vector<float>{-1e30f, -100, -20, -0.0f, 0, 1e-20f, 20, 100, 1e30f};
  const std::vector<float> ones(9, 1);
  const Floats dout = ones;
  const std::vector<double> y = {0, 0, 0, 0, 0, 5e-21, 20, 100, 1e30};
  const std::vector<double> slope = {0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1};
  for (const Gelu form : {Gelu::tanh, Gelu::exact}) {
    for_each_result(
        9, [&](cpu::Context& c, float* out) { cpu::gelu_forward(c, out, x, 9, form); },
        [&](const float* out) { close(out, y, 1e-30, 1e-6, "gelu"); });
    for_each_result(
        9, [&](cpu::Context& c, float* out) { cpu::gelu_backward(c, out, dout, x, 9, form, false); },
        [&](const float* out) { close(out, slope, 1e-30, 1e-6, "slope"); });
  }
}

TEST(elementwise_nothing_to_do) {
  for_each_context([](cpu::Context& context) {
    Floats none(0);
    const float factor = 2;
    cpu::fill(context, none, 1, 0);
    cpu::copy(context, none, none, 0);
    cpu::add(context, none, none, none, 0);
    cpu::scale(context, none, &factor, 0);
    cpu::gelu_forward(context, none, none, 0, Gelu::exact);
    cpu::gelu_backward(context, none, none, none, 0, Gelu::exact, true);
  });
}

}  // namespace gptloom::test
