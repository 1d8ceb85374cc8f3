// Embedding lookups and their gradients against plain loops.
#include <chrono>

#include "test.h"

namespace gptloom::test {

namespace {

struct Data {
  explicit Data(cpu::Embedding s) : spec(s) {
    const int64_t rows = s.B * s.T;
    tokens = integers(rows, 1, 0, static_cast<int32_t>(s.V));
    // Two documents a row: the second begins at T / 2.
    for (int64_t row = 0; row < rows; row++) {
      const int64_t t = row % s.T;
      starts.push_back(static_cast<int32_t>(t < s.T / 2 ? 0 : s.T / 2));
    }
  }
  int64_t position(int64_t row, bool with_starts) const {
    return spec.past + row % spec.T - (with_starts ? starts[static_cast<size_t>(row)] : 0);
  }
  cpu::Embedding spec;
  std::vector<int32_t> tokens, starts;
};

cpu::Embedding make(int64_t B, int64_t T, int64_t C, int64_t V, int64_t P, int64_t past) {
  cpu::Embedding spec{B, T, C, V};
  spec.P = P;
  spec.past = past;
  return spec;
}

const cpu::Embedding specs[] = {make(1, 1, 1, 1, 1, 0), make(2, 3, 31, 5, 9, 4),
                                make(3, 33, 33, 7, 33, 0), make(2, 127, 129, 50, 130, 3),
                                make(2, 100, 300, 1000, 100, 0)};

}  // namespace

TEST(embedding_forward) {
  for (const cpu::Embedding& s : specs) {
    const Data data(s);
    const Floats wte = normals(s.V * s.C, 2), wpe = normals(s.P * s.C, 3);
    for (const bool positions : {false, true}) {
      for (const bool with_starts : {false, true}) {
        const int64_t n = s.B * s.T * s.C;
        std::vector<float> expected;
        for (int64_t i = 0; i < n; i++) {
          const int64_t row = i / s.C, c = i % s.C;
          float value = wte[data.tokens[static_cast<size_t>(row)] * s.C + c];
          if (positions) value += wpe[data.position(row, with_starts) * s.C + c];
          expected.push_back(value);
        }
        for_each_result(
            n,
            [&](cpu::Context& context, float* out) {
              cpu::embedding_forward(context, out, data.tokens.data(),
                                     with_starts ? data.starts.data() : nullptr, wte,
                                     positions ? wpe.data() : nullptr, s);
            },
            [&](const float* out) { same_bits(out, expected.data(), n, "out"); });
      }
    }
  }
}

TEST(embedding_backward_adds_in_the_order_of_tokens) {
  for (const cpu::Embedding& s : specs) {
    const Data data(s);
    const int64_t n = s.B * s.T * s.C, table = s.V * s.C, places = s.P * s.C;
    const Floats dout = normals(n, 4);
    const std::vector<float> before = normals(table + places, 5);
    std::vector<float> expected = before;  // float sums in order: the very same bits
    for (int64_t i = 0; i < n; i++) {
      const int64_t row = i / s.C, c = i % s.C;
      expected[static_cast<size_t>(data.tokens[static_cast<size_t>(row)] * s.C + c)] += dout[i];
      expected[static_cast<size_t>(table + data.position(row, true) * s.C + c)] += dout[i];
    }
    for (int which = 1; which < 4; which++) {
      const auto op = [&](cpu::Context& context, float* out) {
        cpu::embedding_backward(context, which & 1 ? out : nullptr,
                                which & 2 ? out + table : nullptr, dout, data.tokens.data(),
                                data.starts.data(), s);
      };
      const auto check = [&](const float* out) {
        same_bits(out, which & 1 ? expected.data() : before.data(), table, "dwte");
        same_bits(out + table, (which & 2 ? expected.data() : before.data()) + table, places,
                  "dwpe");
      };
      for_each_result(table + places, op, check, &before);
    }
  }
}

TEST(embedding_throws_on_a_bad_index) {
  const cpu::Embedding s = make(2, 3, 4, 10, 5, 1);
  const Floats wte = normals(40, 1), wpe = normals(20, 2), dout = normals(24, 3);
  const std::vector<int32_t> good = {0, 1, 2, 3, 4, 9}, early = {0, 0, 4, 0, 0, 0};
  for (const int32_t bad : {-1, 10, 50257, INT32_MIN, INT32_MAX}) {
    for (size_t at : {size_t{0}, size_t{5}}) {
      std::vector<int32_t> tokens = good;
      tokens[at] = bad;
      for_each_context([&](cpu::Context& context) {
        Floats out(24);
        throws("ERR_INDEX",
               [&] { cpu::embedding_forward(context, out, tokens.data(), nullptr, wte, wpe, s); });
        throws("ERR_INDEX", [&] {
          cpu::embedding_backward(context, out, nullptr, dout, tokens.data(), nullptr, s);
        });
        for (int i = 0; i < 24; i++) CHECK(std::isnan(out[i]));
      });
    }
  }
  cpu::Embedding late = s;
  late.past = 3;
  for_each_context([&](cpu::Context& context) {
    Floats out(24);
    throws("ERR_INDEX",
           [&] { cpu::embedding_forward(context, out, good.data(), nullptr, wte, wpe, late); });
    throws("ERR_INDEX",
           [&] { cpu::embedding_forward(context, out, good.data(), early.data(), wte, wpe, s); });
    cpu::embedding_forward(context, out, good.data(), nullptr, wte, nullptr, late);
  });
}

// With a table of 150 MB, a pass over all of it would take some 20 ms.
TEST(embedding_backward_costs_what_its_tokens_cost) {
  const cpu::Embedding s = make(1, 4, 768, 50257, 0, 0);
  std::vector<float> table(static_cast<size_t>(s.V * s.C));
  const Floats dout = normals(4 * 768, 1);
  const std::vector<int32_t> tokens = {0, 50256, 7, 7};
  double best = 1;
  for_each_context([&](cpu::Context& context) {
    for (int i = 0; i < 5; i++) {
      const auto start = std::chrono::steady_clock::now();
      cpu::embedding_backward(context, table.data(), nullptr, dout, tokens.data(), nullptr, s);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      best = std::min(best, seconds.count());
    }
  });
  CHECK(best < 1e-3);
}

}  // namespace gptloom::test
