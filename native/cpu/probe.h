// What this processor does at most, for the bench: see simd/probe.h.
#pragma once
#include "cpu/context.h"

namespace gptloom::cpu {

enum class Probe : int { fma, read, copy, stream };

// FLOPs a second, or bytes a second read and written: the fastest of `passes`. size is the bytes of
// memory that are read or copied; of fma, pieces of some 0.3 ms each.
double probe(Context& context, Probe kind, int64_t size, int passes);

}  // namespace gptloom::cpu
