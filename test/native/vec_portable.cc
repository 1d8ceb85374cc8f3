#include "cpu/simd/target.h"

#include "cpu/simd/vec_portable.h"

#include "vec_table.h"

namespace gptloom::test {
extern const VecTable vec_portable = cpu::vec_table("portable");
}
