// The kernels for 64-bit ARM, where NEON is part of the base.
#include "cpu/simd/target.h"

#ifdef GPTLOOM_ARM
#include "cpu/simd/vec_neon.h"
#include "cpu/simd/wide_neon.h"

#include "cpu/simd/table.h"

namespace gptloom::cpu {
extern const Kernels neon_kernels = table("neon");
}
#endif
