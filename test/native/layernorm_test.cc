// LayerNorm against double loops, its gradients also against finite differences.
#include "test.h"

namespace gptloom::test {

namespace {

constexpr double epsilon = 1e-5;

struct Sizes {
  int64_t rows, C;
};
constexpr Sizes sizes[] = {{1, 1},   {3, 2},   {5, 31},    {2, 33},
                           {7, 127}, {65, 64}, {131, 100}, {129, 513}};

struct Forward {
  std::vector<double> out, mean, rstd;
};

Forward forward(const std::vector<double>& x, const std::vector<double>& weight,
                const std::vector<double>& bias, int64_t rows, int64_t C) {
  Forward r;
  for (int64_t row = 0; row < rows; row++) {
    const double* from = x.data() + row * C;
    double mean = 0, variance = 0;
    for (int64_t c = 0; c < C; c++) mean += from[c] / static_cast<double>(C);
    for (int64_t c = 0; c < C; c++) {
      variance += (from[c] - mean) * (from[c] - mean) / static_cast<double>(C);
    }
    const double rstd = 1 / std::sqrt(variance + epsilon);
    r.mean.push_back(mean);
    r.rstd.push_back(rstd);
    for (int64_t c = 0; c < C; c++) {
      const size_t at = static_cast<size_t>(c);
      r.out.push_back((from[c] - mean) * rstd * weight[at] + (bias.empty() ? 0 : bias[at]));
    }
  }
  return r;
}

struct Gradients {
  std::vector<double> dx, dweight, dbias;
};

Gradients backward(const std::vector<double>& dout, const std::vector<double>& x,
                   const std::vector<double>& weight, int64_t rows, int64_t C) {
  const Forward f = forward(x, weight, {}, rows, C);
  const size_t width = static_cast<size_t>(C);
  Gradients r{std::vector<double>(x.size()), std::vector<double>(width),
              std::vector<double>(width)};
  for (size_t row = 0; row < static_cast<size_t>(rows); row++) {
    double mean_g = 0, mean_gh = 0;
    for (size_t c = 0; c < width; c++) {
      const double d = dout[row * width + c], h = (x[row * width + c] - f.mean[row]) * f.rstd[row];
      r.dweight[c] += d * h;
      r.dbias[c] += d;
      mean_g += d * weight[c] / static_cast<double>(C);
      mean_gh += d * weight[c] * h / static_cast<double>(C);
    }
    for (size_t c = 0; c < width; c++) {
      const double h = (x[row * width + c] - f.mean[row]) * f.rstd[row];
      r.dx[row * width + c] =
          f.rstd[row] * (dout[row * width + c] * weight[c] - mean_g - h * mean_gh);
    }
  }
  return r;
}

struct Data {
  explicit Data(Sizes s)
      : x(normals(s.rows * s.C, 1, 2, 0.7)),
        weight(normals(s.C, 2, 0.3, 1)),
        bias(normals(s.C, 3)),
        dout(normals(s.rows * s.C, 4)) {
    const Forward f = forward(doubles(x.vector()), doubles(weight.vector()), {}, s.rows, s.C);
    mean.assign(f.mean.begin(), f.mean.end());
    rstd.assign(f.rstd.begin(), f.rstd.end());
  }
  Floats x, weight, bias, dout;
  std::vector<float> mean, rstd;
};

std::vector<double> plus(const std::vector<double>& a, const std::vector<float>& b) {
  std::vector<double> r = a;
  for (size_t i = 0; i < r.size(); i++) r[i] += static_cast<double>(b[i]);
  return r;
}

}  // namespace

TEST(layernorm_forward) {
  for (const Sizes s : sizes) {
    const Data data(s);
    const int64_t n = s.rows * s.C;
    for (const bool with_bias : {true, false}) {
      const Forward expected =
          forward(doubles(data.x.vector()), doubles(data.weight.vector()),
                  with_bias ? doubles(data.bias.vector()) : std::vector<double>(), s.rows, s.C);
      const float* bias = with_bias ? data.bias.data() : nullptr;
      // With C = 2 and values close to each other rstd magnifies what the mean lost.
      for_each_result(
          n + 2 * s.rows,
          [&](cpu::Context& context, float* out) {
            cpu::layernorm_forward(context, out, out + n, out + n + s.rows, data.x, data.weight,
                                   bias, s.rows, s.C, static_cast<float>(epsilon));
          },
          [&](const float* out) {
            close(out, expected.out, 2e-6, 5e-6, "out");
            close(out + n, expected.mean.data(), s.rows, 5e-7, 1e-6, "mean");
            close(out + n + s.rows, expected.rstd.data(), s.rows, 0, 1e-5, "rstd");
          });
      for_each_result(
          n,
          [&](cpu::Context& context, float* out) {
            cpu::layernorm_forward(context, out, nullptr, nullptr, data.x, data.weight, bias,
                                   s.rows, s.C, static_cast<float>(epsilon));
          },
          [&](const float* out) { close(out, expected.out, 2e-6, 5e-6, "out alone"); });
    }
  }
}

// E[x^2] - mean^2 would lose all digits of the variance here.
TEST(layernorm_far_from_zero) {
  const Sizes s{3, 127};
  const std::vector<float> x = normals(s.rows * s.C, 5, 1, 10000);
  const Floats input = x, ones = std::vector<float>(127, 1);
  const Forward expected = forward(doubles(x), std::vector<double>(127, 1), {}, s.rows, s.C);
  for_each_result(
      s.rows * s.C,
      [&](cpu::Context& context, float* out) {
        cpu::layernorm_forward(context, out, nullptr, nullptr, input, ones, nullptr, s.rows, s.C,
                               static_cast<float>(epsilon));
      },
      [&](const float* out) { close(out, expected.out, 3e-3, 1e-4, "out"); });
}

TEST(layernorm_backward) {
  for (const Sizes s : sizes) {
    const Data data(s);
    const int64_t n = s.rows * s.C;
    const Gradients expected = backward(doubles(data.dout.vector()), doubles(data.x.vector()),
                                        doubles(data.weight.vector()), s.rows, s.C);
    const std::vector<float> before = normals(n + 2 * s.C, 6);
    for (int which = 1; which < 8; which++) {
      const bool dx = which & 1, dweight = which & 2, dbias = which & 4;
      for (const bool accumulate : {false, true}) {
        const auto op = [&](cpu::Context& context, float* out) {
          cpu::layernorm_backward(context, dx ? out : nullptr, dweight ? out + n : nullptr,
                                  dbias ? out + n + s.C : nullptr, data.dout, data.x, data.weight,
                                  data.mean.data(), data.rstd.data(), s.rows, s.C, accumulate,
                                  accumulate, accumulate);
        };
        const auto check = [&](const float* out) {
          const auto part = [&](bool wanted, int64_t at, const std::vector<double>& values,
                                double atol, const char* name) {
            const std::vector<float> old(before.begin() + at,
                                         before.begin() + at + static_cast<int64_t>(values.size()));
            if (!wanted) return close(out + at, doubles(old), 0, 0, "what was not asked for");
            close(out + at, accumulate ? plus(values, old) : values, atol, 1e-5, name);
          };
          part(dx, 0, expected.dx, 5e-6, "dx");
          part(dweight, n, expected.dweight, 1e-5, "dweight");
          part(dbias, n + s.C, expected.dbias, 1e-5, "dbias");
        };
        for_each_result(n + 2 * s.C, op, check, &before);
      }
    }
  }
}

TEST(layernorm_reference_gradients_are_slopes) {
  const Sizes s{3, 7};
  const Data data(s);
  std::vector<double> x = doubles(data.x.vector()), weight = doubles(data.weight.vector());
  std::vector<double> bias = doubles(data.bias.vector());
  const std::vector<double> dout = doubles(data.dout.vector());
  const auto loss = [&] {
    const Forward f = forward(x, weight, bias, s.rows, s.C);
    double sum = 0;
    for (size_t i = 0; i < dout.size(); i++) sum += f.out[i] * dout[i];
    return sum;
  };
  const Gradients exact = backward(dout, x, weight, s.rows, s.C);
  close(exact.dx.data(), finite_differences(x, loss), 1e-8, 1e-7, "dx");
  close(exact.dweight.data(), finite_differences(weight, loss), 1e-8, 1e-7, "dweight");
  close(exact.dbias.data(), finite_differences(bias, loss), 1e-8, 1e-7, "dbias");
}

TEST(layernorm_without_rows) {
  const std::vector<float> before = normals(10, 1), zeros(10, 0);
  const Floats none(0), weight = normals(5, 2);
  for (const bool accumulate : {false, true}) {
    for_each_result(
        10,
        [&](cpu::Context& c, float* out) {
          cpu::layernorm_forward(c, nullptr, nullptr, nullptr, none, weight, nullptr, 0, 5, 1e-5f);
          cpu::layernorm_backward(c, nullptr, out, out + 5, none, none, weight, none, none, 0, 5,
                                  false, accumulate, accumulate);
        },
        [&](const float* out) {
          same_bits(out, accumulate ? before.data() : zeros.data(), 10, "gradients of no rows");
        },
        &before);
  }
}

}  // namespace gptloom::test
