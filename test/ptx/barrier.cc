// Barriers of a block and of a cluster.
#include <algorithm>

#include "ops.h"
#include "shadow.h"

namespace ptx {

static std::string describe_exit(const Block& block, const Warp& w, uint32_t gone) {
  return "lanes " + lanes_text(gone) + " of warp " + std::to_string(w.index) + " exited (thread " +
         thread_text(block, w.index * 32 + uint32_t(first_lane(gone))) + " first)";
}

// Whole warps that have exited count as arrived, but not when they ran past the barrier's place:
// they skipped it.
static void check_skipped(Warp& w, const Inst& i, uint32_t mask) {
  Block& block = *w.block;
  if (block.live == block.threads) return;
  const uint32_t pc = w.worker->pc;
  for (auto& other : block.warps) {
    for (uint32_t gone = other.started & ~other.live; gone; gone &= gone - 1) {
      const int l = first_lane(gone);
      if (other.skip_pc[l] <= pc) continue;
      fault(w, i, first_lane(mask), FaultKind::barrier_divergence,
            "this barrier was skipped: " + describe_exit(block, other, gone) +
                " after passing it by");
    }
  }
}

static void complete(Block& block, uint32_t id, Barrier& barrier) {
  ++block.progress;
  barrier.result = 0;
  for (auto& w : block.warps) {
    for (auto& group : w.groups) {
      if (group.state != Group::at_barrier || group.named != id) continue;
      learn(w, barrier.known);
      const Inst& inst = w.program->code[group.pc];
      const uint32_t kind = inst.imm & 255;
      if (kind >= barrier_popc) {
        uint32_t value = kind == barrier_popc  ? barrier.votes_count
                         : kind == barrier_and ? barrier.votes_all
                                               : barrier.votes_any;
        barrier.result = value;
        for (uint32_t m = group.mask; m; m &= m - 1)
          if (kind == barrier_popc) w.reg<uint32_t>(inst.d)[first_lane(m)] = value;
        if (kind != barrier_popc) {
          uint32_t* d = w.reg<uint32_t>(inst.d);
          *d = value ? *d | group.mask : *d & ~group.mask;
        }
      }
      group.state = Group::running;
      ++group.pc;
    }
  }
  tick(block);
  for (auto& w : block.warps) {
    // Every warp that took part starts anew; the lanes of a warp are ordered among themselves too.
    if (w.barrier_id == int(id)) lanes_synchronised(w, w.live), w.barrier_id = -1;
  }
  barrier = Barrier();
}

static void try_complete(Block& block, uint32_t id) {
  Barrier& barrier = block.barriers[id];
  if (!barrier.arrived) return;
  const bool whole = barrier.expected == ~0u;
  if (barrier.arrived < (whole ? block.live : barrier.expected)) return;
  if (whole && block.live != block.threads) {
    for (auto& w : block.warps)
      for (auto& group : w.groups)
        if (group.state == Group::at_barrier && group.named == id) {
          w.worker->pc = group.pc;
          check_skipped(w, w.program->code[group.pc], group.mask);
        }
  }
  complete(block, id, barrier);
}

void finish_barriers(Block& block) {
  for (uint32_t id = 0; id < 16; ++id) try_complete(block, id);
}

// The group of lanes `mask` arrives. True when it need not wait; otherwise its group has been
// marked as waiting, unless its arrival was the last.
bool arrive_at_barrier(Warp& w, const Inst& i, uint32_t mask) {
  Block& block = *w.block;
  const uint32_t id = w.reg<uint32_t>(i.a)[first_lane(mask)], kind = i.imm & 255;
  for (uint32_t m = mask; m; m &= m - 1)
    if (w.reg<uint32_t>(i.a)[first_lane(m)] != id)
      fault(w, i, first_lane(m), FaultKind::barrier_divergence,
            "lanes of a warp name different barriers");
  if (id > 15)
    fault(w, i, first_lane(mask), FaultKind::illegal_instruction,
          "there is no barrier " + std::to_string(id));
  Barrier& barrier = block.barriers[id];
  uint32_t expected = ~0u;
  if (i.b != no_slot) {
    expected = w.reg<uint32_t>(i.b)[first_lane(mask)];
    if (!expected || expected % 32)
      fault(w, i, first_lane(mask), FaultKind::illegal_instruction,
            "the thread count " + std::to_string(expected) + " of a barrier is no multiple of 32");
    if (expected > (block.threads + 31) / 32 * 32)
      fault(w, i, first_lane(mask), FaultKind::barrier_divergence,
            "the barrier waits for " + std::to_string(expected) + " threads, the block has " +
                std::to_string(block.threads));
  }
  if ((i.imm & 512) && w.live != w.started && i.b == no_slot)
    fault(w, i, first_lane(mask), FaultKind::barrier_divergence,
          "lanes " + lanes_text(mask) + " wait at this barrier, but " +
              describe_exit(block, w, w.started & ~w.live) + " and will never come");
  if (barrier.arrived && barrier.expected != expected)
    fault(w, i, first_lane(mask), FaultKind::barrier_divergence,
          "warps arrive at barrier " + std::to_string(id) + " with different thread counts");
  barrier.expected = expected;
  barrier.arrived += expected == ~0u || mask != w.live ? uint32_t(__builtin_popcount(mask)) : 32;
  ++w.worker->tally.barriers;
  publish(w, barrier.known);
  tick(block);
  if (kind >= barrier_popc) {
    const uint32_t p = (*w.reg<uint32_t>(i.c) ^ (i.imm & 256 ? ~0u : 0u)) & mask;
    barrier.votes_count += uint32_t(__builtin_popcount(p));
    barrier.votes_any |= p != 0;
    barrier.votes_all &= p == mask;
  }
  if (kind != barrier_arrive) w.barrier_id = int(id);
  return kind == barrier_arrive;
}

void cluster_arrive(Warp& w, const Inst& i, uint32_t mask) {
  Cluster& cluster = *w.block->cluster;
  if (mask & w.cluster_arrived)
    fault(w, i, first_lane(mask & w.cluster_arrived), FaultKind::barrier_divergence,
          "arrives at the cluster's barrier again without having waited");
  w.cluster_arrived |= mask;
  w.cluster_phase = cluster.phase;
  cluster.arrived += uint32_t(__builtin_popcount(mask));
  publish(w, cluster.known);
  global_release(w);
}

// A group may come to its wait long after the phase in which it arrived is over.
bool pass_cluster_wait(Warp& w, uint32_t mask) {
  Cluster& cluster = *w.block->cluster;
  if (w.cluster_phase == cluster.phase) return false;
  w.cluster_arrived &= ~mask;
  learn(w, cluster.completed);
  global_acquire(w);
  return true;
}

}  // namespace ptx
