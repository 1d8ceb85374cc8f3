// How the lanes of one warp run.
// Plan: lanes with one pc form a group. The group with the lowest pc runs, so that those behind
//   catch up and merge; a group parks at a warp-wide instruction until the lanes it names are
//   there, whatever order they come in. A group that has used up its slice lets others run first,
//   so that spinning lanes cannot starve the lane they wait for.
#pragma once
#include <algorithm>
#include <tuple>

#include "ops.h"
#include "shadow.h"

namespace ptx {

class Runner {
 public:
  Runner(Warp& warp, uint64_t slice)
      : w_(warp), code_(warp.program->code.data()), budget_(slice), slice_(slice) {}

  void run() {
    while (budget_ && settle() && pick()) {
      Group& group = w_.groups[current_];
      pc_ = group.pc, mask_ = group.mask;
      limit_ = ~0u;
      for (auto& other : w_.groups)
        if (&other != &group && other.state == Group::running && other.pc > pc_)
          limit_ = std::min(limit_, other.pc);
      step();
      if (yielded_) break;
    }
    w_.block->launch->instructions.fetch_add((slice_ - budget_) * 32, std::memory_order_relaxed);
    if (budget_ == 0 && current_ < w_.groups.size()) w_.groups[current_].turn = ++w_.turns;
  }
  uint64_t used() const { return slice_ - budget_; }

 private:
  Warp& w_;
  const Inst* code_;
  uint64_t budget_, slice_;
  size_t current_ = 0;
  uint32_t pc_ = 0, mask_ = 0, limit_ = ~0u;
  bool yielded_ = false;

  // Merges groups that meet. False when the warp has none left.
  bool settle() {
    auto& groups = w_.groups;
    for (size_t a = 0; a < groups.size(); ++a) {
      for (size_t b = groups.size(); b-- > a + 1;) {
        if (groups[a].pc != groups[b].pc || groups[a].state != Group::running ||
            groups[b].state != Group::running)
          continue;
        groups[a].mask |= groups[b].mask;
        groups[a].turn = std::min(groups[a].turn, groups[b].turn);
        groups.erase(groups.begin() + long(b));
      }
    }
    return !groups.empty();
  }

  // Chooses the group to run; parked ones whose lanes have all come, or can come no more, are set
  // free first.
  bool pick() {
    release_parked();
    size_t best = w_.groups.size();
    for (size_t k = 0; k < w_.groups.size(); ++k) {
      const Group& group = w_.groups[k];
      if (group.state != Group::running) continue;
      auto rank = [](const Group& g) { return std::make_tuple(g.turn, -g.depth, g.pc); };
      if (best == w_.groups.size() || rank(group) < rank(w_.groups[best])) best = k;
    }
    current_ = best;
    return best < w_.groups.size();
  }

  void release_parked() {
    auto& groups = w_.groups;
    for (size_t a = 0; a < groups.size(); ++a) {
      if (groups[a].state != Group::parked) continue;
      const Kind kind = code_[groups[a].pc].kind;
      uint32_t here = 0;
      auto joins = [&](const Group& other) {
        return other.state == Group::parked && other.named == groups[a].named &&
               code_[other.pc].kind == kind &&
               (kind == Kind::warp_barrier || other.pc == groups[a].pc);
      };
      for (auto& other : groups)
        if (joins(other)) here |= other.mask;
      if (groups[a].named & w_.live & ~here) continue;
      if (kind == Kind::warp_barrier) {
        lanes_synchronised(w_, here);
        const uint32_t named = groups[a].named;
        for (auto& other : groups) {
          if (other.state != Group::parked || other.named != named || code_[other.pc].kind != kind)
            continue;
          other.state = Group::running;
          ++other.pc;
        }
      } else {
        for (size_t b = groups.size(); b-- > a + 1;)
          if (joins(groups[b])) groups.erase(groups.begin() + long(b));
        groups[a].mask = here;
        groups[a].state = Group::running;
      }
    }
  }

