// The table of instruction forms. The build chooses the vector instructions that their loops become.
#include <cfenv>
#include <cmath>
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

const Forms& forms() {
  static const Forms* const table = [] {
    auto* out = new Forms;  // never destroyed, as type_of's table
    put_integer(*out);
    put_float(*out);
    put_half(*out);
    put_comparisons(*out);
    put_conversions(*out);
    put_video(*out);
    return out;
  }();
  return *table;
}

}  // namespace ptx
