// Philox against published answers and a plain loop; the distributions against their moments.
#include <algorithm>

#include "test.h"

namespace gptloom::test {

namespace {

struct Words {
  uint32_t w[4];
};

// Philox4x32-10 as the paper gives it, one counter at a time.
Words philox(uint64_t counter, uint64_t stream, uint64_t seed) {
  Words c = {{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
              static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)}};
  uint32_t k[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; round++) {
    const uint64_t a = 0xd2511f53ull * c.w[0], b = 0xcd9e8d57ull * c.w[2];
    c = {{static_cast<uint32_t>(b >> 32) ^ c.w[1] ^ k[0], static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ c.w[3] ^ k[1], static_cast<uint32_t>(a)}};
    k[0] += 0x9e3779b9u;
    k[1] += 0xbb67ae85u;
  }
  return c;
}

uint32_t word(uint64_t element, uint64_t stream, uint64_t seed) {
  return philox(element / 4, stream, seed).w[element % 4];
}

void check_words(const cpu::Kernels& kernels, uint64_t first, int64_t n, uint64_t seed,
                 uint64_t stream) {
  std::vector<uint32_t> words(static_cast<size_t>(n));
  kernels.random.words(words.data(), n, first, seed, stream);
  for (int64_t i = 0; i < n; i++) {
    if (words[static_cast<size_t>(i)] == word(first + static_cast<uint64_t>(i), stream, seed))
      continue;
    fail(format("word %lld after %llu is off", static_cast<long long>(i),
                static_cast<unsigned long long>(first)));
  }
}

}  // namespace