  uint32_t guarded(const Inst& inst, uint32_t mask) {
    if (inst.guard == no_slot) return mask;
    const uint32_t p = *w_.reg<uint32_t>(inst.guard);
    return mask & (inst.guard_negated ? ~p : p);
  }

  void leave() { w_.groups[current_].pc = pc_, w_.groups[current_].mask = mask_; }

  // Runs the current group until it meets another, splits, waits or has used its budget.
  void step() {
    Tally& tally = w_.worker->tally;
    uint64_t *warps = tally.warps.data(), *lanes = tally.lanes.data();
    while (budget_) {
      const Inst& inst = code_[pc_];
      const uint32_t m = guarded(inst, mask_);
      ++warps[pc_];
      lanes[pc_] += uint64_t(__builtin_popcount(m));
      --budget_;
      if (__builtin_expect(!w_.suspects.empty(), 0) && inst.kind != Kind::together)
        follow_suspects(w_, inst, m, mask_);
      if (__builtin_expect(inst.kind == Kind::plain, 1)) {
        if (m) {
          w_.worker->pc = pc_;
          inst.fn(w_, inst, m);
        }
        if (++pc_ == limit_) return leave();
        continue;
      }
      w_.worker->pc = pc_;
      if (!special(inst, m)) return;
      if (pc_ >= limit_) return leave();
    }
    leave();
  }

  // Everything that is not straight-line. False when the group must stop; its state is then stored.
  bool special(const Inst& inst, uint32_t m) {
    Tally& tally = w_.worker->tally;
    switch (inst.kind) {
      case Kind::branch:
        ++tally.branches;
        if (m == mask_) {
          came_from(pc_, inst.target);
          pc_ = inst.target;
          if (pc_ <= w_.groups[current_].pc && w_.groups.size() > 1) return leave(), false;
        } else if (!m) {
          ++pc_;
        } else {
          ++tally.divergent;
          split(m, inst.target);
          return false;
        }
        return true;
      case Kind::table:
        return table(inst, m);
      case Kind::exit:
        return exit(m);
      case Kind::together:
        return together(inst, m);
      case Kind::warp_barrier:
        return warp_barrier(inst, m);
      case Kind::block_barrier:
        return block_barrier(inst, m);
      case Kind::cluster_wait:
        return cluster_wait(inst, m);
      case Kind::call:
        return call(inst, m);
      case Kind::ret:
        return ret(m);
      case Kind::yield:
        if (m) inst.fn(w_, inst, m);
        ++pc_;
        leave();
        yielded_ = true;
        w_.groups[current_].turn = ++w_.turns;
        return false;
      default:
        return true;
    }
  }

  void came_from(uint32_t from, uint32_t to) {
    w_.groups[current_].jumped_from = from, w_.groups[current_].jumped_to = to;
  }

  // Lanes `m` go to `target`, the others on.
  void split(uint32_t m, uint32_t target) {
    Group taken = w_.groups[current_];
    taken.pc = target, taken.mask = m;
    taken.jumped_from = pc_, taken.jumped_to = target;
    mask_ &= ~m;
    ++pc_;
    leave();
    w_.groups.push_back(taken);
  }

  bool table(const Inst& inst, uint32_t m) {
    const auto& targets = w_.program->targets[inst.target];
    const uint32_t at = pc_;
    uint32_t rest = m;
    const uint32_t stay = mask_ & ~m;
    std::vector<Group> made;
    while (rest) {
      const int l = first_lane(rest);
      const uint32_t index = w_.reg<uint32_t>(inst.a)[l];
      if (index >= targets.size())
        fault(w_, inst, l, FaultKind::illegal_instruction,
              "index " + std::to_string(index) + " is outside the branch table");
      uint32_t same = 0;
      for (uint32_t n = rest; n; n &= n - 1)
        same |= uint32_t(w_.reg<uint32_t>(inst.a)[first_lane(n)] == index) << first_lane(n);
      Group group = w_.groups[current_];
      group.pc = targets[index], group.mask = same;
      group.jumped_from = at, group.jumped_to = group.pc;
      made.push_back(group);
      rest &= ~same;
    }
    ++w_.worker->tally.branches;
    w_.worker->tally.divergent += made.size() > 1;
    if (stay) {
      mask_ = stay;
      ++pc_;
      leave();
    } else {
      w_.groups[current_] = made.back();
      made.pop_back();
    }
    w_.groups.insert(w_.groups.end(), made.begin(), made.end());
    return false;
  }

