// Sums against long double loops; sizes around vectors, chunks and blocks.
#include "test.h"

namespace gptloom::test {

TEST(reduce_sum_and_norm) {
  for (const int64_t n : {0, 1, 31, 33, 127, 1000, 65536, 65537, 200003}) {
    const Floats x = normals(n, 1, 1, 0.25);
    long double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i], squares += static_cast<long double>(x[i]) * x[i];
    const double expected[2] = {static_cast<double>(sum), static_cast<double>(std::sqrt(squares))};
    for_each_result(
        2,
        [&](cpu::Context& context, float* out) {
          cpu::sum(context, out, x, n);
          cpu::norm(context, out + 1, {{x, n}});
        },
        [&](const float* out) { close(out, expected, 2, 1e-30, 6e-8, "sum, norm"); });
  }
}

TEST(reduce_norm_over_tensors) {
  std::vector<Floats> tensors;
  long double squares = 0;
  for (const int64_t n : {1, 40000, 0, 127, 70001, 3}) {
    tensors.emplace_back(normals(n, static_cast<uint64_t>(n)));
    for (int64_t i = 0; i < n; i++) {
      squares += static_cast<long double>(tensors.back()[i]) * tensors.back()[i];
    }
  }
  std::vector<cpu::Span> spans;
  for (const Floats& tensor : tensors) spans.push_back({tensor, tensor.size()});
  const double expected = static_cast<double>(std::sqrt(squares));
  for_each_result(
      1, [&](cpu::Context& context, float* out) { cpu::norm(context, out, spans); },
      [&](const float* out) { close(out, &expected, 1, 0, 6e-8, "norm"); });
  for_each_result(
      1, [&](cpu::Context& context, float* out) { cpu::norm(context, out, {}); },
      [&](const float* out) { CHECK(*out == 0); });
}

TEST(reduce_keeps_what_float_would_lose) {
  // 1e8 + many 1s: a float accumulator would stand still. Squares of 1e30 are beyond a float.
  std::vector<float> values(100001, 1);
  values[0] = 1e8f;
  const Floats x = values, large = std::vector<float>{1e30f, -1e30f, 1e-30f};
  const double expected[2] = {1e8 + 100000, std::sqrt(2.0) * 1e30};
  for_each_result(
      2,
      [&](cpu::Context& context, float* out) {
        cpu::sum(context, out, x, x.size());
        cpu::norm(context, out + 1, {{large, 3}});
      },
      [&](const float* out) { close(out, expected, 2, 0, 6e-8, "sum, norm"); });
}

TEST(reduce_norm_shows_what_is_not_finite) {
  for (const float odd : {INFINITY, -INFINITY, NAN}) {
    for (const int64_t at : {0, 77, 70000}) {
      std::vector<float> values = normals(70001, 2);
      values[static_cast<size_t>(at)] = odd;
      const Floats x = values;
      for_each_result(
          1,
          [&](cpu::Context& context, float* out) {
            cpu::norm(context, out, {{x, x.size()}});
          },
          [&](const float* out) { CHECK(!std::isfinite(*out)); });
    }
  }
}

TEST(reduce_bias_backward) {
  const struct {
    int64_t M, N;
  } sizes[] = {{1, 1},     {3, 31},     {5, 33},   {127, 17},  {128, 16},
               {129, 127}, {300, 1025}, {1, 5000}, {70, 2048}, {0, 9}};
  for (const auto s : sizes) {
    const Floats dout = normals(s.M * s.N, 1, 1, 0.5);
    const std::vector<float> before = normals(s.N, 2);
    for (const bool accumulate : {false, true}) {
      std::vector<double> expected(static_cast<size_t>(s.N));
      for (int64_t column = 0; column < s.N; column++) {
        double& total = expected[static_cast<size_t>(column)];
        if (accumulate) total = static_cast<double>(before[static_cast<size_t>(column)]);
        for (int64_t row = 0; row < s.M; row++)
          total += static_cast<double>(dout[row * s.N + column]);
      }
      for_each_result(
          s.N,
          [&](cpu::Context& c, float* out) {
            cpu::bias_backward(c, out, dout, s.M, s.N, accumulate);
          },
          [&](const float* out) { close(out, expected, 1e-5, 1e-6, "dbias"); }, &before);
    }
  }
}

}  // namespace gptloom::test
