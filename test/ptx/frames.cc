// Real calls: a callee's activation, with the registers of its caller kept beside, and its frame in
// local memory. Lanes that call together may return apart.
#include <algorithm>

#include "ops.h"

namespace ptx {

void frame_address(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t *frame = w.reg<uint32_t>(i.a), *offset = w.reg<uint32_t>(i.b);
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    if (i.imm == 8)
      w.reg<uint64_t>(i.d)[l] = frame[l] + offset[l];
    else
      w.reg<uint32_t>(i.d)[l] = frame[l] + offset[l];
  }
}

static const Callee& callee_of(Warp& w, const Inst& i, int lane) {
  const Program& program = *w.program;
  if (i.a == no_slot) return program.callees[i.imm];
  const uint64_t address = w.reg<uint64_t>(i.a)[lane];
  for (uint32_t k : program.calls[i.target].candidates)
    if (program.callees[k].address == address) return program.callees[k];
  fault(w, i, lane, FaultKind::illegal_instruction,
        "calls an address at which there is no function with these parameters", address);
}

static void copy_slices(Warp& w, int lane, uint32_t to_frame, const std::vector<Slice>& to,
                        uint32_t from_frame, const std::vector<Slice>& from) {
  uint8_t* local = w.local + size_t(lane) * w.program->local_bytes;
  for (size_t k = 0; k < to.size(); ++k)
    memcpy(local + to_frame + to[k].offset, local + from_frame + from[k].offset, to[k].bytes);
}

static int32_t free_activation(Warp& w) {
  for (size_t k = 0; k < w.activations.size(); ++k)
    if (!w.activations[k].lanes) return int32_t(k);
  w.activations.emplace_back();
  return int32_t(w.activations.size()) - 1;
}

uint32_t enter_callee(Warp& w, const Inst& i, uint32_t mask, uint32_t* target) {
  const Program& program = *w.program;
  const CallSite& site = program.calls[i.target];
  const Callee& callee = callee_of(w, i, first_lane(mask));
  uint32_t* frame = w.reg<uint32_t>(i.b);
  uint32_t lanes = 0;
  for (uint32_t m = mask; m; m &= m - 1)
    if (&callee_of(w, i, first_lane(m)) == &callee) lanes |= m & -m;
  const int32_t index = free_activation(w);
  Activation& made = w.activations[size_t(index)];
  made.lanes = lanes;
  made.site = i.target;
  made.pc = w.worker->pc;
  made.registers.assign(w.regs + program.fixed_bytes, w.regs + program.register_bytes);
  for (uint32_t m = lanes; m; m &= m - 1) {
    const int l = first_lane(m);
    const uint32_t inner = frame[l] + site.frame_bytes;
    if (inner + callee.frame_bytes > program.local_bytes || w.activations.size() > 4096)
      fault(w, i, l, FaultKind::out_of_bounds,
            "the stack of " + std::to_string(stack_bytes) + " bytes a thread is full in " +
                callee.name);
    copy_slices(w, l, inner, callee.parameters, frame[l], site.arguments);
    frame[l] = inner;
    made.outer[l] = w.activation[l];
    w.activation[l] = index;
  }
  *target = callee.pc;
  return lanes;
}

// Puts back what the caller held in its registers.
static void restore(Warp& w, const Activation& from, uint32_t lanes) {
  const Program& program = *w.program;
  if (lanes == all_lanes) {
    std::copy(from.registers.begin(), from.registers.end(), w.regs + program.fixed_bytes);
    return;
  }
  for (auto& [offset, bytes] : program.layout) {
    uint8_t* to = w.regs + offset;
    const uint8_t* saved = from.registers.data() + (offset - program.fixed_bytes);
    if (bytes == 1) {
      uint32_t now, then;
      memcpy(&now, to, 4), memcpy(&then, saved, 4);
      now = (now & ~lanes) | (then & lanes);
      memcpy(to, &now, 4);
      continue;
    }
    for (uint32_t m = lanes; m; m &= m - 1) {
      const uint32_t at = uint32_t(first_lane(m)) * bytes;
      memcpy(to + at, saved + at, bytes);
    }
  }
}

Return leave_callee(Warp& w, uint32_t mask) {
  const Program& program = *w.program;
  const int32_t index = w.activation[first_lane(mask)];
  Activation& from = w.activations[size_t(index)];
  const CallSite& site = program.calls[from.site];
  const Inst& call = program.code[from.pc];
  const Callee* callee = nullptr;
  uint32_t lanes = 0;
  uint32_t* frame = w.reg<uint32_t>(call.b);
  for (uint32_t m = mask; m; m &= m - 1)
    if (w.activation[first_lane(m)] == index) lanes |= m & -m;
  restore(w, from, lanes);
  callee = &callee_of(w, call, first_lane(lanes));  // its address is back in its register
  for (uint32_t m = lanes; m; m &= m - 1) {
    const int l = first_lane(m);
    const uint32_t outer = frame[l] - site.frame_bytes;
    copy_slices(w, l, outer, site.results, frame[l], callee->results);
    frame[l] = outer;
    w.activation[l] = from.outer[l];
  }
  from.lanes &= ~lanes;
  return {lanes, from.pc + 1};
}

}  // namespace ptx
