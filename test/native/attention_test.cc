// Attention against float64 loops over the whole score matrix, and its gradient against central
// differences.
#include <algorithm>

#include "test.h"

namespace gptloom::test {

namespace {

struct Shape {
  int64_t B, T, H, D;
  bool documents = false;
  float dropout = 0;
  int64_t window = 0;
};

constexpr uint64_t seed = 0x123456789abcdef0, stream = 0xfedcba9876543210;

cpu::Attention spec_of(const Shape& shape) {
  cpu::Attention spec{shape.B, shape.T, shape.H, shape.D};
  spec.window = shape.window;
  spec.dropout = shape.dropout;
  spec.seed = seed;
  spec.stream = stream;
  return spec;
}

std::string name_of(const Shape& s, const char* what) {
  return format("%s [B %d, T %d, H %d, D %d%s, dropout %g, window %d]", what, static_cast<int>(s.B),
                static_cast<int>(s.T), static_cast<int>(s.H), static_cast<int>(s.D),
                s.documents ? ", documents" : "", static_cast<double>(s.dropout),
                static_cast<int>(s.window));
}

// Documents of random length; the last row of the batch has starts in no order at all, which is
// allowed too.
std::vector<int32_t> starts_of(const Shape& shape) {
  Generator generator(7);
  std::vector<int32_t> starts;
  for (int64_t b = 0; b < shape.B; b++) {
    int64_t start = 0;
    for (int64_t t = 0; t < shape.T; t++) {
      if (generator.below(23) == 0) start = t;
      const bool any = b > 0 && b + 1 == shape.B;
      starts.push_back(static_cast<int32_t>(any ? generator.below(t + 1) : start));
    }
  }
  return starts;
}

// Word i % 4 of Philox4x32-10 at counter i / 4, written from the paper's figure.
uint32_t philox(uint64_t i) {
  uint32_t c[4] = {static_cast<uint32_t>(i / 4), static_cast<uint32_t>(i / 4 >> 32),
                   static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; round++) {
    const uint64_t a = uint64_t{0xd2511f53} * c[0], b = uint64_t{0xcd9e8d57} * c[2];
    const uint32_t a1 = static_cast<uint32_t>(a >> 32), a0 = static_cast<uint32_t>(a);
    const uint32_t b1 = static_cast<uint32_t>(b >> 32), b0 = static_cast<uint32_t>(b);
    const uint32_t next[4] = {b1 ^ c[1] ^ key[0], b0, a1 ^ c[3] ^ key[1], a0};
    std::copy(next, next + 4, c);
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  return c[i % 4];
}

double keep(const Shape& shape, int64_t pair, int64_t t, int64_t s) {
  if (shape.dropout == 0) return 1;
  const uint64_t i = static_cast<uint64_t>((pair * shape.T + t) * shape.T + s);
  const double p = static_cast<double>(shape.dropout);
  return (philox(i) >> 8) < std::ceil(p * 0x1p24) ? 0 : 1 / (1 - p);
}

struct Reference {
  std::vector<double> out, lse, dqkv;
};

// The gradient too when dout is not empty.
Reference reference(const Shape& shape, const std::vector<double>& qkv,
                    const std::vector<double>& dout = {}) {
  const auto [B, T, H, D, documents, dropout, window] = shape;
  const int64_t C = H * D;
  const std::vector<int32_t> starts = starts_of(shape);
  Reference r{std::vector<double>(B * T * C), std::vector<double>(B * H * T),
              std::vector<double>(dout.empty() ? 0 : B * T * 3 * C)};
  std::vector<double> p(T), dp(T);
  for (int64_t pair = 0; pair < B * H; pair++) {
    const int64_t b = pair / H, h = pair % H;
    for (int64_t t = 0; t < T; t++) {
      const int64_t start = documents ? starts[b * T + t] : 0;
      const int64_t first = window > 0 ? std::max(start, t + 1 - window) : start;
      const int64_t q = (b * T + t) * 3 * C + h * D, o = (b * T + t) * C + h * D;
      double top = -INFINITY, sum = 0;
      for (int64_t s = first; s <= t; s++) {
        const int64_t k = (b * T + s) * 3 * C + C + h * D;
        p[s] = 0;
        for (int64_t d = 0; d < D; d++) p[s] += qkv[q + d] * qkv[k + d] / std::sqrt(D);
        top = std::max(top, p[s]);
      }
      for (int64_t s = first; s <= t; s++) sum += std::exp(p[s] - top);
      r.lse[pair * T + t] = top + std::log(sum);
      double delta = 0;
      for (int64_t s = first; s <= t; s++) {
        const int64_t v = (b * T + s) * 3 * C + 2 * C + h * D;
        const double z = keep(shape, pair, t, s);
        p[s] = std::exp(p[s] - top) / sum;
        dp[s] = 0;
        for (int64_t d = 0; d < D; d++) {
          r.out[o + d] += p[s] * z * qkv[v + d];
          if (dout.empty()) continue;
          dp[s] += z * dout[o + d] * qkv[v + d];
          r.dqkv[v + d] += p[s] * z * dout[o + d];
        }
        delta += p[s] * dp[s];
      }
      if (dout.empty()) continue;
      for (int64_t s = first; s <= t; s++) {
        const int64_t k = (b * T + s) * 3 * C + C + h * D;
        const double ds = p[s] * (dp[s] - delta) / std::sqrt(D);
        for (int64_t d = 0; d < D; d++) {
          r.dqkv[q + d] += ds * qkv[k + d];
          r.dqkv[k + d] += ds * qkv[q + d];
        }
      }
    }
  }
  return r;
}

// Forward, then the backward from what the forward left: out, lse and dqkv, one after another in
// `result`.
void run(cpu::Context& context, float* result, const Shape& shape, const Floats& qkv,
         const Floats& dout) {
  const int64_t n = shape.B * shape.T * shape.H * shape.D, rows = shape.B * shape.H * shape.T;
  const std::vector<int32_t> starts = starts_of(shape);
  const int32_t* given = shape.documents ? starts.data() : nullptr;
  cpu::attention_forward(context, result, result + n, qkv, given, spec_of(shape));
  cpu::attention_backward(context, result + n + rows, dout, qkv, result, result + n, given,
                          spec_of(shape), false);
}

void compare(const Shape& shape, double deviation = 1, double tolerance = 2e-6) {
  const int64_t n = shape.B * shape.T * shape.H * shape.D, rows = shape.B * shape.H * shape.T;
  const Floats qkv(normals(3 * n, 1, deviation)), dout(normals(n, 2));
  const Reference expected = reference(shape, doubles(qkv.vector()), doubles(dout.vector()));
  for_each_result(
      4 * n + rows,
      [&](cpu::Context& context, float* result) { run(context, result, shape, qkv, dout); },
      [&](const float* result) {
        close(result, expected.out.data(), n, tolerance, tolerance, name_of(shape, "out"));
        close(result + n, expected.lse.data(), rows, tolerance, tolerance, name_of(shape, "lse"));
        close(result + n + rows, expected.dqkv.data(), 3 * n, 8 * tolerance, 8 * tolerance,
              name_of(shape, "dqkv"));
      });
}

}  // namespace

TEST(attention_matches_reference) {
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 1, 3, 5}, Shape{1, 2, 1, 31},
                             Shape{2, 31, 3, 33}, Shape{1, 33, 2, 8}, Shape{1, 96, 1, 16},
                             Shape{2, 97, 1, 7}, Shape{1, 127, 2, 64}, Shape{1, 65, 1, 130}}) {
    compare(shape);
  }
}

