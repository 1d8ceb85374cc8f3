// Wide for any processor: one 64-bit lane that holds a 32-bit number in its lower half, for Philox.
//
// The interface, the same for every instruction set:
//   width                      lanes
//   Wide::from(first)          consecutive 64-bit numbers from `first` on, in the order that store
//   wants Wide::set(x)               x in every lane multiply(a, factor)        the 64-bit product
//   of a's lower half upper(a)                   a's upper half as the lower one; the upper one may
//   then hold anything mix(a, b, c)               a ^ b ^ c store(out, w0, w1, w2, w3) the lower
//   halves: four words of the first number, four of the second ...
#pragma once

namespace gptloom::cpu {
namespace {

struct Wide {
  static constexpr int width = 1;
  uint64_t v;
  static GPTLOOM_INLINE Wide from(uint64_t first) { return {first}; }
  static GPTLOOM_INLINE Wide set(uint64_t x) { return {x}; }
};

GPTLOOM_INLINE Wide multiply(Wide a, Wide factor) {
  return {static_cast<uint64_t>(static_cast<uint32_t>(a.v)) * factor.v};
}
GPTLOOM_INLINE Wide upper(Wide a) { return {a.v >> 32}; }
GPTLOOM_INLINE Wide mix(Wide a, Wide b, Wide c) { return {a.v ^ b.v ^ c.v}; }
GPTLOOM_INLINE void store(uint32_t* out, Wide w0, Wide w1, Wide w2, Wide w3) {
  out[0] = static_cast<uint32_t>(w0.v);
  out[1] = static_cast<uint32_t>(w1.v);
  out[2] = static_cast<uint32_t>(w2.v);
  out[3] = static_cast<uint32_t>(w3.v);
}

}  // namespace
}  // namespace gptloom::cpu
