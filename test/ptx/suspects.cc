// Values that nobody wrote, on their way through a warp's registers.
// Plan: programs read ahead of what they know to be there, and throw away what they got (a merge
//   looks at the next key of a list that has ended). So a plain load of unwritten memory only makes
//   its register suspect, in the lanes concerned, and so does what is computed from it. The launch
//   ends when such a value matters: in an address, a guard, a store, an atomic, anything that is
//   followed no further. Selections, joined predicates, shuffles and matrices of mma are followed
//   lane by lane, so that what was thrown away is forgotten (rows behind the end of a tile, say).
#include <algorithm>

#include "forms.h"
#include "ops.h"
#include "shadow.h"

namespace ptx {

namespace {

uint32_t held(const Warp& w, uint32_t slot) {
  for (const Suspect& s : w.suspects)
    if (s.slot == slot) return s.lanes;
  return 0;
}

// Of the lanes `of`, those in `lanes` hold a suspect value in the slot from now on.
void hold(Warp& w, uint32_t slot, uint32_t lanes, uint32_t of) {
  if (slot == no_slot) return;
  for (size_t k = 0; k < w.suspects.size(); ++k) {
    Suspect& s = w.suspects[k];
    if (s.slot != slot) continue;
    s.lanes = (s.lanes & ~of) | lanes;
    if (!s.lanes) s = w.suspects.back(), w.suspects.pop_back();
    return;
  }
  if (lanes) w.suspects.push_back({slot, lanes});
}

[[noreturn]] void unwritten_fault(Warp& w, const Inst& at, int lane, const Unwritten& read,
                                  const std::string& use) {
  const std::string what =
      read.shared ? "reads shared memory that nothing in this block has written"
                  : "reads global memory that nothing has written: " +
                        w.block->launch->memory->describe(read.address);
  fault(w, at, lane, FaultKind::uninitialised, what + use, read.address);
}

// The instruction does something with the slot that cannot be undone.
void matters(Warp& w, const Inst& i, uint32_t slot, uint32_t lanes) {
  if (slot == no_slot || !(lanes &= held(w, slot))) return;
  int lane = first_lane(lanes);
  if (!w.unwritten[size_t(lane)].known)  // it came from another lane
    for (lane = 0; !w.unwritten[size_t(lane)].known;) ++lane;
  const Unwritten read = w.unwritten[size_t(lane)];
  const Inst& at = w.program->code[read.pc];
  const std::string name = i.form >= 0 ? " (" + w.program->forms[size_t(i.form)] + ")" : "";
  unwritten_fault(w, at, lane, read,
                  "; ptx line " + std::to_string(i.line) + name + " makes use of the value");
}

bool starts(const std::string& text, const char* with) { return !text.rfind(with, 0); }

// Lanes in which the result depends on suspect predicates: it is computed for both values of each.
uint32_t depends(Warp& w, const Inst& i, uint32_t m, uint32_t p, uint32_t q) {
  auto value = [&](uint32_t slot) { return slot == no_slot ? 0 : *w.reg<uint32_t>(slot); };
  auto set = [&](uint32_t slot, uint32_t to) {
    if (slot != no_slot) *w.reg<uint32_t>(slot) = to;
  };
  const uint32_t before = value(i.d), was_p = value(p), was_q = value(q),
                 in_p = p == no_slot ? 0 : held(w, p), in_q = q == no_slot ? 0 : held(w, q);
  uint32_t ones = 0, zeros = 0;
  for (const uint32_t flip_p : {0u, in_p})
    for (const uint32_t flip_q : {0u, in_q}) {
      set(p, was_p ^ flip_p), set(q, was_q ^ flip_q);
      i.fn(w, i, m);
      ones |= value(i.d), zeros |= ~value(i.d);
    }
  set(i.d, before), set(p, was_p), set(q, was_q);
  return ones & zeros & m;
}

// Lanes in which what the instruction computes is suspect.
uint32_t computed(Warp& w, const Inst& i, uint32_t m) {
  const std::string text = i.form >= 0 ? w.program->forms[size_t(i.form)] : std::string();
  const uint32_t a = held(w, i.a), b = held(w, i.b), c = held(w, i.c);
  if (starts(text, "and.pred") || starts(text, "or.pred")) return depends(w, i, m, i.a, i.b);
  if (starts(text, "selp")) {
    const uint32_t chosen = *w.reg<uint32_t>(i.c) ^ i.imm;
    return ((a & chosen) | (b & ~chosen) | c) & m;
  }
  if (starts(text, "setp") && i.imm & 3 && i.extra == 0) {
    const uint32_t joined = *w.reg<uint32_t>(i.c) ^ (i.imm & join_negated ? all_lanes : 0),
                   open = (i.imm & 3) == join_and  ? joined | c
                          : (i.imm & 3) == join_or ? ~joined | c
                                                   : all_lanes;
    return (((a | b) & open) | depends(w, i, m, i.c, no_slot)) & m;
  }
  uint32_t lanes = a | b | c;
  for (uint32_t k = i.defs; k < i.extra; ++k) lanes |= held(w, w.program->extra[i.x + k]);
  return lanes & m;
}

// A row of A reaches its row of D, a column of B its column, an element of C its own. Fragments as
// in matrix.cc: of A and C lane 4 g + t has rows g and g + 8, of B column g; of D columns 2 t and
// 2 t + 1.
void follow_product(Warp& w, const Inst& i) {
  const MmaShape& s = mma_shapes[i.imm & 0xffff];
  const uint32_t* slots = w.program->extra.data() + i.x;
  const uint32_t d_count = i.defs, bands = uint32_t(s.m) / 8,
                 wide = uint32_t(std::max(1, 32 / element_bits(s.a))) * 32,
                 a_count = uint32_t(s.m * s.k) / wide,
                 b_count = std::max(1u, uint32_t(8 * s.k) / wide);
  auto groups = [](uint32_t lanes) {  // bit g: some lane of 4 g .. 4 g + 3
    uint32_t out = 0;
    for (uint32_t g = 0; g < 8; ++g) out |= uint32_t((lanes >> 4 * g & 15) != 0) << g;
    return out;
  };
  uint32_t rows[2] = {}, columns = 0, made[8];
  for (uint32_t k = 0; k < a_count; ++k) rows[k % bands] |= groups(held(w, slots[d_count + k]));
  for (uint32_t k = 0; k < b_count; ++k) columns |= groups(held(w, slots[d_count + a_count + k]));
  const bool pairs = s.d == Ty::f16;  // two columns a register
  for (uint32_t k = 0; k < d_count; ++k) {
    made[k] = held(w, slots[d_count + a_count + b_count + k]);
    for (uint32_t g = 0; g < 8; ++g) {
      if (rows[pairs ? k : k / 2] >> g & 1) made[k] |= 15u << 4 * g;
      if (columns >> g & 1 && (pairs || k % 2 == g % 2)) made[k] |= 0x11111111u << g / 2;
    }
  }
  for (uint32_t k = 0; k < d_count; ++k) hold(w, slots[k], made[k], all_lanes);
}

// The same shuffle, of the marks.
uint32_t shuffled(Warp& w, const Inst& i, uint32_t m) {
  matters(w, i, i.b, m), matters(w, i, i.c, m);
  const uint32_t from = held(w, i.a), p = w.program->extra[i.x],
                 before_p = p == no_slot ? 0 : *w.reg<uint32_t>(p);
  uint32_t *a = w.reg<uint32_t>(i.a), *d = w.reg<uint32_t>(i.d), a_was[32], d_was[32], lanes = 0;
  memcpy(a_was, a, sizeof a_was), memcpy(d_was, d, sizeof d_was);
  for (int l = 0; l < 32; ++l) a[l] = (from >> l) & 1;
  shuffle(w, i, m);
  for (int l = 0; l < 32; ++l) lanes |= (d[l] & 1) << l;
  memcpy(d, d_was, sizeof d_was), memcpy(a, a_was, sizeof a_was);
  if (p != no_slot) *w.reg<uint32_t>(p) = before_p;
  return lanes & m;
}

// Row r of ldmatrix: lanes 4 g .. 4 g + 3 get row g, or transposed rows 2 t and 2 t + 1 for lane
// 4 g + t.
void unwritten_row(Warp& w, const Inst& i, uint32_t r) {
  const uint32_t slot = w.program->extra[i.x + r / 8],
                 lanes = i.imm & 256 ? 0x11111111u << r % 8 / 2 : 15u << 4 * (r % 8);
  hold(w, slot, held(w, slot) | lanes, lanes);
}

bool computes(const Inst& i) {
  return i.kind == Kind::plain && i.access < 0 &&
         (i.cls <= Class::predicate || i.fn == frame_address);
}

}  // namespace

void read_unwritten(Warp& w, const Inst& i, const Access& access, int lane, uint32_t offset,
                    uint32_t bytes, uint64_t address, bool shared) {
  const Unwritten read = {true, shared, w.worker->pc, address};
  if (i.fn != load && i.fn != load_matrix) unwritten_fault(w, i, lane, read, "");
  w.unwritten.resize(32);
  w.unwritten[size_t(lane)] = read;
  if (i.fn == load_matrix) return unwritten_row(w, i, uint32_t(lane));
  for (uint32_t k = offset / access.bytes; k <= (offset + bytes - 1) / access.bytes; ++k) {
    const uint32_t slot = i.extra ? w.program->extra[i.x + k] : i.d;
    if (slot != no_slot) hold(w, slot, held(w, slot) | 1u << lane, 1u << lane);
  }
}

void follow_suspects(Warp& w, const Inst& i, uint32_t m, uint32_t all) {
  matters(w, i, i.guard, all);
  if (!m) return;
  if (i.kind == Kind::exit) {
    for (size_t k = w.suspects.size(); k-- > 0;) hold(w, w.suspects[k].slot, 0, m);
    return;
  }
  if (i.kind == Kind::call || i.kind == Kind::ret) return w.suspects.clear();  // registers move
  matters(w, i, i.sync, m);
  if (i.access >= 0) matters(w, i, w.program->accesses[size_t(i.access)].base, m);
  if (i.fn == multiply_matrix) return follow_product(w, i);
  uint32_t lanes = 0;
  if (i.fn == shuffle) {
    lanes = shuffled(w, i, m);
  } else if (computes(i)) {
    lanes = computed(w, i, m);
  } else if (i.fn != load && i.fn != load_matrix) {
    for (const uint32_t slot : {i.a, i.b, i.c}) matters(w, i, slot, m);
    for (uint32_t k = i.defs; k < i.extra; ++k) matters(w, i, w.program->extra[i.x + k], m);
  }
  hold(w, i.d, lanes, m);
  for (uint32_t k = 0; k < i.defs; ++k) hold(w, w.program->extra[i.x + k], lanes, m);
}

}  // namespace ptx
