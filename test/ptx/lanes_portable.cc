// The instruction forms for any processor, and the choice between the copies.
#include <cfenv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "forms.h"
#include "lanes.h"
#include "lanes_integer.h"
#include "lanes_float.h"
#include "lanes_half.h"
#include "lanes_compare.h"
#include "lanes_convert.h"
#include "lanes_pack.h"
#include "lanes_video.h"

namespace ptx {

void add_portable_forms(Forms& out) {
  put_integer(out);
  put_float(out);
  put_half(out);
  put_comparisons(out);
  put_conversions(out);
  put_video(out);
}

const Forms& forms() {
  static const Forms table = [] {
    Forms out;
#if defined(__x86_64__)
    // PTX_PORTABLE lets the tests run the code that other processors would.
    if (!std::getenv("PTX_PORTABLE") && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma")) {
      add_avx2_forms(out);
      return out;
    }
#endif
    add_portable_forms(out);
    return out;
  }();
  return table;
}

}  // namespace ptx
