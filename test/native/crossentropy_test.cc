// Cross-entropy against float64 loops, and the gradients of the fused form against central
// differences.
#include <algorithm>

#include "test.h"

namespace gptloom::test {

namespace {

// losses[N], then the gradient [N, V] of their sum
std::vector<double> reference(const double* logits, const std::vector<int32_t>& targets,
                              int64_t V, double smoothing = 0) {
  const int64_t N = static_cast<int64_t>(targets.size());
  std::vector<double> result(N + N * V);
  for (int64_t i = 0; i < N; i++, logits += V) {
    if (targets[i] < 0) continue;
    const double top = *std::max_element(logits, logits + V);
    double sum = 0;
    for (int64_t j = 0; j < V; j++) sum += std::exp(logits[j] - top);
    result[i] = std::log(sum) + top - (1 - smoothing) * logits[targets[i]];
    for (int64_t j = 0; j < V; j++) {
      result[i] -= smoothing / static_cast<double>(V) * logits[j];
      result[N + i * V + j] =
          std::exp(logits[j] - top) / sum - smoothing / static_cast<double>(V);
    }
    result[N + i * V + targets[i]] -= 1 - smoothing;
  }
  return result;
}

std::vector<double> product(const std::vector<double>& x, const std::vector<double>& weight,
                            int64_t N, int64_t C, int64_t V) {
  std::vector<double> logits(N * V);
  for (int64_t i = 0; i < N; i++) {
    for (int64_t j = 0; j < V; j++) {
      for (int64_t c = 0; c < C; c++) logits[i * V + j] += x[i * C + c] * weight[j * C + c];
    }
  }
  return logits;
}

// losses[N], dx[N, C], dweight[V, C]
std::vector<double> linear_reference(const std::vector<double>& x,
                                     const std::vector<double>& weight,
                                     const std::vector<int32_t>& targets, int64_t C, int64_t V) {
  const int64_t N = static_cast<int64_t>(targets.size());
  const std::vector<double> inner = reference(product(x, weight, N, C, V).data(), targets, V);
  std::vector<double> result(N + N * C + V * C);
  std::copy_n(inner.begin(), N, result.begin());
  for (int64_t i = 0; i < N; i++) {
    for (int64_t j = 0; j < V; j++) {
      const double g = inner[N + i * V + j];
      for (int64_t c = 0; c < C; c++) {
        result[N + i * C + c] += g * weight[j * C + c];
        result[N + N * C + j * C + c] += g * x[i * C + c];
      }
    }
  }
  return result;
}

std::vector<int32_t> some_ignored(std::vector<int32_t> targets) {
  for (size_t i = 0; i < targets.size(); i += 3) targets[i] = i % 2 ? -1 : -100;
  return targets;
}

void compare_linear(int64_t N, int64_t C, int64_t V, const std::vector<int32_t>& targets,
                    int64_t chunk_floats = int64_t{16} << 20) {
  // Logits of about 1: a float logit's own rounding error is multiplied into dx.
  const Floats x(normals(N * C, 1));
  const Floats weight(normals(V * C, 2, 1 / std::sqrt(static_cast<double>(C))));
  const std::vector<double> expected =
      linear_reference(doubles(x.vector()), doubles(weight.vector()), targets, C, V);
  const std::string what =
      format("N %d, C %d, V %d", static_cast<int>(N), static_cast<int>(C), static_cast<int>(V));
  for_each_result(
      N + N * C + V * C,
      [&](cpu::Context& context, float* out) {
        cpu::linear_crossentropy(context, out, out + N, out + N + N * C, x, weight, targets.data(),
                                 N, C, V, 0, chunk_floats);
      },
      [&](const float* out) {
        close(out, expected.data(), N, 2e-6, 2e-6, "losses " + what);
        close(out + N, &expected[N], N * C, 3e-6, 3e-6, "dx " + what);
        close(out + N + N * C, expected.data() + N + N * C, V * C, 5e-6, 5e-6, "dweight " + what);
      });
}

}  // namespace

TEST(crossentropy_matches_reference) {
  const int64_t sizes[][2] = {{1, 1}, {3, 2}, {5, 31}, {127, 33}, {33, 127}, {7, 1000}, {3, 50257}};
  for (const auto& [N, V] : sizes) {
    const Floats logits(normals(N * V, 1, 4));
    const std::vector<double> exact = doubles(logits.vector());
    for (const bool ignored : {false, true}) {
      const float smoothing = ignored ? 0.125f : 0;
      std::vector<int32_t> targets = integers(N, 2, 0, static_cast<int32_t>(V));
      if (ignored) targets = some_ignored(targets);
      const std::vector<double> expected =
          reference(exact.data(), targets, V, static_cast<double>(smoothing));
      for_each_result(
          N + N * V,
          [&, N = N, V = V](cpu::Context& context, float* out) {
            cpu::crossentropy(context, out, out + N, logits, targets.data(), N, V, smoothing);
            // The same bits in place, and the same losses without a gradient.
            Floats copy(logits), losses(N);
            cpu::crossentropy(context, losses, copy, copy, targets.data(), N, V, smoothing);
            same_bits(losses, out, N, "losses in place");
            same_bits(copy, out + N, N * V, "gradient in place");
            cpu::crossentropy(context, losses, nullptr, logits, targets.data(), N, V, smoothing);
            same_bits(losses, out, N, "losses alone");
          },
          [&, N = N, V = V](const float* out) {
            close(out, expected.data(), N, 1e-6, 1e-6, "losses");
            close(out + N, &expected[N], N * V, 1e-7, 1e-6, "gradient");
          });
    }
  }
}

// Equal logits: the loss is log V, known to the last bit whatever the sum's length.
// As rows begin in memory: anywhere.
TEST(crossentropy_past_the_caches_has_the_same_bits) {
  for_each_context([](cpu::Context& context) {
    const auto row = context.kernels.crossentropy.row;
    for (const int64_t V : {1, 3, 17, 200, 1000}) {
      const Floats logits(normals(V, 1, 4));
      Floats expected(V);
      const float loss = row(expected, logits, 0, V, 0.125f, false);
      for (int64_t offset = 0; offset <= 17; offset++) {
        Floats out(std::vector<float>(static_cast<size_t>(V + offset), 7));
        CHECK(row(out + offset, logits, 0, V, 0.125f, true) == loss);
        same_bits(out + offset, expected, V, "gradient past the caches");
        for (int64_t i = 0; i < offset; i++) CHECK(out[i] == 7);
      }
    }
  });
}

TEST(crossentropy_sums_long_rows_exactly) {
  const int64_t V = 200003;
  const Floats logits(std::vector<float>(V, 3.25f));
  const int32_t target = 77;
  const double expected = std::log(200003.0);
  for_each_context([&](cpu::Context& context) {
    float loss;
    cpu::crossentropy(context, &loss, nullptr, logits, &target, 1, V);
    close(&loss, &expected, 1, 0, 1e-7, "log V");
  });
}

TEST(crossentropy_of_extreme_logits) {
  const Floats logits(std::vector<float>{1e4f, -1e4f, 0, 3e38f, -3e38f, 0, -INFINITY, 1, 2});
  const std::vector<int32_t> targets = {0, 2, 0};
  const std::vector<double> expected = {0, 3e38, INFINITY};
  for_each_context([&](cpu::Context& context) {
    Floats losses(3), gradient(9);
    cpu::crossentropy(context, losses, gradient, logits, targets.data(), 3, 3);
    close(losses, expected, 0, 1e-6, "losses");
    for (int i = 0; i < 9; i++) CHECK(std::isfinite(gradient[i]));
    CHECK(gradient[6] == -1);
  });
}

TEST(crossentropy_shows_nan) {
  for (const int64_t V : {1, 5, 16, 100, 1500}) {
    for (int64_t at = 0; at < V; at += std::max<int64_t>(1, V / 7)) {
      for (const float bad : {NAN, INFINITY}) {
        std::vector<float> values = normals(2 * V, 1);
        values[at] = bad;
        const Floats logits(values);
        const std::vector<int32_t> targets = {0, static_cast<int32_t>(V - 1)};
        for_each_context([&](cpu::Context& context) {
          Floats losses(2), gradient(2 * V);
          cpu::crossentropy(context, losses, gradient, logits, targets.data(), 2, V);
          CHECK(std::isnan(losses[0]) && std::isfinite(losses[1]));
        });
      }
    }
  }
}

TEST(crossentropy_names_a_bad_target) {
  const Floats logits(std::vector<float>(20 * 5, 0));
  std::vector<int32_t> targets(20, 4);
  targets[12] = 5;
  targets[15] = 70000;
  for_each_context([&](cpu::Context& context) {
    Floats losses(20), weight(5);
    for (const bool linear : {false, true}) {
      const auto run = [&] {
        if (linear) {
          cpu::linear_crossentropy(context, losses, nullptr, nullptr, logits, weight,
                                   targets.data(), 20, 1, 5);
        } else {
          cpu::crossentropy(context, losses, nullptr, logits, targets.data(), 20, 5);
        }
      };
      throws("ERR_INDEX", run);
      std::string message;
      try {
        run();
      } catch (const Error& error) {
        message = error.what();
      }
      CHECK(message == "crossentropy: target 5 at position 12 is outside the vocabulary of 5");
    }
  });
}

TEST(linear_crossentropy_matches_reference) {
  const int64_t sizes[][3] = {{1, 1, 1}, {5, 3, 31}, {33, 31, 127}, {70, 64, 300}};
  for (const auto& [N, C, V] : sizes) {
    const std::vector<int32_t> targets = integers(N, 3, 0, static_cast<int32_t>(V));
    compare_linear(N, C, V, targets);
    compare_linear(N, C, V, some_ignored(targets));
    compare_linear(N, C, V, std::vector<int32_t>(static_cast<size_t>(N), -1));
  }
}

// More logits than one chunk holds, so that dweight is made of two or three: of rows as they are, and
// of rows that are gathered.
TEST(linear_crossentropy_adds_up_chunks) {
  const int64_t V = 1031;
  for (const int64_t N : {131, 300}) {
    std::vector<int32_t> targets = integers(N, 3, 0, V);
    compare_linear(N, 2, V, targets, 128 * V);
    targets[5] = targets[130] = -1;
    compare_linear(N, 1, V, targets, 128 * V);
  }
}

TEST(linear_crossentropy_gradient_matches_central_differences) {
  const int64_t N = 4, C = 3, V = 6;
  const std::vector<int32_t> targets = {5, -1, 0, 3};
  const Floats x(normals(N * C, 5)), weight(normals(V * C, 6));
  std::vector<double> exact_x = doubles(x.vector()), exact_weight = doubles(weight.vector());
  const auto loss = [&] {
    const std::vector<double> losses =
        reference(product(exact_x, exact_weight, N, C, V).data(), targets, V);
    double sum = 0;
    for (int64_t i = 0; i < N; i++) sum += losses[i];
    return sum;
  };
  const std::vector<double> dx = finite_differences(exact_x, loss);
  const std::vector<double> dweight = finite_differences(exact_weight, loss);
  for_each_context([&](cpu::Context& context) {
    Floats losses(N), both(N), out_dx(N * C), out_dweight(V * C);
    cpu::linear_crossentropy(context, both, out_dx, out_dweight, x, weight, targets.data(), N, C,
                             V);
    close(out_dx, dx, 2e-6, 2e-6, "dx");
    close(out_dweight, dweight, 2e-6, 2e-6, "dweight");
    // Whatever is left out, the rest keeps its bits.
    Floats alone_dx(N * C), alone_dweight(V * C);
    cpu::linear_crossentropy(context, losses, nullptr, nullptr, x, weight, targets.data(), N, C, V);
    same_bits(losses, both, N, "losses alone");
    cpu::linear_crossentropy(context, losses, alone_dx, nullptr, x, weight, targets.data(), N, C,
                             V);
    same_bits(alone_dx, out_dx, N * C, "dx alone");
    cpu::linear_crossentropy(context, losses, nullptr, alone_dweight, x, weight, targets.data(), N,
                             C, V);
    same_bits(alone_dweight, out_dweight, V * C, "dweight alone");
  });
}

}  // namespace gptloom::test
