// Choosing kernels: by type, by alignment, and how many blocks.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "array.h"
#include "cuda/context.h"

namespace gptloom::cuda {

inline bool is_bf16(const Array& x) { return x.dtype == Dtype::bfloat16; }
inline const char* by_type(const Array& x, const char* f32, const char* bf16) {
  return is_bf16(x) ? bf16 : f32;
}

// Elements in 16 bytes, which vector paths move at a time.
inline int64_t packet(const Array& x) { return 16 / static_cast<int64_t>(dtype_size(x.dtype)); }

// Is every one of these addresses a multiple of 16 bytes? Null is.
template <class... P>
bool aligned(const P*... p) {
  return ((... | reinterpret_cast<uintptr_t>(p)) & 15) == 0;
}

inline int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }
inline Grid blocks(int64_t count) { return {static_cast<unsigned>(count)}; }

// Sums over rows go by slices, first within each and then over all of them. How many rows a slice
// has, a multiple of 8, depends on their number alone, so that all devices have the same bits.
inline int32_t slice_rows(int64_t rows) {
  return static_cast<int32_t>(std::clamp<int64_t>(rows / 128 / 8 * 8, 8, 128));
}

// out[columns] (+)= the sum over slices of partials[slice * stride + column].
void add_slices(Context&, float* out, const float* partials, int64_t slices, int64_t columns,
                int64_t stride, bool accumulate);

}  // namespace gptloom::cuda
