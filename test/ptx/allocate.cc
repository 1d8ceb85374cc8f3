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

// Of each register: from where to where it is live, in instructions; and whether already at entry.
struct Intervals {
  std::vector<int> first, last;
  std::vector<bool> at_entry;
  void cover(size_t r, int from, int to) {
    first[r] = std::min(first[r], from), last[r] = std::max(last[r], to);
  }
};

// Calls use(block, register) for what a block reads of the time before it, def for what it sets.
template <class Use, class Def>
void walk(Program& program, const std::vector<Reference>& references, const Flow& flow,
          size_t count, Use use, Def def) {
  std::vector<int> defined(count, -1);  // in which block last
  for (size_t i = 0; i < references.size();) {  // an instruction reads before it writes
    size_t end = i;
    while (end < references.size() && references[end].inst == references[i].inst) ++end;
    const bool guarded = program.code[size_t(references[i].inst)].guard != no_slot;
    const int b = flow.block_of[size_t(references[i].inst)];
    for (const bool writes : {false, true}) {
      for (size_t k = i; k < end; ++k) {
        if (references[k].def != writes) continue;
        const uint32_t r = *field_of(program, references[k]);
        // A guarded write, or one by a carry or predicate mask's owner, keeps the other lanes'
        // values: it kills nothing.
        const bool kills = writes && !guarded;
        if (!kills && defined[r] != b) use(size_t(b), r);
        if (kills) defined[r] = b, def(size_t(b), r);
      }
    }
    i = end;
  }
}

// What is live at each block's beginning and end. Few registers outlive a block: only those that
// some block reads of the time before it are followed.
class Liveness {
 public:
  Liveness(Program& program, const std::vector<Reference>& references, const Flow& flow,
           size_t count)
      : flow_(flow), ids_(count, no_slot) {
    auto ignore = [](size_t, uint32_t) {};
    walk(program, references, flow, count,
         [&](size_t, uint32_t r) {
           if (ids_[r] == no_slot) ids_[r] = uint32_t(followed_.size()), followed_.push_back(r);
         },
         ignore);
    words_ = (followed_.size() + 63) / 64;
    const size_t size = flow.next.size() * words_;
    affordable = size < size_t(1) << 24;
    if (!affordable) return;
    in_.assign(size, 0), out_ = in_, def_ = in_;
    walk(program, references, flow, count,
         [&](size_t b, uint32_t r) { set(in_, b, r); }, [&](size_t b, uint32_t r) { set(def_, b, r); });
    if (words_ > 0) spread();  // with none to follow there are no bits to point at
  }

  bool affordable = false;

  void cover(Intervals& out) const {
    for (size_t b = 0; b < flow_.next.size(); ++b) {
      const int begin = flow_.starts[b], end = flow_.starts[b + 1];
      each(in_, b, [&](size_t r) { out.cover(r, begin, begin); });
      each(out_, b, [&](size_t r) { out.cover(r, end - 1, end); });
    }
    if (!flow_.next.empty()) each(in_, 0, [&](size_t r) { out.at_entry[r] = true; });
  }

 private:
  using Bits = std::vector<uint64_t>;
  const Flow& flow_;
  std::vector<uint32_t> ids_, followed_;  // register to followed one, and back
  size_t words_ = 0;
  Bits in_, out_, def_;  // by block

  void set(Bits& bits, size_t b, uint32_t r) {
    if (ids_[r] != no_slot) bits[b * words_ + ids_[r] / 64] |= uint64_t(1) << (ids_[r] % 64);
  }

  template <class Do>
  void each(const Bits& bits, size_t b, Do act) const {
    for (size_t w = 0; w < words_; ++w)
      for (uint64_t m = bits[b * words_ + w]; m; m &= m - 1)
        act(followed_[w * 64 + size_t(__builtin_ctzll(m))]);
  }

  void spread() {
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t b = flow_.next.size(); b-- > 0;) {
        uint64_t *in = &in_[b * words_], *out = &out_[b * words_], *def = &def_[b * words_];
        for (int n : flow_.next[b])
          for (size_t w = 0; w < words_; ++w) out[w] |= in_[size_t(n) * words_ + w];
        for (size_t w = 0; w < words_; ++w) {
          const uint64_t value = in[w] | (out[w] & ~def[w]);
          changed |= value != in[w];
          in[w] = value;
        }
      }
    }
  }
};

