// Chooses the kernels for the processor that this process runs on.
#include "cpu/kernels.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "error.h"

#if defined(_M_X64) && !defined(__clang__)
#include <immintrin.h>
#include <intrin.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif

namespace gptloom::cpu {

extern const Kernels portable_kernels;
#if defined(__x86_64__) || defined(_M_X64)
extern const Kernels avx2_kernels, avx512_kernels;
#elif defined(__aarch64__) || defined(_M_ARM64)
extern const Kernels neon_kernels;
#endif

namespace {

#if defined(__x86_64__) || defined(_M_X64)
struct Leaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// The compilers' own questions (__builtin_cpu_supports) want a runtime library that not all have.
#if defined(__x86_64__)
Leaf cpuid(unsigned leaf) {
  Leaf out;
  __cpuid_count(leaf, 0, out.eax, out.ebx, out.ecx, out.edx);
  return out;
}
unsigned xcr0() {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}
#else
Leaf cpuid(unsigned leaf) {
  int out[4];
  __cpuidex(out, static_cast<int>(leaf), 0);
  return {static_cast<unsigned>(out[0]), static_cast<unsigned>(out[1]),
          static_cast<unsigned>(out[2]), static_cast<unsigned>(out[3])};
}
unsigned xcr0() { return static_cast<unsigned>(_xgetbv(0)); }
#endif

bool all_set(unsigned value, unsigned bits) { return (value & bits) == bits; }

// The system is asked too, since it must save the wide registers: what it saves stands in XCR0.
bool has(unsigned leaf7_ebx, unsigned saved) {
  if (cpuid(0).eax < 7) return false;
  constexpr unsigned fma_osxsave_avx = 1u << 12 | 1u << 27 | 1u << 28;
  if (!all_set(cpuid(1).ecx, fma_osxsave_avx)) return false;
  return all_set(xcr0(), saved) && all_set(cpuid(7).ebx, leaf7_ebx);
}
bool has_avx2() { return has(1u << 5, 0x06); }
bool has_avx512() {  // F, DQ, BW and VL
  return has(1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, 0xe6);
}
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
