// Number formats of matrix elements, and the product of small tiles.
#pragma once
#include <cstdint>
#include <cstring>

namespace ptx {

inline float brain_up(uint16_t h) {
  const uint32_t u = uint32_t(h) << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
inline float tf32_up(uint32_t u) {  // the low 13 bits take no part
  u &= 0xffffe000u;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
inline float half_up(uint16_t h) {
  uint32_t u = uint32_t(h & 0x7fff) << 13;
  float f;
  memcpy(&f, &u, 4);
  f *= 0x1p112f;
  memcpy(&u, &f, 4);
  if ((h & 0x7c00) == 0x7c00) u = uint32_t(h & 0x7fff) << 13 | 0x7f800000u;
  u |= uint32_t(h & 0x8000) << 16;
  memcpy(&f, &u, 4);
  return f;
}
inline uint16_t half_down(float x) {  // to nearest even
  uint32_t u;
  memcpy(&u, &x, 4);
  const uint32_t sign = (u >> 16) & 0x8000, m = u & 0x7fffffffu;
  if (m > 0x7f800000u) return 0x7fff;
  if (m >= 0x47800000u) return uint16_t(sign | 0x7c00);
  if (m >= 0x38800000u) return uint16_t(sign | ((m + 0xc8000fffu + ((m >> 13) & 1)) >> 13));
  float f;
  memcpy(&f, &m, 4);
  f += 0.5f;
  memcpy(&u, &f, 4);
  return uint16_t(sign | (u - 0x3f000000u));
}

inline float e5m2_up(uint8_t b) { return half_up(uint16_t(b << 8)); }
inline float e4m3_up(uint8_t b) {  // a float16 of other bias; no infinity
  if ((b & 0x7f) == 0x7f) return __builtin_nanf("");
  return half_up(uint16_t((b & 0x80) << 8 | (b & 0x7f) << 7)) * 256.f;
}

// c += a b for row-major a [m][k], b [k][n], c [m][n]; n is 8, 16 or 32. Integers wrap, or clamp
// when told to.
void tile_product(const float* a, const float* b, float* c, int m, int n, int k, uint32_t);
void tile_product(const double* a, const double* b, double* c, int m, int n, int k, uint32_t);
void tile_product(const int32_t* a, const int32_t* b, int32_t* c, int m, int n, int k,
                  uint32_t saturates);

}  // namespace ptx