Intervals intervals_of(Program& program, const std::vector<Reference>& references, size_t count) {
  const Flow flow = flow_of(program);
  const Liveness live(program, references, flow, count);
  const int end = int(program.code.size());
  Intervals out{std::vector<int>(count, INT32_MAX), std::vector<int>(count, -1),
                std::vector<bool>(count, !live.affordable)};
  if (live.affordable) live.cover(out);
  for (auto& reference : references) {
    const uint32_t r = *field_of(program, reference);
    if (live.affordable)
      out.cover(r, reference.inst, reference.inst + 1);
    else
      out.cover(r, 0, end);
  }
  return out;
}

size_t bytes_of(const Register& r) { return r.bytes == 1 ? 4 : size_t(r.bytes) * 32; }

// Fixed registers first, then intervals by their start; predicates in a region of their own.
struct Places {
  std::vector<uint32_t> slots;
  std::vector<size_t> moving;  // registers that are not fixed and live somewhere
  size_t fixed_end = 0, top = 0, small = 0;

  Places(const std::vector<Register>& registers, const Intervals& live)
      : slots(registers.size(), no_slot) {
    for (int wide = 16; wide >= 1; wide /= 2)
      for (size_t r = 0; r < registers.size(); ++r)
        if (registers[r].fixed && registers[r].bytes == wide) take(r, registers[r]);
    fixed_end = top = (top + 63) / 64 * 64;
    for (size_t r = 0; r < registers.size(); ++r)
      if (!registers[r].fixed && live.last[r] >= 0) moving.push_back(r);
    std::sort(moving.begin(), moving.end(),
              [&](size_t a, size_t b) { return live.first[a] < live.first[b]; });
    scan(registers, live);
    for (size_t r : moving)
      if (registers[r].bytes == 1) slots[r] += uint32_t(top);
  }

 private:
  void take(size_t r, const Register& what) {
    slots[r] = uint32_t(top);
    top += bytes_of(what);
  }

  void scan(const std::vector<Register>& registers, const Intervals& live) {
    std::array<std::vector<std::pair<int, uint32_t>>, 17> busy;  // by width: end, slot
    std::array<std::vector<uint32_t>, 17> free_slots;
    for (size_t r : moving) {
      auto& held = busy[registers[r].bytes];
      auto& idle = free_slots[registers[r].bytes];
      while (!held.empty() && held.front().first <= live.first[r]) {
        std::pop_heap(held.begin(), held.end(), std::greater<>());
        idle.push_back(held.back().second);
        held.pop_back();
      }
      if (!idle.empty()) {
        slots[r] = idle.back();
        idle.pop_back();
      } else if (registers[r].bytes == 1) {
        slots[r] = uint32_t(small);
        small += 4;
      } else {
        take(r, registers[r]);
      }
      held.push_back({live.last[r], slots[r]});
      std::push_heap(held.begin(), held.end(), std::greater<>());
    }
  }
};

// A load and its base may share an access that another instruction also names: each place is
// patched once.
void patch(Program& program, const std::vector<Reference>& references,
           const std::vector<uint32_t>& slots) {
  std::vector<bool> patched(program.accesses.size(), false);
  for (auto& reference : references) {
    if (reference.field == field_base) {
      size_t a = size_t(program.code[size_t(reference.inst)].access);
      if (patched[a]) continue;
      patched[a] = true;
    }
    uint32_t* field = field_of(program, reference);
    *field = slots[*field];
  }
}

}  // namespace

void Decoder::allocate() {
  Program& program = *out_;
  std::sort(references_.begin(), references_.end(),
            [](const Reference& a, const Reference& b) { return a.inst < b.inst; });
  const Intervals live = intervals_of(program, references_, registers_.size());
  const Places places(registers_, live);
  const std::vector<uint32_t>& slots = places.slots;
  patch(program, references_, slots);
  for (size_t r : places.moving) program.layout.push_back({slots[r], registers_[r].bytes});
  std::sort(program.layout.begin(), program.layout.end());
  program.layout.erase(std::unique(program.layout.begin(), program.layout.end()),
                       program.layout.end());
  program.fixed_bytes = places.fixed_end;
  program.register_bytes = (places.top + places.small + 63) / 64 * 64;
  if (stack_frame_ != no_slot) program.presets.push_back({slots[stack_frame_], 128, 0});
  for (size_t r = 0; r < registers_.size(); ++r)
    if (!registers_[r].fixed && slots[r] != no_slot && live.at_entry[r])
      program.presets.push_back({slots[r], uint32_t(bytes_of(registers_[r])), 0xff});
  program.initial.assign(places.fixed_end, 0);
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
}

}  // namespace ptx
