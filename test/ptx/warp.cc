// Shuffles, votes, matches, reductions over a warp. The scheduler has seen to it that the named
// lanes are here.
#include <algorithm>
#include <cmath>

#include "ops.h"
#include "shadow.h"

namespace ptx {

static void set_lanes(Warp& w, uint32_t slot, uint32_t mask, uint32_t value) {
  uint32_t* d = w.reg<uint32_t>(slot);
  *d = (*d & ~mask) | (value & mask);
}

// The manual's pseudo code: c holds a clamp in bits 0-4 and a segment mask in bits 8-12.
void shuffle(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t *a = w.reg<uint32_t>(i.a), *b = w.reg<uint32_t>(i.b), *c = w.reg<uint32_t>(i.c);
  uint32_t source[32], valid = 0;
  memcpy(source, a, sizeof source);
  uint32_t* d = w.reg<uint32_t>(i.d);
  for (uint32_t m = mask; m; m &= m - 1) {
    const int lane = first_lane(m);
    const int bval = int(b[lane] & 31), cval = int(c[lane] & 31),
              segment = int((c[lane] >> 8) & 31);
    const int top = (lane & segment) | (cval & ~segment), bottom = lane & segment;
    int j = 0;
    bool ok = false;
    switch (i.imm) {
      case shuffle_up:
        j = lane - bval;
        ok = j >= top;
        break;
      case shuffle_down:
        j = lane + bval;
        ok = j <= top;
        break;
      case shuffle_bfly:
        j = lane ^ bval;
        ok = j <= top;
        break;
      default:
        j = bottom | (bval & ~segment);
        ok = j <= top;
    }
    if (!ok) j = lane;
    if (!((mask >> j) & 1))
      fault(w, i, lane, FaultKind::absent_lane,
            "reads from lane " + std::to_string(j) + ", which takes no part (here: lanes " +
                lanes_text(mask) + ")");
    d[lane] = source[j];
    valid |= uint32_t(ok) << lane;
  }
  const uint32_t p = w.program->extra[i.x];
  if (p != no_slot) set_lanes(w, p, mask, valid);
}

void vote(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t yes = (*w.reg<uint32_t>(i.a) ^ (i.imm & 16 ? ~0u : 0u)) & mask;
  if ((i.imm & 15) == vote_ballot) {
    uint32_t* d = w.reg<uint32_t>(i.d);
    for (uint32_t m = mask; m; m &= m - 1) d[first_lane(m)] = yes;
    return;
  }
  const bool r = (i.imm & 15) == vote_all   ? yes == mask
                 : (i.imm & 15) == vote_any ? yes != 0
                                            : yes == 0 || yes == mask;
  set_lanes(w, i.d, mask, r ? ~0u : 0u);
}

void match(Warp& w, const Inst& i, uint32_t mask) {
  uint64_t value[32];
  for (int l = 0; l < 32; ++l)
    value[l] = (i.imm & 15) == 8 ? w.reg<uint64_t>(i.a)[l] : w.reg<uint32_t>(i.a)[l];
  uint32_t* d = w.reg<uint32_t>(i.d);
  bool all = true;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    uint32_t same = 0;
    for (uint32_t n = mask; n; n &= n - 1)
      same |= uint32_t(value[first_lane(n)] == value[l]) << first_lane(n);
    all &= same == mask;
    d[l] = same;
  }
  if (!(i.imm & 16)) return;
  for (uint32_t m = mask; m; m &= m - 1) d[first_lane(m)] = all ? mask : 0;
  const uint32_t p = w.program->extra[i.x];
  if (p != no_slot) set_lanes(w, p, mask, all ? ~0u : 0u);
}

void active_mask(Warp& w, const Inst& i, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) w.reg<uint32_t>(i.d)[first_lane(m)] = mask;
}

static float pick(float a, float b, bool least, bool nan) {
  if (a != a || b != b) return nan || (a != a && b != b) ? NAN : a != a ? b : a;
  if (a == b) return std::signbit(a) == least ? a : b;
  return (a < b) == least ? a : b;
}

void reduce(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t* a = w.reg<uint32_t>(i.a);
  const uint32_t op = i.imm & 255;
  uint32_t r = a[first_lane(mask)];
  float f = 0;
  if (i.imm & 512) {
    const uint32_t sign = i.imm & 1024 ? 0x7fffffffu : ~0u;
    uint32_t bits = r & sign;
    memcpy(&f, &bits, 4);
    for (uint32_t m = mask & (mask - 1); m; m &= m - 1) {
      float g;
      bits = a[first_lane(m)] & sign;
      memcpy(&g, &bits, 4);
      f = pick(f, g, op == op_min, i.imm & 2048);
    }
    if (f != f)
      r = 0x7fffffff;
    else
      memcpy(&r, &f, 4);
  } else {
    for (uint32_t m = mask & (mask - 1); m; m &= m - 1) {
      const uint32_t b = a[first_lane(m)];
      const bool less = i.imm & 256 ? int32_t(b) < int32_t(r) : b < r;
      switch (op) {
        case op_add:
          r += b;
          break;
        case op_and:
          r &= b;
          break;
        case op_or:
          r |= b;
          break;
        case op_xor:
          r ^= b;
          break;
        case op_min:
          r = less ? b : r;
          break;
        default:
          r = less ? r : b;
      }
    }
  }
  for (uint32_t m = mask; m; m &= m - 1) w.reg<uint32_t>(i.d)[first_lane(m)] = r;
}

void elect(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t leader = uint32_t(first_lane(mask));
  for (uint32_t m = mask; m; m &= m - 1) w.reg<uint32_t>(i.d)[first_lane(m)] = leader;
  const uint32_t p = w.program->extra[i.x];
  if (p != no_slot) set_lanes(w, p, mask, 1u << leader);
}

void warp_barrier(Warp& w, const Inst&, uint32_t mask) { lanes_synchronised(w, mask); }

}  // namespace ptx
