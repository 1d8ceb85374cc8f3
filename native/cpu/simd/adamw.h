// Maths, Plan and Numbers stand in cpu/adamw.cc.
#pragma once
#include "cpu/simd/prefetch.h"

namespace gptloom::cpu {
namespace {

struct AdamwVectors {
  Vec gradient, beta1, one_minus_beta1, beta2, one_minus_beta2, rate, root_correction, epsilon,
      decay;
};

// Subtracting one small sum from the parameter rounds it once.
GPTLOOM_INLINE void adamw_vector(Vec& p, Vec g, Vec& m, Vec& v, const AdamwVectors& f) {
  g = g * f.gradient;
  m = fma(f.one_minus_beta1, g, f.beta1 * m);
  v = fma(f.one_minus_beta2 * g, g, f.beta2 * v);
  const Vec step = f.rate * m / fma(sqrt(v), f.root_correction, f.epsilon);
  p = p - fma(f.decay, p, step);
}

void adamw_update(float* param, const float* gradient, float* m, float* v, int64_t n,
                  const AdamwFactors& factors) {
  constexpr int w = Vec::width;
  const AdamwVectors f{Vec::set(factors.gradient),
                       Vec::set(factors.beta1),
                       Vec::set(factors.one_minus_beta1),
                       Vec::set(factors.beta2),
                       Vec::set(factors.one_minus_beta2),
                       Vec::set(factors.rate),
                       Vec::set(factors.root_correction),
                       Vec::set(factors.epsilon),
                       Vec::set(factors.decay)};
  int64_t i = 0;
  for (; i + w <= n; i += w) {
    // Weights of a small model lie in both cores' caches: only they are asked for to be written.
    GPTLOOM_PREFETCH_WRITE(param + i + prefetch_distance);
    prefetch_ahead(gradient + i);
    prefetch_ahead(m + i);
    prefetch_ahead(v + i);
    Vec p = Vec::load(param + i), first = Vec::load(m + i), second = Vec::load(v + i);
    adamw_vector(p, Vec::load(gradient + i), first, second, f);
    p.store(param + i);
    first.store(m + i);
    second.store(v + i);
  }
  const int rest = static_cast<int>(n - i);
  if (!rest) return;
  Vec p = Vec::load_part(param + i, rest), first = Vec::load_part(m + i, rest);
  Vec second = Vec::load_part(v + i, rest);
  adamw_vector(p, Vec::load_part(gradient + i, rest), first, second, f);
  p.store_part(param + i, rest);
  first.store_part(m + i, rest);
  second.store_part(v + i, rest);
}

constexpr AdamwKernels adamw_kernels{adamw_update};

}  // namespace
}  // namespace gptloom::cpu
