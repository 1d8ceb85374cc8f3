// The instruction forms compiled for AVX2 and FMA. Standard headers come before the target is
// raised, so that their inline functions stay portable.
#include <cfenv>
#include <cmath>
#include <limits>
#include <type_traits>

#include "forms.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt")
#endif
#include "lanes.h"
#include "lanes_integer.h"
#include "lanes_float.h"
#include "lanes_half.h"
#include "lanes_compare.h"
#include "lanes_convert.h"
#include "lanes_pack.h"
#include "lanes_video.h"

namespace ptx {
void add_avx2_forms(Forms& out) {
  put_integer(out);
  put_float(out);
  put_half(out);
  put_comparisons(out);
  put_conversions(out);
  put_video(out);
}
}  // namespace ptx
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
