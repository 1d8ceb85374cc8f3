// Matrix products against float64 loops: every transpose form, ending and size around the edges of
// the register tile, the packed tiles and the K blocks, for each instruction set and number of
// threads.
#include <algorithm>
#include <cmath>

#include "test.h"

namespace gptloom::test {

namespace {

struct Shape {
  int64_t M, N, K;
};

std::vector<double> reference(const cpu::Matmul& s, const float* a, const float* b,
                              const float* initial, const float* residual,
                              std::vector<double>* pre = nullptr) {
  std::vector<double> out(static_cast<size_t>(s.M * s.N));
  std::vector<double> row(static_cast<size_t>(s.N));
  for (int64_t i = 0; i < s.M; i++) {
    std::fill(row.begin(), row.end(), 0.0);
    for (int64_t k = 0; k < s.K; k++) {
      const double x = s.transpose_a ? a[k * s.M + i] : a[i * s.K + k];
      for (int64_t j = 0; j < s.N; j++) {
        row[static_cast<size_t>(j)] += x * (s.transpose_b ? b[j * s.K + k] : b[k * s.N + j]);
      }
    }
    for (int64_t j = 0; j < s.N; j++) {
      double x = row[static_cast<size_t>(j)];
      if (s.bias) x += s.bias[j];
      if (pre) pre->push_back(x);
      if (s.slope) {
        x *= gelu_derivative(s.slope[i * s.N + j], s.gelu);
      } else if (s.gelu != Gelu::none) {
        x = gelu(x, s.gelu);
      }
      if (residual) x += residual[i * s.N + j];
      if (s.accumulate) x += initial[i * s.N + j];
      out[static_cast<size_t>(i * s.N + j)] = x;
    }
  }
  return out;
}

// Sums of k normals are of size sqrt(k), so that K roundings make an error of about 2e-8 K: eight
// times that.
double tolerance(int64_t K) { return 2e-6 + 1.6e-7 * static_cast<double>(K); }

void check_forms(const Shape& shape) {
  const int64_t size = shape.M * shape.N;
  const Floats a(normals(shape.M * shape.K, 1)), b(normals(shape.K * shape.N, 2));
  const std::vector<float> initial = normals(size, 3);
  for (int form = 0; form < 8; form++) {
    cpu::Matmul spec{shape.M, shape.N, shape.K};
    spec.transpose_a = form & 1;
    spec.transpose_b = form & 2;
    spec.accumulate = form & 4;
    const std::string what = format("M %d N %d K %d form %d", static_cast<int>(shape.M),
                                    static_cast<int>(shape.N), static_cast<int>(shape.K), form);
    const std::vector<double> expected = reference(spec, a, b, initial.data(), nullptr);
    for_each_result(
        size, [&](cpu::Context& context, float* out) { cpu::matmul(context, out, a, b, spec); },
        [&](const float* out) { close(out, expected, tolerance(shape.K), 1e-6, what); },
        spec.accumulate ? &initial : nullptr);
  }
}

}  // namespace

TEST(matmul_small_and_odd_shapes) {
  for (const Shape& shape : {Shape{1, 1, 1},
                             {2, 3, 5},
                             {8, 127, 33},
                             {9, 1, 7},
                             {9, 48, 16},
                             {13, 47, 31},
                             {14, 49, 1},
                             {31, 33, 127},
                             {33, 97, 64},
                             {127, 31, 65}}) {
    check_forms(shape);
  }
}

TEST(matmul_few_rows) {
  for (int64_t M = 1; M <= 9; M++) check_forms({M, 130, 83});
  check_forms({1, 1100, 40});
  check_forms({5, 700, 9});
  // Threads take blocks of K: 2, 3 and 4 of them.
  for (const int64_t K : {1500, 1600, 3000}) check_forms({1, 190, K}), check_forms({3, 67, K});
}

TEST(matmul_rows_do_not_depend_on_the_other_rows) {
  // A generation, which reads row by row, gives the bits of a forward pass over all rows.
  constexpr int64_t M = 40;
  for (const Shape& shape : {Shape{M, 67, 45}, {M, 130, 769}, {M, 20, 3072}, {M, 190, 1500}}) {
    const Floats a(normals(shape.M * shape.K, 11)), b(normals(shape.K * shape.N, 12));
    const Floats bias(normals(shape.N, 13)), residual(normals(shape.M * shape.N, 14));
    for (int form = 0; form < 4; form++) {
      cpu::Matmul spec{shape.M, shape.N, shape.K};
      spec.transpose_b = form & 1;
      spec.gelu = form & 2 ? Gelu::tanh : Gelu::none;
      spec.bias = bias.data();
      for_each_context([&](cpu::Context& context) {
        std::vector<float> all(static_cast<size_t>(M * shape.N));
        spec.M = M;
        spec.residual = residual.data();
        cpu::matmul(context, all.data(), a, b, spec);
        for (int64_t rows : {1, 2, 3, 7, 8, 9, 31}) {
          std::vector<float> some(static_cast<size_t>(rows * shape.N));
          spec.M = rows;
          const int64_t at = M - rows;
          spec.residual = residual.data() + at * shape.N;
          cpu::matmul(context, some.data(), a.data() + at * shape.K, b, spec);
          if (!std::equal(some.begin(), some.end(), all.begin() + at * shape.N)) {
            fail(format("%d rows differ: N %d K %d form %d", static_cast<int>(rows),
                        static_cast<int>(shape.N), static_cast<int>(shape.K), form));
          }
        }
      });
    }
  }
}

TEST(matmul_several_k_blocks_and_tiles) {
  check_forms({70, 250, 800});
  check_forms({300, 100, 790});
  check_forms({2100, 20, 130});
}

TEST(matmul_panels_in_turns) {
  // Of a, one panel, two and a part of one, each with a K block after it and columns for several parts.
  check_forms({10, 300, 1600});
  check_forms({17, 300, 1570});
  check_forms({37, 200, 1537});
  // More rows than are kept, in several tiles.
  check_forms({2500, 9, 300});
  check_forms({1100, 5, 5000});
}

TEST(matmul_bias_gelu_and_residual) {
  for (const Shape& shape :
       {Shape{1, 65, 30}, {7, 130, 31}, {2, 100, 1500}, {33, 101, 90}, {40, 260, 800}}) {
    const int64_t size = shape.M * shape.N;
    const Floats a(normals(shape.M * shape.K, 4)),
        b(normals(shape.K * shape.N, 5, 1 / std::sqrt(shape.K)));
    const Floats bias(normals(shape.N, 6)), residual(normals(size, 7));
    for (int form = 0; form < 16; form++) {
      cpu::Matmul spec{shape.M, shape.N, shape.K};
      spec.transpose_b = form & 1;
      spec.bias = form & 2 ? bias.data() : nullptr;
      spec.gelu = form & 4 ? form & 8 ? Gelu::exact : Gelu::tanh : Gelu::none;
      spec.residual = form & 8 ? residual.data() : nullptr;
      std::vector<double> pre;
      const std::vector<double> expected = reference(spec, a, b, nullptr, spec.residual, &pre);
      const std::string what = format("M %d form %d", static_cast<int>(shape.M), form);
      const auto check = [&](const float* out) { close(out, expected, tolerance(1), 2e-6, what); };
      for_each_result(
          size, [&](cpu::Context& context, float* out) { cpu::matmul(context, out, a, b, spec); },
          check);
      if (spec.residual) {
        // The residual is out itself.
        const std::vector<float> initial = residual.vector();
        for_each_result(
            size,
            [&](cpu::Context& context, float* out) {
              cpu::Matmul in_place = spec;
              in_place.residual = out;
              cpu::matmul(context, out, a, b, in_place);
            },
            check, &initial);
      }
      if (spec.gelu != Gelu::none) {
        for_each_result(
            size,
            [&](cpu::Context& context, float* out) {
              Floats kept(size);
              cpu::Matmul keeping = spec;
              keeping.pre = kept;
              cpu::matmul(context, out, a, b, keeping);
              close(kept.data(), pre, tolerance(1), 2e-6, what + " pre");
            },
            check);
      }
    }
  }
}

TEST(matmul_gelu_backward) {
  for (const Shape& shape : {Shape{3, 65, 30}, {8, 130, 31}, {33, 101, 90}, {40, 260, 800}}) {
    const int64_t size = shape.M * shape.N;
    const Floats a(normals(shape.M * shape.K, 4)),
        b(normals(shape.K * shape.N, 5, 1 / std::sqrt(shape.K)));
    const Floats z(normals(size, 6));
    const std::vector<float> initial = normals(size, 7);
    for (int form = 0; form < 8; form++) {
      cpu::Matmul spec{shape.M, shape.N, shape.K};
      spec.transpose_b = form & 1;
      spec.gelu = form & 2 ? Gelu::exact : Gelu::tanh;
      spec.accumulate = form & 4;
      spec.slope = z;
      const std::vector<double> expected = reference(spec, a, b, initial.data(), nullptr);
      const std::string what = format("M %d form %d", static_cast<int>(shape.M), form);
      for_each_result(
          size, [&](cpu::Context& context, float* out) { cpu::matmul(context, out, a, b, spec); },
          [&](const float* out) { close(out, expected, tolerance(1), 2e-6, what); },
          spec.accumulate ? &initial : nullptr);
    }
  }
}

TEST(matmul_sums_columns_of_b_on_the_way) {
  // Few rows, edges of tiles, several K blocks, several regions of a, and no depth.
  for (const Shape& shape : {Shape{1, 33, 40},
                             {7, 130, 31},
                             {33, 101, 90},
                             {70, 250, 1700},
                             {2100, 20, 130},
                             {1100, 5, 5000},
                             {40, 30, 0}}) {
    const Floats a(normals(shape.M * shape.K, 4)), b(normals(shape.K * shape.N, 5));
    const std::vector<float> initial = normals(shape.N, 6);
    for (int form = 0; form < 4; form++) {
      cpu::Matmul spec{shape.M, shape.N, shape.K};
      spec.transpose_a = form & 1;
      spec.accumulate_sums = form & 2;
      std::vector<double> expected(static_cast<size_t>(shape.N));
      for (int64_t j = 0; j < shape.N; j++) {
        double& sum = expected[static_cast<size_t>(j)];
        if (spec.accumulate_sums) sum = initial[static_cast<size_t>(j)];
        for (int64_t k = 0; k < shape.K; k++) sum += b[k * shape.N + j];
      }
      const std::vector<double> product = reference(spec, a, b, nullptr, nullptr);
      for_each_result(
          shape.N,
          [&](cpu::Context& context, float* sums) {
            Floats out(shape.M * shape.N);
            cpu::Matmul summing = spec;
            summing.sums = sums;
            cpu::matmul(context, out, a, b, summing);
            close(out.data(), product, tolerance(shape.K), 1e-6, "product");
          },
          [&](const float* sums) { close(sums, expected, tolerance(shape.K), 1e-6, "sums"); },
          spec.accumulate_sums ? &initial : nullptr);
    }
  }
}

TEST(matmul_without_depth_or_rows) {
  const Floats bias(normals(40, 8)), none(0);
  for (int64_t M : {3, 20}) {
    cpu::Matmul spec{M, 40, 0};
    spec.bias = bias;
    const std::vector<double> expected = reference(spec, none, none, nullptr, nullptr);
    for_each_result(
        M * 40,
        [&](cpu::Context& context, float* out) { cpu::matmul(context, out, none, none, spec); },
        [&](const float* out) { close(out, expected, 0, 0, "K = 0"); });
  }
  for_each_context([&](cpu::Context& context) {
    cpu::matmul(context, nullptr, none, none, {0, 5, 3});
  });
}

TEST(matmul_infinities_and_nans_come_through) {
  Floats a(normals(20 * 30, 11)), b(normals(30 * 40, 12));
  a[3 * 30 + 4] = INFINITY;
  b[7 * 40 + 9] = NAN;
  const cpu::Matmul spec{20, 40, 30};
  const std::vector<double> expected = reference(spec, a, b, nullptr, nullptr);
  for_each_result(
      20 * 40, [&](cpu::Context& context, float* out) { cpu::matmul(context, out, a, b, spec); },
      [&](const float* out) { close(out, expected, 1e-5, 1e-5, "inf and NaN"); });
}

}  // namespace gptloom::test
