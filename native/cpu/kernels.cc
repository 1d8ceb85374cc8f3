// Chooses the kernels for the processor that this process runs on.
#include "cpu/kernels.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "error.h"

#if defined(_M_X64) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace gptloom::cpu {

extern const Kernels portable_kernels;
#if defined(__x86_64__) || defined(_M_X64)
extern const Kernels avx2_kernels, avx512_kernels;
#elif defined(__aarch64__) || defined(_M_ARM64)
extern const Kernels neon_kernels;
#endif

namespace {

// Both ask the system too, since it must save the wide registers: the compiler's built-in does so
// by itself.
#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#elif defined(_M_X64)
bool all_set(unsigned value, unsigned bits) { return (value & bits) == bits; }
bool has(unsigned ebx_bits, unsigned xcr0_bits) {
  int leaf[4];
  __cpuid(leaf, 0);
  if (leaf[0] < 7) return false;
  __cpuid(leaf, 1);
  constexpr unsigned fma_osxsave_avx = 1u << 12 | 1u << 27 | 1u << 28;
  if (!all_set(leaf[2], fma_osxsave_avx)) return false;
  if (!all_set(static_cast<unsigned>(_xgetbv(0)), xcr0_bits)) return false;
  __cpuidex(leaf, 7, 0);
  return all_set(leaf[1], ebx_bits);
}
bool has_avx2() { return has(1u << 5, 0x06); }
bool has_avx512() { return has(1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, 0xe6); }
#endif

const Kernels& choose() {
  const Kernels* tables[4];
  const int count = runnable_kernels(tables);
  const char* wanted = std::getenv("GPTLOOM_ISA");
  if (wanted == nullptr || *wanted == 0) return *tables[0];
  std::string names;
  for (int i = 0; i < count; i++) {
    if (std::strcmp(tables[i]->isa, wanted) == 0) return *tables[i];
    names += std::string(i == 0 ? "" : ", ") + tables[i]->isa;
  }
  throw Error("ERR_DEVICE", "Expected one of " + names +
                                " for GPTLOOM_ISA on this processor, received '" + wanted + "'");
}

}  // namespace

int runnable_kernels(const Kernels* out[4]) {
  int count = 0;
#if defined(__x86_64__) || defined(_M_X64)
  if (has_avx512()) out[count++] = &avx512_kernels;
  if (has_avx2()) out[count++] = &avx2_kernels;
#elif defined(__aarch64__) || defined(_M_ARM64)
  out[count++] = &neon_kernels;
#endif
  out[count++] = &portable_kernels;
  return count;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace gptloom::cpu
