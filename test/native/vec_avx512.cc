#include "cpu/simd/target.h"

#ifdef GPTLOOM_X86
GPTLOOM_TARGET_BEGIN("avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")
#include "cpu/simd/vec_avx512.h"

#include "vec_table.h"
GPTLOOM_TARGET_END

namespace gptloom::test {
extern const VecTable vec_avx512 = cpu::vec_table("avx512");
}
#endif
