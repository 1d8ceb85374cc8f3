// What a kernel finds wrong in its data and the host tells at the next await. Shared by both sides.
#pragma once
#include <cstdint>

namespace gptloom::cuda {

enum FailureCode : uint32_t {
  kTokenOutside,     // a token id outside [0, limit)
  kPositionOutside,  // a position outside [0, limit)
  kTargetOutside,    // a target that is not below limit
  kFailureCodes
};

// One for each call of an op; all bits set while nothing is wrong.
struct Failure {
  uint64_t first;  // row << 34 | code << 32 | value: the least is the first row's
  uint64_t limit[kFailureCodes];
};

#if defined(__CUDACC__)

// Any thread may call it, any number of times, with whatever failure pointer the launch was given.
// The lowest row wins, so that what is told does not depend on timing. The kernel goes on, and must
// do so harmlessly: the row counts as zeros.
// row: counted over the whole op (b T + t), below 2^30.
__device__ inline void report(Failure* failure, FailureCode code, int64_t row, int64_t value,
                              int64_t limit) {
  const unsigned long long key = static_cast<unsigned long long>(row) << 34 |
                                 static_cast<unsigned long long>(code) << 32 |
                                 static_cast<uint32_t>(value);
  atomicExch(reinterpret_cast<unsigned long long*>(&failure->limit[code]),
             static_cast<unsigned long long>(limit));
  atomicMin(reinterpret_cast<unsigned long long*>(&failure->first), key);
}

#endif

}  // namespace gptloom::cuda
