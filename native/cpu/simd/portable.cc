// The kernels for any processor.
#include "cpu/simd/target.h"

#include "cpu/simd/vec_portable.h"
#include "cpu/simd/wide_portable.h"

#include "cpu/simd/table.h"

namespace gptloom::cpu {
extern const Kernels portable_kernels = table("portable");
}
