// What a kernel from outside is given; see gptloom.h.
#pragma once
#include <vector>

#include "array.h"
#include "error.h"
#include "gptloom.h"

namespace gptloom {

inline std::vector<gptloom_array> foreign_arrays(const std::vector<Array>& arrays) {
  std::vector<gptloom_array> out;
  for (const Array& array : arrays) {
    gptloom_array one{array.data, static_cast<int32_t>(array.dtype), array.shape.rank, {}};
    for (int i = 0; i < array.shape.rank; i++) one.sizes[i] = array.shape.sizes[i];
    out.push_back(one);
  }
  return out;
}

// Calls the function that a kernel has for this device. Throws what it says is wrong.
inline void call_foreign(const gptloom_kernel& kernel, gptloom_function function,
                         const gptloom_call& call, const char* device) {
  if (!function)
    throw Error("ERR_DEVICE", std::string(kernel.name) + " has no kernel for " + device);
  if (const char* wrong = function(&call))
    throw Error("ERR_DEVICE", std::string(kernel.name) + ": " + wrong);
}

}  // namespace gptloom
