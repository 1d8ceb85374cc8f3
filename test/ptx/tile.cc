#include "tile.h"

#if defined(__AVX2__) && defined(__FMA__)
#define PTX_WIDE 1
#include <immintrin.h>
#endif

namespace ptx {

#if PTX_WIDE
// Eight columns at a time, four rows to hide the latency. Fused: the products are exact, so the
// sums are the same.
void tile_product(const float* a, const float* b, float* c, int m, int n, int k, uint32_t) {
  for (int j = 0; j < n; j += 8) {
    for (int i = 0; i < m; i += 4) {
      __m256 r0 = _mm256_loadu_ps(c + i * n + j), r1 = _mm256_loadu_ps(c + (i + 1) * n + j),
             r2 = _mm256_loadu_ps(c + (i + 2) * n + j), r3 = _mm256_loadu_ps(c + (i + 3) * n + j);
      for (int x = 0; x < k; ++x) {
        const __m256 v = _mm256_loadu_ps(b + x * n + j);
        r0 = _mm256_fmadd_ps(_mm256_broadcast_ss(a + i * k + x), v, r0);
        r1 = _mm256_fmadd_ps(_mm256_broadcast_ss(a + (i + 1) * k + x), v, r1);
        r2 = _mm256_fmadd_ps(_mm256_broadcast_ss(a + (i + 2) * k + x), v, r2);
        r3 = _mm256_fmadd_ps(_mm256_broadcast_ss(a + (i + 3) * k + x), v, r3);
      }
      _mm256_storeu_ps(c + i * n + j, r0);
      _mm256_storeu_ps(c + (i + 1) * n + j, r1);
      _mm256_storeu_ps(c + (i + 2) * n + j, r2);
      _mm256_storeu_ps(c + (i + 3) * n + j, r3);
    }
  }
}
#else
// Multiplication and addition are separate:
// a product of halves is exact in float32, so that fusing would change nothing for them; for tf32
// it is exact too (22 bits).
template <class T, int N>
static void product(const T* a, const T* b, T* c, int m, int k) {
  for (int i = 0; i < m; ++i) {
    T row[N];
    for (int j = 0; j < N; ++j) row[j] = c[i * N + j];
    for (int x = 0; x < k; ++x) {
      const T v = a[i * k + x];
      for (int j = 0; j < N; ++j) row[j] += v * b[x * N + j];
    }
    for (int j = 0; j < N; ++j) c[i * N + j] = row[j];
  }
}
void tile_product(const float* a, const float* b, float* c, int m, int n, int k, uint32_t) {
  if (n == 8)
    product<float, 8>(a, b, c, m, k);
  else if (n == 16)
    product<float, 16>(a, b, c, m, k);
  else
    product<float, 32>(a, b, c, m, k);
}
#endif

void tile_product(const double* a, const double* b, double* c, int m, int n, int k, uint32_t) {
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j)
      for (int x = 0; x < k; ++x)
        c[i * n + j] = __builtin_fma(a[i * k + x], b[x * n + j], c[i * n + j]);
}

void tile_product(const int32_t* a, const int32_t* b, int32_t* c, int m, int n, int k,
                  uint32_t saturates) {
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      int64_t sum = c[i * n + j];
      for (int x = 0; x < k; ++x) sum += int64_t(a[i * k + x]) * b[x * n + j];
      if (saturates) sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
      c[i * n + j] = int32_t(uint32_t(sum));
    }
  }
}

}  // namespace ptx
