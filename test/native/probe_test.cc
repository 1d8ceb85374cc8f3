// The bench's probes compute what they claim to, and give rates.
#include "cpu/probe.h"

#include <algorithm>

#include "test.h"

namespace gptloom::test {

TEST(probe_kernels) {
  for_each_context([](cpu::Context& context) {
    const cpu::ProbeKernels& kernels = context.kernels.probe;
    // Every chain tends to y / (1 - x) = 2, half the way each round.
    const float expected = 2 * static_cast<float>(kernels.flops / 2);
    float state[2] = {0.5f, 1};
    kernels.multiply_add(state, 60);
    close(state, &expected, 1, 0, 1e-6, "the chains' sum");
    alignas(64) float from[256], to[256];
    for (int i = 0; i < 256; i++) from[i] = static_cast<float>(i);
    CHECK(kernels.read(from, 256) == 255 * 128);
    for (const auto copy : {kernels.copy, kernels.stream}) {
      std::fill_n(to, 256, -1.0f);
      copy(to, from, 128);
      same_bits(to, from, 128, "a copy");
      CHECK(to[128] == -1);
    }
  });
}

TEST(probe_rates) {
  for_each_context([](cpu::Context& context) {
    for (const auto kind :
         {cpu::Probe::fma, cpu::Probe::read, cpu::Probe::copy, cpu::Probe::stream}) {
      const double rate = cpu::probe(context, kind, kind == cpu::Probe::fma ? 1 : 1 << 20, 2);
      CHECK(std::isfinite(rate) && rate > 1e6);
    }
  });
}

}  // namespace gptloom::test