// From the known-answer file of Random123 (kat_vectors, philox4x32 10).
TEST(random_philox_known_answers) {
  const struct {
    uint64_t counter, stream, seed;
    Words words;
  } answers[] = {
      {0, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      {~0ull, ~0ull, ~0ull, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      {0x85a308d3243f6a88,
       0x0370734413198a2e,
       0x299f31d0a4093822,
       {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
  };
  for (const auto& answer : answers) {
    const Words plain = philox(answer.counter, answer.stream, answer.seed);
    CHECK(std::memcmp(plain.w, answer.words.w, sizeof plain.w) == 0);
    // Elements are counted in 64 bits, so a kernel reaches counters below 2^62 only.
    if (answer.counter >> 62) continue;
    for_each_context([&](cpu::Context& context) {
      uint32_t words[4];
      context.kernels.random.words(words, 4, answer.counter * 4, answer.seed, answer.stream);
      CHECK(std::memcmp(words, answer.words.w, sizeof words) == 0);
    });
  }
}

TEST(random_words_from_any_element) {
  for_each_context([](cpu::Context& context) {
    for (uint64_t first : {0, 1, 2, 3, 5, 1023, 4097}) {
      for (int64_t n : {1, 2, 3, 4, 5, 31, 64, 65, 1021, 1024, 1025, 3000}) {
        check_words(context.kernels, first, n, 0x123456789abcdef0, 0xfedcba9876543210);
      }
    }
    // The low word of the counter overflows into the high one within the run.
    check_words(context.kernels, (1ull << 34) - 201, 999, 7, 9);
  });
}

TEST(random_dropout_drops_what_the_words_say) {
  const uint64_t seed = 77, stream = 1ull << 40 | 5;
  for (const float p : {0.0f, 0.1f, 0.5f, 0.93f}) {
    for (const int64_t n : {1, 3, 31, 33, 127, 1025, 70001}) {
      const std::vector<float> x = normals(n, 3), before = normals(n, 4);
      const Floats input = x;
      std::vector<double> expected, added;
      for (int64_t i = 0; i < n; i++) {
        const double u = (word(static_cast<uint64_t>(i), stream, seed) >> 8) * 0x1p-24;
        const size_t at = static_cast<size_t>(i);
        const double kept = static_cast<double>(x[at]) / (1 - static_cast<double>(p));
        expected.push_back(u < static_cast<double>(p) ? 0 : kept);
        added.push_back(expected.back() + static_cast<double>(before[at]));
      }
      const auto drop = [&](cpu::Context& c, float* out) {
        cpu::dropout(c, out, input, n, p, seed, stream, false);
      };
      for_each_result(n, drop, [&](const float* out) { close(out, expected, 0, 2e-7, "dropout"); });
      const auto in_place = [&](cpu::Context& c, float* out) {
        cpu::dropout(c, out, out, n, p, seed, stream, false);
      };
      for_each_result(
          n, in_place, [&](const float* out) { close(out, expected, 0, 2e-7, "in place"); }, &x);
      const auto add = [&](cpu::Context& c, float* out) {
        cpu::dropout(c, out, input, n, p, seed, stream, true);
      };
      for_each_result(
          n, add, [&](const float* out) { close(out, added, 1e-6, 1e-6, "dropout +="); }, &before);
    }
  }
}

TEST(random_dropout_drops_infinities_too) {
  const Floats x = std::vector<float>(64, INFINITY);
  for_each_result(
      64, [&](cpu::Context& c, float* out) { cpu::dropout(c, out, x, 64, 0.5f, 1, 2, false); },
      [&](const float* out) {
        for (int i = 0; i < 64; i++)
          CHECK(out[i] == (word(static_cast<uint64_t>(i), 2, 1) >> 31 ? INFINITY : 0));
      });
}

TEST(random_normal_is_box_muller_of_the_words) {
  for (const int64_t n : {1, 2, 3, 5, 31, 127, 1023, 1026, 50001}) {
    std::vector<double> expected;
    for (int64_t i = 0; i < n; i++) {
      const uint64_t pair = static_cast<uint64_t>(i) / 2 * 2;
      const double radius = std::sqrt(-2 * std::log((word(pair, 3, 11) + 0.5) * 0x1p-32));
      const double angle = 6.283185307179586 * (word(pair + 1, 3, 11) * 0x1p-32);
      expected.push_back(0.5 + 0.02 * radius * (i % 2 ? std::sin(angle) : std::cos(angle)));
    }
    const auto op = [&](cpu::Context& c, float* out) {
      cpu::random_normal(c, out, n, 0.5f, 0.02f, 11, 3);
    };
    for_each_result(n, op, [&](const float* out) { close(out, expected, 1e-7, 1e-7, "normal"); });
  }
}

TEST(random_normal_from_any_element) {
  for_each_context([](cpu::Context& context) {
    Floats all(5000), part(3000);
    context.kernels.random.normal(all, 5000, 0, 0, 1, 21, 22);
    for (uint64_t first : {1, 2, 3, 4, 1023, 1999}) {
      context.kernels.random.normal(part, 3000, first, 0, 1, 21, 22);
      close(part.data(), all.data() + first, 3000, 1e-6, 1e-6, "a part");
    }
  });
}

TEST(random_normal_moments) {
  const int64_t n = 400000;
  for_each_result(
      n, [&](cpu::Context& c, float* out) { cpu::random_normal(c, out, n, 0, 1, 5, 6); },
      [&](const float* out) {
        double moments[5] = {}, size = static_cast<double>(n), neighbours = 0;
        for (int64_t i = 0; i < n; i++) {
          double power = 1;
          for (double& moment : moments)
            moment += power / size, power *= static_cast<double>(out[i]);
          if (i) neighbours += static_cast<double>(out[i] * out[i - 1]) / size;
        }
        // Five standard errors: sqrt(var(x^k) / n), var being 1, 2, 15 and 96.
        const double expected[5] = {1, 0, 1, 0, 3};
        const double spread[5] = {1e-9, 1, std::sqrt(2.0), std::sqrt(15.0), std::sqrt(96.0)};
        for (int k = 0; k < 5; k++) {
          close(&moments[k], &expected[k], 1, 1e-9 + 5 * spread[k] / std::sqrt(size), 0,
                format("moment %d", k));
        }
        CHECK(std::fabs(neighbours) < 5 / std::sqrt(size));
      });
}

TEST(random_uniform_of_the_words) {
  for (const int64_t n : {1, 3, 127, 1025, 50001}) {
    std::vector<double> expected;
    for (int64_t i = 0; i < n; i++) {
      expected.push_back(-2 + 5 * ((word(static_cast<uint64_t>(i), 3, 11) >> 8) * 0x1p-24));
    }
    const auto op = [&](cpu::Context& c, float* out) {
      cpu::random_uniform(c, out, n, -2, 3, 11, 3);
    };
    for_each_result(n, op, [&](const float* out) { close(out, expected, 5e-7, 0, "uniform"); });
  }
  // Bounds so near each other that rounding alone would reach the upper one.
  const float low = 1, high = std::nextafter(std::nextafter(1.0f, 2.0f), 2.0f);
  for_each_result(
      4096,
      [&](cpu::Context& c, float* out) { cpu::random_uniform(c, out, 4096, low, high, 1, 1); },
      [&](const float* out) { CHECK(*std::max_element(out, out + 4096) < high); });
}

TEST(random_streams_and_seeds_differ) {
  for_each_context([](cpu::Context& context) {
    Floats a(64), b(64), c(64);
    cpu::random_uniform(context, a, 64, 0, 1, 1, 1);
    cpu::random_uniform(context, b, 64, 0, 1, 1, 2);
    cpu::random_uniform(context, c, 64, 0, 1, 2, 1);
    for (int i = 0; i < 64; i++) CHECK(a[i] != b[i] && a[i] != c[i] && b[i] != c[i]);
  });
}

}  // namespace gptloom::test
