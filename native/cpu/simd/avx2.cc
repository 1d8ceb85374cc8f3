// The kernels for x86-64 with AVX2 and FMA.
#include "cpu/simd/target.h"

#ifdef GPTLOOM_X86
GPTLOOM_TARGET_BEGIN("avx2,fma,prfchw")
#include "cpu/simd/vec_avx2.h"
#include "cpu/simd/wide_avx2.h"

#include "cpu/simd/table.h"
GPTLOOM_TARGET_END

namespace gptloom::cpu {
extern const Kernels avx2_kernels = table("avx2");
}
#endif
