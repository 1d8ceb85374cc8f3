// mbarrier objects. Their state is kept beside shared memory, by address; the 8 bytes themselves
// stay untouched. A state token is the phase in which it was taken, above 20 bits of the pending
// count.
#include <algorithm>

#include "ops.h"
#include "shadow.h"

namespace ptx {

namespace {

void advance(MBarrier& barrier) {
  if (barrier.pending || barrier.transactions) return;
  ++barrier.phase;
  barrier.pending = barrier.expected;
}

struct Target {
  Block* block;
  uint32_t at;
};

Target target_of(Warp& w, const Inst& i, int l) {
  uint64_t addr[32];
  const Access& access = w.program->accesses[size_t(i.access)];
  addresses_of(w, access, 1u << l, addr);
  if (resolve_space(w, i, access.space, addr, 1u << l) != Space::shared)
    fault(w, i, l, FaultKind::invalid_address_space, "an mbarrier lies in shared memory", addr[l]);
  Block& block = shared_place(w, i, addr, 1u << l, 8).block;
  return {&block, uint32_t(addr[l])};
}

MBarrier& barrier_of(Warp& w, const Inst& i, int l, const Target& target) {
  auto found = target.block->mbarriers.find(target.at);
  if (found == target.block->mbarriers.end())
    fault(w, i, l, FaultKind::illegal_instruction, "the mbarrier was never initialised", target.at);
  return found->second;
}

}  // namespace

void complete_transactions(Block& block, uint32_t at, uint64_t bytes,
                           const std::vector<uint32_t>& known) {
  MBarrier& barrier = block.mbarriers[at];
  barrier.known.resize(std::max(barrier.known.size(), known.size()), 0);
  for (size_t k = 0; k < known.size(); ++k) barrier.known[k] = std::max(barrier.known[k], known[k]);
  barrier.transactions -= int64_t(bytes);
  advance(barrier);
}

void mbarrier_init(Warp& w, const Inst& i, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    const uint32_t count = w.reg<uint32_t>(i.a)[l];
    if (!count || count >= 1u << 20)
      fault(w, i, l, FaultKind::illegal_instruction, "the count must be 1 to 2^20 - 1");
    Target target = target_of(w, i, l);
    target.block->mbarriers[target.at] = MBarrier{count, count, 0, 0, {}};
  }
}

void mbarrier_invalidate(Warp& w, const Inst& i, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    Target target = target_of(w, i, first_lane(m));
    barrier_of(w, i, first_lane(m), target);
    target.block->mbarriers.erase(target.at);
  }
}

void mbarrier_arrive(Warp& w, const Inst& i, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    Target target = target_of(w, i, l);
    MBarrier& barrier = barrier_of(w, i, l, target);
    const uint32_t count = i.a == no_slot ? 1 : w.reg<uint32_t>(i.a)[l];
    if (!count || count > barrier.pending)
      fault(w, i, l, FaultKind::illegal_instruction,
            "more arrivals than the mbarrier expects in this phase", target.at);
    if (i.d != no_slot) w.reg<uint64_t>(i.d)[l] = barrier.phase << 20 | barrier.pending;
    publish(w, barrier.known);
    if (i.b != no_slot) barrier.transactions += w.reg<uint32_t>(i.b)[l];
    if (i.imm & 1) barrier.expected -= count;
    barrier.pending -= count;
    if (i.imm & 2 && !barrier.pending)
      fault(w, i, l, FaultKind::illegal_instruction, "arrive.noComplete would complete the phase",
            target.at);
    advance(barrier);
  }
  tick(*w.block);
}

void mbarrier_expect(Warp& w, const Inst& i, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    Target target = target_of(w, i, l);
    MBarrier& barrier = barrier_of(w, i, l, target);
    const int64_t bytes = w.reg<uint32_t>(i.a)[l];
    barrier.transactions += i.imm ? -bytes : bytes;
    if (i.imm) advance(barrier);
  }
}

void mbarrier_test(Warp& w, const Inst& i, uint32_t mask) {
  uint32_t done = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    Target target = target_of(w, i, l);
    MBarrier& barrier = barrier_of(w, i, l, target);
    const bool passed = i.imm ? (barrier.phase & 1) != (w.reg<uint32_t>(i.a)[l] & 1)
                              : w.reg<uint64_t>(i.a)[l] >> 20 != barrier.phase;
    if (!passed) continue;
    done |= 1u << l;
    learn(w, barrier.known);
    w.lane_time[l] = std::max(w.lane_time[l], w.block->clock);
    w.in_step = false;
  }
  if (done == w.live) lanes_synchronised(w, done);
  uint32_t* d = w.reg<uint32_t>(i.d);
  *d = (*d & ~mask) | done;
}

void mbarrier_pending(Warp& w, const Inst& i, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1)
    w.reg<uint32_t>(i.d)[first_lane(m)] = uint32_t(w.reg<uint64_t>(i.a)[first_lane(m)]) & 0xfffff;
}

}  // namespace ptx
