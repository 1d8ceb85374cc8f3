// Questions about addresses, fences and clocks: what touches no memory itself.
#include <chrono>

#include "ops.h"
#include "shadow.h"

namespace ptx {

void is_space(Warp& w, const Inst& i, uint32_t mask) {
  const uint64_t* a = w.reg<uint64_t>(i.a);
  uint32_t r = 0;
  for (int l = 0; l < 32; ++l) {
    const uint64_t tag = a[l] & window_mask;
    bool yes = false;
    switch (Space(i.imm & 15)) {
      case Space::global:
        yes = !tag;
        break;
      case Space::shared:
        yes = tag == shared_window && (i.imm & 16 || !((a[l] & ~window_mask) >> cluster_shift) ||
                                       (a[l] & ~window_mask) >> cluster_shift == w.block->rank + 1);
        break;
      case Space::local:
        yes = tag == local_window;
        break;
      case Space::param:
        yes = tag == param_window;
        break;
      default: {
        const Allocation* found = tag ? nullptr : find_allocation(*w.block->launch, a[l]);
        yes = found && found->kind == MemoryKind::constant;
      }
    }
    r |= uint32_t(yes) << l;
  }
  uint32_t* d = w.reg<uint32_t>(i.d);
  *d = (*d & ~mask) | (r & mask);
}

void map_shared_rank(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t* rank = w.reg<uint32_t>(i.b);
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = first_lane(m);
    uint64_t a = i.imm & 2 ? w.reg<uint64_t>(i.a)[l] : w.reg<uint32_t>(i.a)[l];
    uint64_t r = (a & window_mask) | (a & ((1u << cluster_shift) - 1)) |
                 uint64_t(rank[l] + 1) << cluster_shift;
    if (rank[l] >= w.block->cluster->blocks.size())
      fault(w, i, l, FaultKind::illegal_instruction,
            "the cluster has no block of rank " + std::to_string(rank[l]));
    if (i.imm & 2)
      w.reg<uint64_t>(i.d)[l] = r;
    else
      w.reg<uint32_t>(i.d)[l] = uint32_t(r);
  }
}

void shared_rank(Warp& w, const Inst& i, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = first_lane(m);
    uint64_t a = i.imm & 2 ? w.reg<uint64_t>(i.a)[l] : w.reg<uint32_t>(i.a)[l];
    uint32_t rank = uint32_t((a & ~window_mask) >> cluster_shift);
    w.reg<uint32_t>(i.d)[l] = rank ? rank - 1 : w.block->rank;
  }
}

// Lanes of a warp that fence on either side of a flag, as the holders of a lock do, are ordered.
void fence(Warp& w, const Inst& i, uint32_t mask) {
  lanes_synchronised(w, mask);
  if (!i.imm) return;
  global_release(w);
  global_acquire(w);
}

void nothing(Warp&, const Inst&, uint32_t) {}

void read_clock(Warp& w, const Inst& i, uint32_t mask) {
  // Cycles are counted as instructions run by the warp's worker; time is the host's.
  uint64_t value = 0;
  for (uint64_t n : w.worker->tally.warps) value += n;
  if (i.imm >= timer_special) {
    value = uint64_t(std::chrono::duration_cast<std::chrono::nanoseconds>(
                         std::chrono::steady_clock::now().time_since_epoch())
                         .count());
  }
  const bool wide = i.imm == clock64_special || i.imm == timer_special;
  const bool high = i.imm == clock_hi_special || i.imm == timer_hi_special;
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = first_lane(m);
    if (wide)
      w.reg<uint64_t>(i.d)[l] = value;
    else
      w.reg<uint32_t>(i.d)[l] = uint32_t(high ? value >> 32 : value);
  }
}

}  // namespace ptx
