// Wide for 64-bit ARM: 2 lanes of 64 bits. The interface is described in wide_portable.h.
#pragma once

namespace gptloom::cpu {
namespace {

struct Wide {
  static constexpr int width = 2;
  uint64x2_t v;
  static GPTLOOM_INLINE Wide from(uint64_t first) {
    return {vcombine_u64(vcreate_u64(first), vcreate_u64(first + 1))};
  }
  static GPTLOOM_INLINE Wide set(uint64_t x) { return {vdupq_n_u64(x)}; }
};

GPTLOOM_INLINE Wide multiply(Wide a, Wide factor) {
  return {vmull_u32(vmovn_u64(a.v), vmovn_u64(factor.v))};
}
GPTLOOM_INLINE Wide upper(Wide a) { return {vshrq_n_u64(a.v, 32)}; }
GPTLOOM_INLINE Wide mix(Wide a, Wide b, Wide c) { return {veorq_u64(veorq_u64(a.v, b.v), c.v)}; }
GPTLOOM_INLINE void store(uint32_t* out, Wide w0, Wide w1, Wide w2, Wide w3) {
  const uint64x2_t a = vsliq_n_u64(w0.v, w1.v, 32), b = vsliq_n_u64(w2.v, w3.v, 32);
  vst1q_u32(out, vreinterpretq_u32_u64(vzip1q_u64(a, b)));
  vst1q_u32(out + 4, vreinterpretq_u32_u64(vzip2q_u64(a, b)));
}

}  // namespace
}  // namespace gptloom::cpu
