// Compact weights: products and lookups give the bits of the same weights as floats, for every
// instruction set, number of threads and number of rows; what is stored is within its bound.
#include <cmath>
#include <cstring>

#include "bfloat16.h"
#include "test.h"

namespace gptloom::test {

namespace {

// Packed weights in memory of exactly their size.
struct Packed {
  Floats memory;
  cpu::CompactWeight weight;

  Packed(int64_t K, int64_t N, bool int8) : memory(words(K, N, int8)) {
    weight = {reinterpret_cast<unsigned char*>(memory.data()), int8, K};
  }
  static int64_t words(int64_t K, int64_t N, bool int8) {
    const cpu::CompactWeight empty{nullptr, int8, K};
    return cpu::CompactWeight::panels(N) * empty.panel_bytes() / 4;
  }
};

// What b[K, N] becomes, computed here: each block of 32 of a column has its own scale.
std::vector<float> stored(const std::vector<float>& b, int64_t K, int64_t N, bool int8) {
  std::vector<float> out(b.size());
  for (int64_t j = 0; j < N; j++) {
    for (int64_t k = 0; k < K; k++) {
      const auto at = static_cast<size_t>(k * N + j);
      if (!int8) {
        out[at] = from_bfloat16(to_bfloat16(b[at]));
        continue;
      }
      float most = 0;
      for (int64_t i = k / 32 * 32; i < std::min(k / 32 * 32 + 32, K); i++)
        most = std::max(most, std::fabs(b[static_cast<size_t>(i * N + j)]));
      const float scale = most / 127;
      // An integer has no -0.
      out[at] = most == 0 ? 0 : scale * std::nearbyint(b[at] / scale) + 0.0f;
      if (std::fabs(out[at] - b[at]) > 0.502f * scale) fail("int8 is off by more than half a step");
    }
  }
  return out;
}

std::vector<float> transposed(const std::vector<float>& b, int64_t K, int64_t N) {
  std::vector<float> out(b.size());
  for (int64_t k = 0; k < K; k++) {
    for (int64_t j = 0; j < N; j++)
      out[static_cast<size_t>(j * K + k)] = b[static_cast<size_t>(k * N + j)];
  }
  return out;
}

struct Shape {
  int64_t N, K;
};
// Blocks of K that begin within a block of 32 (1000), panels and tiles that end within a vector.
constexpr Shape kShapes[] = {{1, 1}, {31, 33}, {33, 31}, {65, 64}, {130, 83}, {50, 1000}, {350, 769}};
// All register tiles; of what is large enough for several threads, some.
std::vector<int64_t> rows_for(const Shape& shape) {
  if (shape.N * shape.K > 100000) return {1, 3, 8, 33};
  return {1, 2, 3, 4, 5, 6, 7, 8, 9, 40};
}

}  // namespace

TEST(compact_matmul_has_the_bits_of_the_same_weights_as_floats) {
  constexpr int64_t most = 40;
  for (const Shape& shape : kShapes) {
    const int64_t N = shape.N, K = shape.K;
    const Floats a(normals(most * K, 1)), bias(normals(N, 3)), residual(normals(most * N, 4));
    const std::vector<float> b = normals(K * N, 2);
    for (int form = 0; form < 4; form++) {
      const bool int8 = form & 1, transpose = form & 2, ending = transpose;
      const Floats floats(stored(b, K, N, int8));
      const std::vector<float> given = transpose ? transposed(b, K, N) : b;
      for_each_context([&](cpu::Context& context) {
        Packed packed(K, N, int8);
        cpu::compact_pack(context, packed.weight, given.data(), N, transpose);
        for (int64_t M : rows_for(shape)) {
          cpu::Matmul spec{M, N, K};
          if (ending) spec.bias = bias, spec.gelu = Gelu::tanh, spec.residual = residual;
          Floats expected(M * N), out(M * N);
          cpu::matmul(context, expected, a, floats, spec);
          spec.compact = packed.weight;
          cpu::matmul(context, out, a, nullptr, spec);
          same_bits(out, expected, M * N,
                    format("M %d N %d K %d form %d", static_cast<int>(M), static_cast<int>(N),
                           static_cast<int>(K), form));
        }
      });
    }
  }
}

TEST(compact_matmul_against_float64) {
  constexpr int64_t M = 12, N = 70, K = 500;
  const Floats a(normals(M * K, 5));
  const std::vector<float> b = normals(K * N, 6);
  for (bool int8 : {false, true}) {
    const std::vector<float> weight = stored(b, K, N, int8);
    std::vector<double> expected(static_cast<size_t>(M * N));
    for (int64_t i = 0; i < M; i++) {
      for (int64_t k = 0; k < K; k++) {
        for (int64_t j = 0; j < N; j++)
          expected[static_cast<size_t>(i * N + j)] +=
              static_cast<double>(a[i * K + k]) * weight[static_cast<size_t>(k * N + j)];
      }
    }
    for_each_result(
        M * N,
        [&](cpu::Context& context, float* out) {
          Packed packed(K, N, int8);
          cpu::compact_pack(context, packed.weight, b.data(), N, false);
          cpu::Matmul spec{M, N, K};
          spec.compact = packed.weight;
          cpu::matmul(context, out, a, nullptr, spec);
        },
        [&](const float* out) { close(out, expected, 1e-4, 1e-6, int8 ? "int8" : "bfloat16"); });
  }
}

TEST(compact_embedding_gives_rows_as_they_are_stored) {
  constexpr int64_t V = 45, C = 70, T = 9;
  const std::vector<float> table = normals(V * C, 7);
  const Floats positions(normals(T * C, 8));
  const std::vector<int32_t> tokens = integers(T, 9, 0, V);
  for (bool int8 : {false, true}) {
    const std::vector<float> rows =
        transposed(stored(transposed(table, V, C), C, V, int8), C, V);
    const Floats floats(rows);
    for (bool with : {false, true}) {
      cpu::Embedding spec{1, T, C, V};
      spec.P = T;
      const float* wpe = with ? positions.data() : nullptr;
      for_each_context([&](cpu::Context& context) {
        Packed packed(C, V, int8);
        cpu::compact_pack(context, packed.weight, table.data(), V, true);
        Floats expected(T * C), out(T * C);
        cpu::embedding_forward(context, expected, tokens.data(), nullptr, floats, wpe, spec);
        cpu::Embedding compact = spec;
        compact.compact = packed.weight;
        cpu::embedding_forward(context, out, tokens.data(), nullptr, nullptr, wpe, compact);
        same_bits(out, expected, T * C, int8 ? "int8" : "bfloat16");
        const int32_t wrong = V;
        compact.T = 1;
        throws("ERR_INDEX", [&] {
          cpu::embedding_forward(context, out, &wrong, nullptr, nullptr, wpe, compact);
        });
      });
    }
  }
}

TEST(compact_pack_of_zeros_and_of_what_is_not_finite) {
  constexpr int64_t K = 70, N = 3;
  std::vector<float> b(static_cast<size_t>(K * N), 0.0f);
  b[40 * N + 1] = INFINITY;
  b[5 * N + 2] = 1e-44f;
  for (bool int8 : {false, true}) {
    for_each_context([&](cpu::Context& context) {
      Packed packed(K, N, int8);
      cpu::compact_pack(context, packed.weight, b.data(), N, false);
      std::vector<float> column(static_cast<size_t>(K));
      cpu::compact_column(column.data(), packed.weight, 0);
      for (float x : column) {
        if (x != 0) fail("a column of zeros is not zero");
      }
      cpu::compact_column(column.data(), packed.weight, 1);
      if (std::isfinite(column[40])) fail("an infinity was lost");
      if (column[10] != 0) fail("an infinity reaches beyond its block");
      cpu::compact_column(column.data(), packed.weight, 2);
      if (std::fabs(column[5]) > 1e-43f) fail("a number that is nearly 0 has grown");
    });
  }
}

}  // namespace gptloom::test
