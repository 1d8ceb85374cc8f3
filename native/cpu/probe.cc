#include "cpu/probe.h"

#include <algorithm>
#include <chrono>

#include "cpu/context.h"

namespace gptloom::cpu {

namespace {

constexpr int64_t kPiece = 64 << 10;    // floats handed to a thread at once
constexpr int64_t kRounds = 100 << 10;  // of multiply-adds handed to a thread at once: some 0.3 ms

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class F>
double fastest(int passes, F&& pass) {
  double best = 0;
  for (int i = 0; i < passes; i++) {
    const auto start = std::chrono::steady_clock::now();
    pass();
    const double seconds = seconds_since(start);
    best = i == 0 ? seconds : std::min(best, seconds);
  }
  return best;
}

double flops(Context& context, int64_t pieces, int passes) {
  const ProbeKernels& kernels = context.kernels.probe;
  const auto pass = [&] {
    context.pool.run(pieces, [&](int64_t, int) {
      float state[2] = {0.5f, 1};
      kernels.multiply_add(state, kRounds);
    });
  };
  pass();  // threads wake, clocks rise
  return static_cast<double>(pieces * kRounds * kernels.flops) / fastest(passes, pass);
}

double bandwidth(Context& context, Probe kind, int64_t bytes, int passes) {
  const ProbeKernels& kernels = context.kernels.probe;
  const bool copies = kind != Probe::read;
  const int64_t n = std::max<int64_t>(bytes / 4 / kPiece, 1) * kPiece;
  Scratch<float> from(context, n), to(context, copies ? n : 0);
  const auto each = [&](auto&& f) {
    context.pool.run_ranges(n, kPiece,
                            [&](int64_t begin, int64_t end, int) { f(begin, end - begin); });
  };
  // Pages are taken by writing them.
  each([&](int64_t at, int64_t count) {
    std::fill_n(from + at, count, 1.0f);
    if (copies) std::fill_n(to + at, count, 1.0f);
  });
  const double seconds = fastest(passes, [&] {
    each([&](int64_t at, int64_t count) {
      if (copies)
        (kind == Probe::copy ? kernels.copy : kernels.stream)(to + at, from + at, count);
      else
        kernels.read(from + at, count);
    });
  });
  return static_cast<double>(n) * sizeof(float) * (copies ? 2 : 1) / seconds;
}

}  // namespace

double probe(Context& context, Probe kind, int64_t size, int passes) {
  return kind == Probe::fma ? flops(context, size, passes)
                            : bandwidth(context, kind, size, passes);
}

}  // namespace gptloom::cpu