TEST(attention_splits_long_sequences_of_few_heads) {
  compare({1, 301, 1, 24});
  compare({1, 193, 3, 5});
}

TEST(attention_keeps_many_heads_whole) { compare({8, 100, 8, 8}); }

TEST(attention_stays_within_documents) {
  for (const Shape& shape :
       {Shape{2, 1, 1, 3, true}, Shape{3, 50, 2, 9, true}, Shape{3, 211, 1, 32, true}}) {
    compare(shape);
  }
}

TEST(attention_stays_within_a_window) {
  for (const Shape& shape :
       {Shape{2, 40, 1, 5, false, 0, 1}, Shape{1, 211, 1, 16, false, 0, 40},
        Shape{3, 211, 1, 32, true, 0.1f, 97}, Shape{1, 401, 1, 8, false, 0, 96},
        Shape{1, 33, 2, 8, false, 0, 1000}}) {
    compare(shape);
  }
}

TEST(attention_drops_weights) {
  compare({2, 37, 2, 9, false, 0.3f});
  compare({3, 131, 1, 16, true, 0.1f});
}

// Scores of some hundreds: softmax is all but a choice of one key, and exp would overflow without
// the maximum.
TEST(attention_is_stable_at_large_scores) { compare({1, 130, 1, 16, false}, 12, 3e-4); }

TEST(attention_gradient_matches_central_differences) {
  for (const Shape& shape :
       {Shape{1, 5, 2, 3}, Shape{2, 7, 1, 5, true}, Shape{1, 6, 2, 2, true, 0.4f},
        Shape{1, 9, 1, 2, false, 0, 3}}) {
    const int64_t n = shape.B * shape.T * shape.H * shape.D, rows = shape.B * shape.H * shape.T;
    const Floats qkv(normals(3 * n, 3)), dout(normals(n, 4));
    std::vector<double> x = doubles(qkv.vector());
    const auto loss = [&] {
      const std::vector<double> out = reference(shape, x).out;
      double sum = 0;
      for (int64_t i = 0; i < n; i++) sum += out[i] * static_cast<double>(dout[i]);
      return sum;
    };
    const std::vector<double> expected = finite_differences(x, loss);
    for_each_result(
        4 * n + rows,
        [&](cpu::Context& context, float* result) { run(context, result, shape, qkv, dout); },
        [&](const float* result) {
          close(result + n + rows, expected.data(), 3 * n, 3e-6, 3e-6, name_of(shape, "dqkv"));
        });
  }
}

