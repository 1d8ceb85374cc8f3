// The scheduler of a block's warps, and what it says when none of them can go on.
#include <algorithm>

#include "runner.h"

namespace ptx {

namespace {

// Sets the waiting groups of a cluster free once all its live threads have arrived.
void finish_cluster(Cluster& cluster) {
  uint32_t live = 0;
  for (auto& block : cluster.blocks) live += block->live;
  if (!cluster.arrived || cluster.arrived < live) return;
  cluster.arrived = 0;
  ++cluster.phase;
  cluster.completed = std::move(cluster.known);
  cluster.known.clear();
  for (auto& block : cluster.blocks) {
    for (auto& w : block->warps) {
      for (auto& group : w.groups) {
        if (group.state != Group::at_cluster) continue;
        pass_cluster_wait(w, group.mask);
        group.state = Group::running;
        ++group.pc;
      }
    }
  }
}

[[noreturn]] void report_stuck(Cluster& cluster) {
  for (auto& block : cluster.blocks) {
    for (auto& w : block->warps) {
      for (auto& group : w.groups) {
        const Inst& inst = w.program->code[group.pc];
        w.worker->pc = group.pc;
        std::string others;
        for (auto& other : w.groups) {
          if (&other == &group) continue;
          others += "; lanes " + lanes_text(other.mask) + " wait at line " +
                    std::to_string(w.program->code[other.pc].line);
        }
        if (w.started & ~w.live)
          others += "; lanes " + lanes_text(w.started & ~w.live) + " have exited";
        if (group.state == Group::parked) {
          const bool barrier = inst.kind == Kind::block_barrier;
          fault(w, inst, first_lane(group.mask),
                barrier ? FaultKind::barrier_divergence : FaultKind::absent_lane,
                "lanes " + lanes_text(group.mask) + " wait here for lanes " +
                    lanes_text(group.named & w.live & ~group.mask) + ", which never come" + others);
        }
        if (group.state == Group::at_barrier) {
          const Barrier& barrier = block->barriers[group.named];
          const uint32_t expected = barrier.expected == ~0u ? block->live : barrier.expected;
          fault(w, inst, first_lane(group.mask), FaultKind::barrier_divergence,
                "barrier " + std::to_string(group.named) + " waits for " +
                    std::to_string(expected) + " threads, " + std::to_string(barrier.arrived) +
                    " have come, and no other thread can run" + others);
        }
        fault(w, inst, first_lane(group.mask), FaultKind::deadlock,
              "waits for the cluster's other blocks, which never come");
      }
    }
  }
  throw FaultError{};
}

}  // namespace

// One slice for every warp of the cluster's blocks, a short one when it only spins beside others.
// True when all have exited.
bool run_slice(Worker& worker, Cluster& cluster, bool alone) {
  const LaunchConfig& config = worker.launch->config;
  bool done = true, progressed = false;
  std::vector<Warp*> order;
  for (auto& block : cluster.blocks)
    for (auto& w : block->warps)
      if (w.live) order.push_back(&w);
  if (config.order == Order::reverse) std::reverse(order.begin(), order.end());
  auto random = [&] {
    worker.random = worker.random * 6364136223846793005u + 1442695040888963407u;
    return uint32_t(worker.random >> 33);
  };
  if (config.order == Order::random)
    for (size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random() % k]);
  const uint64_t slice = alone ? 8192 : 8192u >> std::min(cluster.idle, 7);
  for (Warp* w : order) {
    Runner runner(*w, config.order == Order::random ? 16 + random() % 1024 : slice);
    runner.run();
    progressed |= runner.used() != 0;
    if (worker.launch->stop.load(std::memory_order_relaxed)) return true;
  }
  finish_cluster(cluster);
  uint64_t progress = 0;
  for (auto& block : cluster.blocks) {
    block->done = !block->live;
    done &= block->done;
    progress += block->progress + block->threads - block->live;
  }
  cluster.idle = progress == cluster.progress ? cluster.idle + 1 : 0;
  cluster.progress = progress;
  if (done) return true;
  if (!progressed) {
    bool free = false;
    for (auto& block : cluster.blocks)
      for (auto& w : block->warps)
        for (auto& group : w.groups) free |= group.state == Group::running;
    if (!free) report_stuck(cluster);
  }
  const uint64_t limit = config.watchdog;
  if (limit && worker.launch->instructions.load(std::memory_order_relaxed) > limit) {
    Warp& w = *order[0];
    const Group& group = w.groups.empty() ? Group{0, 1} : w.groups[0];
    fault(w, w.program->code[group.pc], first_lane(group.mask), FaultKind::watchdog,
          "the launch has run " + std::to_string(limit) +
              " lane instructions without coming to its end");
  }
  return false;
}

}  // namespace ptx
