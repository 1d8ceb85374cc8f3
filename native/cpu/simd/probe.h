// What a processor does at most, for the bench: multiply-adds on registers alone, and memory read,
// copied, and copied past the caches.
#pragma once

namespace gptloom::cpu {
namespace {
namespace probe_detail {

// As many chains as registers hold beside the two factors: more than latency times units.
constexpr int chains = Vec::registers == 32 ? 24 : 12;

// x and y come from memory, so that no compiler knows where the chains end.
void multiply_add(float* state, int64_t rounds) {
  const Vec x = Vec::set(state[0]), y = Vec::set(state[1]);
  Vec acc[chains];
  GPTLOOM_UNROLL
  for (int i = 0; i < chains; i++) acc[i] = Vec::set(static_cast<float>(i));
  for (int64_t r = 0; r < rounds; r++) {
    GPTLOOM_UNROLL
    for (int i = 0; i < chains; i++) acc[i] = fma(acc[i], x, y);
  }
  Vec sum = acc[0];
  GPTLOOM_UNROLL
  for (int i = 1; i < chains; i++) sum = sum + acc[i];
  state[0] = reduce_add(sum);
}

// n is a multiple of 8 vectors, here and below.
float read(const float* x, int64_t n) {
  Vec sum[8];
  GPTLOOM_UNROLL
  for (int i = 0; i < 8; i++) sum[i] = Vec::zero();
  for (int64_t k = 0; k < n; k += 8 * Vec::width) {
    GPTLOOM_UNROLL
    for (int i = 0; i < 8; i++) sum[i] = sum[i] + Vec::load(x + k + i * Vec::width);
  }
  Vec all = sum[0];
  GPTLOOM_UNROLL
  for (int i = 1; i < 8; i++) all = all + sum[i];
  return reduce_add(all);
}

void copy(float* to, const float* from, int64_t n) {
  for (int64_t k = 0; k < n; k += 8 * Vec::width) {
    Vec x[8];
    GPTLOOM_UNROLL
    for (int i = 0; i < 8; i++) x[i] = Vec::load(from + k + i * Vec::width);
    GPTLOOM_UNROLL
    for (int i = 0; i < 8; i++) x[i].store(to + k + i * Vec::width);
  }
}

void stream(float* to, const float* from, int64_t n) {
  for (int64_t k = 0; k < n; k += Vec::width) Vec::load(from + k).stream(to + k);
#if defined(GPTLOOM_X86)
  _mm_sfence();
#endif
}

}  // namespace probe_detail

constexpr ProbeKernels probe_kernels{2 * probe_detail::chains * Vec::width,
                                     probe_detail::multiply_add, probe_detail::read,
                                     probe_detail::copy, probe_detail::stream};

}  // namespace
}  // namespace gptloom::cpu
