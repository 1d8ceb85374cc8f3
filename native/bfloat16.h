// bfloat16 on the host: the upper half of a float32.
#pragma once
#include <cstdint>
#include <cstring>

#include "array.h"

namespace gptloom {

// Rounds to nearest, ties to even; a NaN stays one.
inline uint16_t to_bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const uint32_t quiet = bits >> 16 | 0x40;
  return static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

inline float from_bfloat16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}

inline void narrow(uint16_t* out, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = to_bfloat16(x[i]);
}

inline void widen(float* out, const uint16_t* x, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = from_bfloat16(x[i]);
}

// From what travels, where bfloat16 is float32, to the bytes of a tensor like x; and back.
inline void import_values(void* out, const Array& x, const void* source) {
  if (x.dtype == Dtype::bfloat16)
    narrow(static_cast<uint16_t*>(out), static_cast<const float*>(source), x.count());
  else
    std::memcpy(out, source, x.bytes());
}
inline void export_values(void* target, const Array& x, const void* bytes) {
  if (x.dtype == Dtype::bfloat16)
    widen(static_cast<float*>(target), static_cast<const uint16_t*>(bytes), x.count());
  else
    std::memcpy(target, bytes, x.bytes());
}

}  // namespace gptloom
