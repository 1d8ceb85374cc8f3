#include "cpu/simd/target.h"

#ifdef GPTLOOM_X86
GPTLOOM_TARGET_BEGIN("avx2,fma")
#include "cpu/simd/vec_avx2.h"

#include "vec_table.h"
GPTLOOM_TARGET_END

namespace gptloom::test {
extern const VecTable vec_avx2 = cpu::vec_table("avx2");
}
#endif