  // The group's lanes `m` go to `target`, `depth` calls further in; the others stay where they are.
  void part(uint32_t m, uint32_t target, int depth) {
    Group gone = w_.groups[current_];
    gone.pc = target, gone.mask = m, gone.depth += depth;
    mask_ &= ~m;
    if (mask_) {
      leave();
      w_.groups.push_back(gone);
    } else {
      w_.groups[current_] = gone;
    }
  }

  bool call(const Inst& inst, uint32_t m) {
    if (const uint32_t off = mask_ & ~m) part(off, pc_ + 1, 0);
    uint32_t target = 0;
    while (mask_) {  // callee by callee
      const uint32_t lanes = enter_callee(w_, inst, mask_, &target);
      part(lanes, target, 1);
    }
    return false;
  }

  bool ret(uint32_t m) {
    if (const uint32_t off = mask_ & ~m) part(off, pc_ + 1, 0);
    while (mask_) {
      const Return back = leave_callee(w_, mask_);
      part(back.lanes, back.pc, -1);
    }
    return false;
  }

  bool exit(uint32_t m) {
    Group& group = w_.groups[current_];
    // An early return jumps straight here: what it skipped is told by where it came from.
    // Inside a callee the order of places means nothing.
    const uint32_t last = group.depth              ? 0
                          : group.jumped_to == pc_ ? group.jumped_from
                          : pc_                    ? pc_ - 1
                                                   : 0;
    for (uint32_t n = m; n; n &= n - 1) w_.skip_pc[first_lane(n)] = last;
    w_.live &= ~m;
    w_.block->live -= uint32_t(__builtin_popcount(m));
    mask_ &= ~m;
    ++pc_;
    if (mask_)
      leave();
    else
      w_.groups.erase(w_.groups.begin() + long(current_)), current_ = ~size_t(0);
    if (m) finish_barriers(*w_.block);
    return false;
  }

  void park(uint32_t lanes, uint32_t named) {
    // Lanes kept off by the guard go on without the instruction.
    Group group = w_.groups[current_];
    group.pc = pc_, group.mask = lanes, group.state = Group::parked, group.named = named;
    const uint32_t rest = mask_ & ~lanes;
    if (rest) {
      w_.groups.push_back(group);
      mask_ = rest;
      return;
    }
    w_.groups[current_] = group;
    mask_ = 0;
  }

  // Warp-wide instructions. Lanes may name different masks, as the parts of a partitioned warp do.
  bool together(const Inst& inst, uint32_t m) {
    if (!m) {
      ++pc_;
      return true;
    }
    if (inst.sync == no_slot) {
      if (w_.live != w_.started || w_.started != all_lanes)
        fault(
            w_, inst, first_lane(m), FaultKind::absent_lane,
            "needs all 32 lanes, but only lanes " + lanes_text(w_.live) + " of the warp are there");
      if (m != w_.live) return apart(m, w_.live);
      if (!w_.suspects.empty()) follow_suspects(w_, inst, m, m);
      inst.fn(w_, inst, m);
      ++pc_;
      return true;
    }
    const uint32_t* names = w_.reg<uint32_t>(inst.sync);
    uint32_t rest = m;
    while (rest) {
      const uint32_t named = names[first_lane(rest)];
      uint32_t same = 0;
      for (int l = 0; l < 32; ++l) same |= uint32_t(names[l] == named) << l;
      same &= rest;
      if (same & ~named)
        fault(w_, inst, first_lane(same & ~named), FaultKind::absent_lane,
              "executes with a mask of lanes " + lanes_text(named) + ", which does not name it");
      rest &= ~same;
      if (named & w_.live & ~same) {
        if (same == mask_) return apart(same, named);
        Group group = w_.groups[current_];
        group.pc = pc_, group.mask = same, group.state = Group::parked, group.named = named;
        w_.groups.push_back(group);
        mask_ &= ~same;
        limit_ = 0;  // look again before going on
        continue;
      }
      if (!w_.suspects.empty()) follow_suspects(w_, inst, same, same);
      inst.fn(w_, inst, same);
    }
    if (!mask_) {
      w_.groups.erase(w_.groups.begin() + long(current_));
      current_ = ~size_t(0);
      return false;
    }
    ++pc_;
    return true;
  }