TEST(attention_backward_accumulates) {
  for (const Shape& shape : {Shape{2, 20, 2, 5}, Shape{1, 200, 1, 8}, Shape{64, 5, 1, 3}}) {
    const int64_t n = shape.B * shape.T * shape.H * shape.D, rows = shape.B * shape.H * shape.T;
    const Floats qkv(normals(3 * n, 1)), dout(normals(n, 2));
    const std::vector<float> before = normals(3 * n, 5);
    std::vector<double> expected =
        reference(shape, doubles(qkv.vector()), doubles(dout.vector())).dqkv;
    for (int64_t i = 0; i < 3 * n; i++) expected[i] += static_cast<double>(before[i]);
    for_each_result(
        3 * n,
        [&](cpu::Context& context, float* dqkv) {
          Floats out(n), lse(rows);
          cpu::attention_forward(context, out, lse, qkv, nullptr, spec_of(shape));
          cpu::attention_backward(context, dqkv, dout, qkv, out, lse, nullptr, spec_of(shape),
                                  true);
        },
        [&](const float* dqkv) {
          close(dqkv, expected.data(), 3 * n, 1e-5, 1e-5, name_of(shape, "dqkv"));
        },
        &before);
  }
}

// A prompt, single tokens, a few at once, a long chunk: all the same as one forward over
// everything.
TEST(attention_cached_continues_the_sequence) {
  for (const Shape& shape : {Shape{2, 160, 3, 33}, Shape{1, 160, 2, 64}, Shape{1, 160, 1, 5},
                             Shape{1, 160, 2, 33, false, 0, 50}}) {
    const int64_t B = shape.B, T = shape.T, H = shape.H, D = shape.D, C = H * D, capacity = T + 3;
    const std::vector<float> qkv = normals(B * T * 3 * C, 9);
    const std::vector<double> expected = reference(shape, doubles(qkv)).out;
    for_each_result(
        B * T * C,
        [&](cpu::Context& context, float* out) {
          Floats keys(B * H * capacity * D), values(B * H * capacity * D);
          int64_t past = 0;
          for (const int64_t count : {37, 1, 1, 3, 7, 8, 97, 1, 5}) {
            Floats part(B * count * 3 * C), part_out(B * count * C);
            for (int64_t b = 0; b < B; b++) {
              std::copy_n(&qkv[(b * T + past) * 3 * C], count * 3 * C, part + b * count * 3 * C);
            }
            Shape new_ones = shape;
            new_ones.T = count;
            cpu::attention_cached(context, part_out, keys, values, part, spec_of(new_ones), past,
                                  capacity);
            for (int64_t b = 0; b < B; b++) {
              std::copy_n(part_out + b * count * C, count * C, out + (b * T + past) * C);
            }
            past += count;
          }
          CHECK(past == T);
        },
        [&](const float* out) {
          close(out, expected.data(), B * T * C, 2e-6, 2e-6, name_of(shape, "cached"));
        });
  }
}

// Not a number stays visible: training must notice it, and it must not reach back in time.
TEST(attention_passes_nan_on) {
  const Shape shape{1, 40, 1, 8};
  for (const int64_t column : {0, 8, 16}) {
    std::vector<float> values = normals(40 * 24, 1);
    values[20 * 24 + column] = NAN;
    const Floats qkv(values);
    for_each_context([&](cpu::Context& context) {
      Floats out(40 * 8), lse(40);
      cpu::attention_forward(context, out, lse, qkv, nullptr, spec_of(shape));
      for (int64_t i = 0; i < 8; i++) CHECK(std::isfinite(out[i]));
      CHECK(std::isnan(out[20 * 8]));
      CHECK(column == 16 || std::isnan(lse[20]));
    });
  }
}

TEST(attention_of_nothing) {
  for_each_context([](cpu::Context& context) {
    Floats none(0);
    cpu::attention_forward(context, none, none, none, nullptr, spec_of({0, 5, 1, 4}));
    cpu::attention_backward(context, none, none, none, none, none, nullptr, spec_of({2, 0, 1, 4}),
                            false);
    cpu::attention_cached(context, none, none, none, none, spec_of({1, 0, 1, 4}), 3, 8);
  });
}

}  // namespace gptloom::test
