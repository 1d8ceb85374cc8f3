// The kernels for x86-64 with AVX-512 F, VL, DQ and BW.
#include "cpu/simd/target.h"

#ifdef GPTLOOM_X86
GPTLOOM_TARGET_BEGIN("avx2,fma,prfchw,avx512f,avx512vl,avx512dq,avx512bw")
#include "cpu/simd/vec_avx512.h"
#include "cpu/simd/wide_avx512.h"

#include "cpu/simd/table.h"
GPTLOOM_TARGET_END

namespace gptloom::cpu {
extern const Kernels avx512_kernels = table("avx512");
}
#endif