  // All of the group's active lanes wait here; those kept off by the guard go on.
  bool apart(uint32_t lanes, uint32_t named) {
    park(lanes, named);
    if (mask_) {
      ++pc_;
      leave();
    }
    return false;
  }

  bool warp_barrier(const Inst& inst, uint32_t m) {
    if (!m) {
      ++pc_;
      return true;
    }
    const uint32_t* names = w_.reg<uint32_t>(inst.sync);
    const uint32_t named = names[first_lane(m)];
    uint32_t same = 0;
    for (int l = 0; l < 32; ++l) same |= uint32_t(names[l] == named) << l;
    same &= m;
    if (same & ~named)
      fault(w_, inst, first_lane(same & ~named), FaultKind::absent_lane,
            "executes with a mask of lanes " + lanes_text(named) + ", which does not name it");
    if (same == mask_ && !(named & w_.live & ~same)) {
      lanes_synchronised(w_, same);
      ++pc_;
      return true;
    }
    // Part by part: this one parks; lanes with other masks come round again.
    Group group = w_.groups[current_];
    group.pc = pc_, group.mask = same, group.state = Group::parked, group.named = named;
    const uint32_t others = m & ~same, rest = mask_ & ~m;
    mask_ = others ? others : rest;
    if (!others) ++pc_;
    if (mask_) {
      leave();
      w_.groups.push_back(group);
      if (others && rest) {
        Group skip = w_.groups[current_];
        skip.pc = pc_ + 1, skip.mask = rest;
        w_.groups.push_back(skip);
      }
    } else {
      w_.groups[current_] = group;
    }
    return false;
  }

  bool block_barrier(const Inst& inst, uint32_t m) {
    if (!m) {
      ++pc_;
      return true;
    }
    const bool aligned = inst.imm & 512;
    if (aligned && m != w_.live) return apart(m, w_.live);
    if (arrive_at_barrier(w_, inst, m)) {
      ++pc_;
      finish_barriers(*w_.block);
      return true;
    }
    Group waiting = w_.groups[current_];
    waiting.pc = pc_, waiting.mask = m, waiting.state = Group::at_barrier;
    waiting.named = w_.reg<uint32_t>(inst.a)[first_lane(m)];
    const uint32_t rest = mask_ & ~m;
    if (rest) {
      mask_ = rest;
      ++pc_;
      leave();
      w_.groups.push_back(waiting);
    } else {
      w_.groups[current_] = waiting;
    }
    finish_barriers(*w_.block);
    return false;
  }

  bool cluster_wait(const Inst& inst, uint32_t m) {
    if (!m) {
      ++pc_;
      return true;
    }
    if (m & ~w_.cluster_arrived)
      fault(w_, inst, first_lane(m & ~w_.cluster_arrived), FaultKind::barrier_divergence,
            "waits at the cluster's barrier without having arrived");
    if (m != mask_)
      fault(w_, inst, first_lane(m), FaultKind::barrier_divergence,
            "a guarded barrier.cluster.wait is not supported");
    if (pass_cluster_wait(w_, m)) {
      ++pc_;
      return true;
    }
    Group& group = w_.groups[current_];
    group.pc = pc_, group.mask = mask_, group.state = Group::at_cluster;
    return false;
  }
};

}  // namespace ptx
