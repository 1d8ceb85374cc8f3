// Registers to slots of a warp's register file.
// Plan: liveness by basic blocks, one interval a register from its first to its last point, a
//   linear scan per width. Registers are per lane, and a lane follows one path, so sharing a slot
//   is safe whatever the other lanes do. Widths never share: an instruction that reads one width
//   and writes another must not find them overlapping.
#include <algorithm>
#include <array>
#include <set>

#include "decode.h"

namespace ptx {

namespace {

struct Flow {
  std::vector<int> starts;  // first instruction of each basic block
  std::vector<int> block_of;
  std::vector<std::vector<int>> next;
};

Flow flow_of(const Program& program) {
  const auto& code = program.code;
  std::vector<bool> leader(code.size() + 1, false);
  leader[0] = true;
  for (size_t i = 0; i < code.size(); ++i) {
    if (code[i].kind == Kind::branch) leader[code[i].target] = leader[i + 1] = true;
    if (code[i].kind == Kind::exit || code[i].kind == Kind::ret) leader[i + 1] = true;
    if (code[i].kind == Kind::table) {
      leader[i + 1] = true;
      for (uint32_t t : program.targets[code[i].target]) leader[t] = true;
    }
  }
  Flow flow;
  flow.block_of.resize(code.size());
  for (size_t i = 0; i < code.size(); ++i) {
    if (leader[i]) flow.starts.push_back(int(i));
    flow.block_of[i] = int(flow.starts.size()) - 1;
  }
  flow.starts.push_back(int(code.size()));
  for (size_t b = 0; b + 1 < flow.starts.size(); ++b) {
    const size_t last = size_t(flow.starts[b + 1]) - 1;
    const Inst& inst = code[last];
    std::vector<int> next;
    if (inst.kind == Kind::branch) next.push_back(flow.block_of[inst.target]);
    if (inst.kind == Kind::table)
      for (uint32_t t : program.targets[inst.target]) next.push_back(flow.block_of[t]);
    bool falls = !((inst.kind == Kind::branch || inst.kind == Kind::exit ||
                    inst.kind == Kind::table || inst.kind == Kind::ret) &&
                   inst.guard == no_slot);
    if (falls && last + 1 < code.size()) next.push_back(flow.block_of[last + 1]);
    flow.next.push_back(next);
  }
  return flow;
}

uint32_t* field_of(Program& program, const Reference& reference) {
  Inst& inst = program.code[size_t(reference.inst)];
  switch (reference.field) {
    case field_d:
      return &inst.d;
    case field_a:
      return &inst.a;
    case field_b:
      return &inst.b;
    case field_c:
      return &inst.c;
    case field_guard:
      return &inst.guard;
    case field_sync:
      return &inst.sync;
    case field_base:
      return &program.accesses[size_t(inst.access)].base;
    default:
      return &program.extra[inst.x + reference.field - field_extra];
  }
}

using Bits = std::vector<uint64_t>;

}  // namespace

void Decoder::allocate() {
  Program& program = *out_;
  const size_t count = registers_.size(), words = (count + 63) / 64;
  std::sort(references_.begin(), references_.end(),
            [](const Reference& a, const Reference& b) { return a.inst < b.inst; });
  Flow flow = flow_of(program);
  const size_t blocks = flow.next.size();
  std::vector<int> first(count, INT32_MAX), last(count, -1);
  Bits entry(words, 0);
  const bool affordable = blocks * words < (size_t(1) << 24);
  if (affordable) {
    std::vector<Bits> use(blocks, Bits(words, 0)), def = use, in = use, out = use;
    for (size_t i = 0; i < references_.size();) {  // an instruction reads before it writes
      size_t end = i;
      while (end < references_.size() && references_[end].inst == references_[i].inst) ++end;
      const Inst& inst = program.code[size_t(references_[i].inst)];
      size_t b = size_t(flow.block_of[size_t(references_[i].inst)]);
      for (int pass = 0; pass < 2; ++pass) {
        for (size_t k = i; k < end; ++k) {
          uint32_t r = *field_of(program, references_[k]);
          // A guarded write, or one by a carry or predicate mask's owner, keeps the other lanes'
          // values: it kills nothing.
          bool def_here = references_[k].def && inst.guard == no_slot;
          if (pass == 0 && !references_[k].def && !((def[b][r / 64] >> (r % 64)) & 1))
            use[b][r / 64] |= uint64_t(1) << (r % 64);
          if (pass == 1 && references_[k].def && !def_here && !((def[b][r / 64] >> (r % 64)) & 1))
            use[b][r / 64] |= uint64_t(1) << (r % 64);
          if (pass == 1 && def_here) def[b][r / 64] |= uint64_t(1) << (r % 64);
        }
      }
      i = end;
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t b = blocks; b-- > 0;) {
        for (int n : flow.next[b])
          for (size_t w = 0; w < words; ++w) out[b][w] |= in[size_t(n)][w];
        for (size_t w = 0; w < words; ++w) {
          uint64_t value = use[b][w] | (out[b][w] & ~def[b][w]);
          if (value != in[b][w]) in[b][w] = value, changed = true;
        }
      }
    }
    for (size_t b = 0; b < blocks; ++b) {
      for (size_t w = 0; w < words; ++w) {
        for (uint64_t bits = in[b][w]; bits; bits &= bits - 1) {
          size_t r = w * 64 + size_t(__builtin_ctzll(bits));
          first[r] = std::min(first[r], flow.starts[b]);
          last[r] = std::max(last[r], flow.starts[b]);
        }
        for (uint64_t bits = out[b][w]; bits; bits &= bits - 1) {
          size_t r = w * 64 + size_t(__builtin_ctzll(bits));
          first[r] = std::min(first[r], flow.starts[b + 1] - 1);
          last[r] = std::max(last[r], flow.starts[b + 1]);
        }
      }
    }
    if (blocks) entry = in[0];
  }
  for (auto& reference : references_) {
    uint32_t r = *field_of(program, reference);
    first[r] = std::min(first[r], affordable ? reference.inst : 0);
    last[r] = std::max(last[r], affordable ? reference.inst + 1 : int(program.code.size()));
  }
  // Fixed registers first, then intervals by their start.
  size_t top = 0;
  std::vector<uint32_t> slots(count, no_slot);
  auto bytes_of = [&](size_t r) {
    return registers_[r].bytes == 1 ? size_t(4) : size_t(registers_[r].bytes) * 32;
  };
  auto take = [&](size_t r) {
    slots[r] = uint32_t(top);
    top += bytes_of(r) == 4 ? 4 : bytes_of(r);
  };
  for (int wide = 16; wide >= 1; wide /= 2)
    for (size_t r = 0; r < count; ++r)
      if (registers_[r].fixed && registers_[r].bytes == wide) take(r);
  top = (top + 63) / 64 * 64;
  const size_t fixed_end = top;
  std::array<std::vector<std::pair<int, uint32_t>>, 17> busy;  // by width: end, slot
  std::array<std::vector<uint32_t>, 17> free_slots;
  std::vector<size_t> order;
  for (size_t r = 0; r < count; ++r)
    if (!registers_[r].fixed && last[r] >= 0) order.push_back(r);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return first[a] < first[b]; });
  size_t small = 0;  // predicates live in a region of their own, appended below
  for (size_t r : order) {
    auto& live = busy[registers_[r].bytes];
    auto& idle = free_slots[registers_[r].bytes];
    while (!live.empty() && live.front().first <= first[r]) {
      std::pop_heap(live.begin(), live.end(), std::greater<>());
      idle.push_back(live.back().second);
      live.pop_back();
    }
    if (!idle.empty()) {
      slots[r] = idle.back();
      idle.pop_back();
    } else if (registers_[r].bytes == 1) {
      slots[r] = uint32_t(small);
      small += 4;
    } else {
      take(r);
    }
    live.push_back({last[r], slots[r]});
    std::push_heap(live.begin(), live.end(), std::greater<>());
  }
  for (size_t r : order)
    if (registers_[r].bytes == 1) slots[r] += uint32_t(top);
  std::set<std::pair<uint32_t, uint32_t>> layout;
  for (size_t r : order) layout.emplace(slots[r], registers_[r].bytes);
  program.layout.assign(layout.begin(), layout.end());
  program.fixed_bytes = fixed_end;
  if (stack_frame_ != no_slot) program.cleared.push_back({slots[stack_frame_], 128});
  const size_t total = (top + small + 63) / 64 * 64;
  // A load and its base may share an access that another instruction also names: patch each place
  // once.
  std::vector<bool> patched(program.accesses.size(), false);
  for (auto& reference : references_) {
    if (reference.field == field_base) {
      size_t a = size_t(program.code[size_t(reference.inst)].access);
      if (patched[a]) continue;
      patched[a] = true;
    }
    uint32_t* field = field_of(program, reference);
    *field = slots[*field];
  }
  for (size_t r = 0; r < count; ++r) {
    if (!registers_[r].fixed && slots[r] != no_slot &&
        (!affordable || (entry[r / 64] >> (r % 64)) & 1))
      program.cleared.push_back({slots[r], uint32_t(bytes_of(r))});
  }
  program.initial.assign(fixed_end, 0);
  for (auto& [key, r] : constants_) {
    if (key.second >= carry_key) continue;
    size_t at = slots[r], bytes = size_t(key.second);
    if (bytes == 1)
      memcpy(&program.initial[at], &key.first, 4);
    else
      for (size_t l = 0; l < 32; ++l)
        memcpy(&program.initial[at + l * bytes], &key.first, std::min<size_t>(bytes, 8));
  }
  for (auto& [key, r] : specials_)
    program.specials.push_back({key.first | key.second << 16, slots[r]});
  program.register_bytes = total;
}

}  // namespace ptx
