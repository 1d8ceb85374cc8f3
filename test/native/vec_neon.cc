#include "cpu/simd/target.h"

#ifdef GPTLOOM_ARM
#include "cpu/simd/vec_neon.h"

#include "vec_table.h"

namespace gptloom::test {
extern const VecTable vec_neon = cpu::vec_table("neon");
}
#endif
