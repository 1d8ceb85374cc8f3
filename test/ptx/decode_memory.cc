// Decoding of moves, loads, stores, atomics, address conversions and fences.
#include <algorithm>

#include "decode.h"

namespace ptx {

// mov: registers, literals, addresses, and the packing and unpacking of vectors.
void Decoder::move(const std::string& opcode) {
  expect_operands(2, 2);
  const Operand &to = operand(0), &from = operand(1);
  if (to.kind != Operand::list && from.kind != Operand::list) {
    if (!table_form(opcode)) refuse("unknown type");
    return;
  }
  Ty type = type_of(opcode.substr(4));
  const bool unpacks = to.kind == Operand::list;
  const auto& parts = unpacks ? to.items : from.items;
  int bytes = type_bytes(type);
  int part = parts.empty() ? 0 : bytes / int(parts.size());
  const std::string key = std::string(unpacks ? "%unpack." : "%pack.") + std::to_string(bytes * 8) +
                          "." + std::to_string(part * 8);
  auto found = forms().find(key);
  if (found == forms().end() || part * int(parts.size()) != bytes)
    refuse("this packing is not supported");
  Ty part_type = part == 2 ? Ty::b16 : part == 4 ? Ty::b32 : Ty::b64;
  std::vector<uint32_t> slots;
  for (auto& item : parts)
    slots.push_back(unpacks ? write(item, part_type) : read(item, part_type));
  Inst inst = start(found->second.fn, Class::move);
  if (unpacks)
    inst.a = read(from, type);
  else
    inst.d = write_any(to, type);
  extras(inst, slots);
  extra_references(emit(inst), unpacks ? int(slots.size()) : 0);
}

Space Decoder::take_space(Modifiers& mods, Access* access) const {
  if (mods.take("global")) return Space::global;
  if (mods.take("shared") || mods.take("shared::cta")) return Space::shared;
  if (mods.take("shared::cluster")) {
    out_->uses_cluster = true;
    access->cluster = true;
    return Space::shared;
  }
  if (mods.take("local")) return Space::local;
  if (mods.take("param") || mods.take("param::entry") || mods.take("param::func"))
    return Space::param;
  if (mods.take("const")) return Space::constant;
  return Space::generic;
}

// Caches and prefetching: no effect on results.
void Decoder::take_hints(Modifiers& mods) const {
  mods.take_any({"ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  mods.take_any({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last",
                 "L1::no_allocate"});
  mods.take_any({"L2::evict_normal", "L2::evict_first", "L2::evict_last"});
  mods.take_any({"L2::64B", "L2::128B", "L2::256B"});
}

static void note_store(Program& program, const Access& access) {
  int bytes = access.bytes * access.count, shift = bytes == 1 ? 0 : bytes == 2 ? 1 : 2;
  if (access.space == Space::shared || access.space == Space::generic)
    program.shared_shift = std::min(program.shared_shift, shift);
  if (access.space == Space::global || access.space == Space::generic)
    program.global_shift = std::min(program.global_shift, shift);
}

// ld and st in all their widths, spaces and orders.
void Decoder::memory(Modifiers& mods) {
  const bool loads = mods.base() != "st";
  Access access;
  int order = mods.take_any({"weak", "volatile", "relaxed", "acquire", "release", "mmio"});
  access.strong = order >= 1;
  access.acquire =
      order == 1 || order == 3 || order == 2;  // a relaxed spin followed by a fence counts as one
  access.release = order == 1 || order == 4;
  mods.take_any({"cta", "cluster", "gpu", "sys"});
  access.space = take_space(mods, &access);
  access.read_only = mods.take("nc") || mods.base() == "ldu";
  take_hints(mods);
  const bool policy = mods.take("L2::cache_hint");
  mods.take("unified");
  int vector = mods.take_any({"v2", "v4", "v8"});
  access.count = uint8_t(vector < 0 ? 1 : 2 << vector);
  access.type = mods.take_type();
  if (access.type == Ty::none || access.type == Ty::pred || access.type >= Ty::tf32)
    refuse("expected a type");
  access.bytes = uint8_t(type_bytes(access.type));
  if (access.bytes * access.count > 32) refuse("expected at most 32 bytes a lane");
  expect_operands(2, policy ? 3 : 2);
  const Operand& values = operand(loads ? 0 : 1);
  if ((vector >= 0) != (values.kind == Operand::list) ||
      (vector >= 0 && values.items.size() != access.count))
    wrong("expected " + std::to_string(access.count) + " values");
  Inst inst = start(loads ? load : store, Class::other);
  std::vector<uint32_t> slots;
  auto bind = [&](const Operand& value) {
    slots.push_back(loads ? (vector < 0 ? write_any(value, access.type) : write(value, access.type))
                          : read(value, access.type));
  };
  if (vector < 0)
    bind(values);
  else
    for (auto& item : values.items) bind(item);
  inst.access = address(operand(loads ? 1 : 0), access);
  Access& bound = out_->accesses[size_t(inst.access)];
  if (!loads) note_store(*out_, bound);
  switch (bound.space) {
    case Space::shared:
      inst.cls = loads ? Class::load_shared : Class::store_shared;
      break;
    case Space::local:
      inst.cls = Class::local;
      break;
    case Space::param:
    case Space::constant:
      inst.cls = Class::parameter;
      break;
    default:
      inst.cls = loads ? Class::load_global : Class::store_global;
  }
  if (vector < 0)
    (loads ? inst.d : inst.a) = slots[0];
  else
    extras(inst, slots);
  extra_references(emit(inst), loads ? int(slots.size()) : 0);
}

void Decoder::atomics(Modifiers& mods) {
  const bool returns = mods.base() == "atom";
  Access access;
  int order = mods.take_any({"relaxed", "acquire", "release", "acq_rel"});
  access.acquire = order < 0 || order == 1 || order == 3 || order == 0;
  access.release = order < 0 || order == 2 || order == 3 || order == 0;
  access.strong = true;
  mods.take_any({"cta", "cluster", "gpu", "sys"});
  access.space = take_space(mods, &access);
  if (access.space != Space::generic && access.space != Space::global &&
      access.space != Space::shared)
    refuse("expected global or shared memory");
  const bool policy = mods.take("L2::cache_hint");
  int op = mods.take_any({"add", "and", "or", "xor", "exch", "cas", "inc", "dec", "min", "max"});
  if (op < 0) refuse("expected an operation");
  int vector = mods.take_any({"v2", "v4", "v8"});
  access.count = uint8_t(vector < 0 ? 1 : 2 << vector);
  access.type = mods.take_type();
  access.bytes = uint8_t(type_bytes(access.type));
  const bool half = access.type >= Ty::f16 && access.type <= Ty::bf16x2;
  if (mods.take("noftz") != half) refuse("expected .noftz with half types, and only there");
  if (access.bytes < 2 || access.bytes > 8 || access.type == Ty::pred) refuse("unknown type");
  const bool real = is_float(access.type);
  if (real && op != op_add && !(half && (op == op_min || op == op_max)))
    refuse("unknown operation on this type");
  if (!real && access.bytes == 2 && op != op_cas) refuse("unknown type");
  if (vector >= 0 && !real) refuse("vectors are of floating-point types");
  if ((op == op_inc || op == op_dec) && access.type != Ty::u32) refuse("expected .u32");
  if ((op == op_add || op == op_min || op == op_max) && !real && access.type >= Ty::b8 &&
      access.type <= Ty::b128)
    refuse("expected an arithmetic type");
  if (op == op_add && access.type == Ty::s64) refuse("addition of 64 bits takes .u64");
  const size_t first = returns ? 1 : 0, sources = op == op_cas ? 2 : 1;
  expect_operands(first + 1 + sources, first + 1 + sources + (policy ? 1 : 0));
  Inst inst = start(atomic, Class::atomic);
  inst.imm = uint32_t(op);
  out_->uses_fences |= order >= 1;
  std::vector<uint32_t> slots;
  int defs = 0;
  if (vector < 0) {
    inst.a = read(operand(first + 1), access.type);
    if (op == op_cas) inst.b = read(operand(first + 2), access.type);
    if (returns) inst.d = write(operand(0), access.type);
  } else {
    const Operand& values = operand(first + 1);
    if (values.items.size() != access.count || (returns && operand(0).items.size() != access.count))
      wrong("expected vectors");
    for (size_t k = 0; k < access.count; ++k)
      slots.push_back(returns ? write(operand(0).items[k], access.type) : no_slot);
    for (auto& item : values.items) slots.push_back(read(item, access.type));
    defs = access.count;
    extras(inst, slots);
  }
  inst.access = address(operand(first), access);
  note_store(*out_, out_->accesses[size_t(inst.access)]);
  extra_references(emit(inst), defs);
}

// A plain load of the word on which a compare-and-swap loop works may see a stale value: the loop
// corrects it.
void Decoder::mark_seeds() {
  // nvcc adds a constant now in the access, now in a register of its own.
  std::map<uint32_t, uint64_t> values;
  for (auto& [key, slot] : constants_)
    if (key.second == 8) values[slot] = key.first;
  std::map<uint32_t, std::pair<uint32_t, uint64_t>> sums;
  for (auto& inst : out_->code) {
    const std::string text = inst.form < 0 ? "" : out_->forms[size_t(inst.form)];
    auto value = values.find(inst.b);
    if ((text == "add.s64" || text == "add.u64") && value != values.end() && inst.d != inst.a)
      sums[inst.d] = {inst.a, value->second};
  }
  auto place = [&](const Access& access) {
    std::pair<uint32_t, uint64_t> at = {access.base, uint64_t(access.offset)};
    auto sum = sums.find(at.first);
    if (sum != sums.end()) at = {sum->second.first, at.second + sum->second.second};
    return at;
  };
  std::set<std::pair<uint32_t, uint64_t>> swapped;
  for (auto& inst : out_->code)
    if (inst.fn == atomic && inst.imm == op_cas)
      swapped.insert(place(out_->accesses[size_t(inst.access)]));
  for (auto& inst : out_->code) {
    if (inst.fn != load) continue;
    Access& access = out_->accesses[size_t(inst.access)];
    access.seed = access.base != no_slot && swapped.count(place(access));
  }
}

void Decoder::addresses(Modifiers& mods) {
  const std::string& base = mods.base();
  Access unused;
  if (base == "cvta") {
    const bool to = mods.take("to");
    Space space = take_space(mods, &unused);
    Ty type = mods.take_type();
    if (type != Ty::u64) refuse("expected 64-bit addresses");
    if (space == Space::generic) refuse("expected a state space");
    expect_operands(2, 2);
    uint64_t window = space == Space::shared  ? shared_window
                      : space == Space::local ? local_window
                      : space == Space::param ? param_window
                                              : 0;
    Inst inst = start(forms()
                          .at(!window ? "mov.u64"
                              : to    ? "sub.u64"
                                      : "add.u64")
                          .fn,
                      Class::integer);
    inst.a = read(operand(1), Ty::u64);
    if (window) inst.b = constant(window, 8);
    inst.d = write_any(operand(0), Ty::u64);
    // A device function's parameters are local here.
    if (space == Space::param && operand(1).variable >= 0 &&
        frame_->places[size_t(operand(1).variable)].space == Space::local)
      inst.b = constant(local_window, 8);
    emit(inst);
    return;
  }
  if (base == "isspacep") {
    Inst inst = start(is_space, Class::predicate);
    Space space = take_space(mods, &unused);
    if (space == Space::generic) refuse("expected a state space");
    expect_operands(2, 2);
    inst.imm = uint32_t(space) | (unused.cluster ? 16 : 0);
    inst.a = read(operand(1), Ty::u64);
    inst.d = write(operand(0), Ty::pred);
    emit(inst);
    return;
  }
  const bool shared = take_space(mods, &unused) == Space::shared;
  Ty type = mods.take_type();
  if (type != Ty::u32 && type != Ty::u64) refuse("expected .u32 or .u64");
  out_->uses_cluster = true;
  Inst inst = start(base == "mapa" ? map_shared_rank : shared_rank, Class::integer);
  inst.imm = (shared ? 0 : 1) | (type == Ty::u64 ? 2 : 0);
  inst.a = read(operand(1), type);
  if (base == "mapa") {
    expect_operands(3, 3);
    inst.b = read(operand(2), Ty::u32);
    inst.d = write_any(operand(0), type);
  } else {
    expect_operands(2, 2);
    inst.d = write_any(operand(0), Ty::u32);
  }
  emit(inst);
}

// Fences, and the instructions that only advise caches.
void Decoder::fences(Modifiers& mods) {
  const std::string& base = mods.base();
  Inst inst = start(nothing, Class::control);
  if (base == "membar" || base == "fence") {
    mods.take_any({"sc", "acq_rel", "acquire", "release"});
    if (mods.take("proxy")) {
      if (mods.take_any(
              {"alias", "async", "async::generic", "async.global", "tensormap::generic"}) < 0)
        refuse("unknown proxy");
      mods.take_any({"global", "shared::cta", "shared::cluster"});
    } else if (mods.take("mbarrier_init")) {
      mods.take("release");
    } else {
      inst.fn = fence;
      out_->uses_fences = true;
    }
    int scope = mods.take_any({"cta", "gl", "gpu", "sys", "cluster"});
    inst.imm = scope >= 1 ? 1 : 0;
    if (operand_count()) refuse("expected no operands");
  } else if (base == "createpolicy") {
    mods.take_any({"fractional", "range"}), mods.take("global"), mods.take("cvt");
    for (const char* hint :
         {"L2::evict_last", "L2::evict_normal", "L2::evict_first", "L2::evict_unchanged", "L2"})
      mods.take(hint);
    if (mods.take_type() != Ty::b64) refuse("expected .b64");
    inst.fn = forms().at("mov.b64").fn;
    inst.a = constant(0, 8);
    inst.d = write_any(operand(0), Ty::b64);
  } else {  // prefetch, prefetchu, discard, applypriority
    Access unused;
    take_space(mods, &unused);
    if (mods.take_any({"L1", "L2", "L2::evict_last", "L2::evict_normal"}) < 0)
      refuse("expected a cache level");
    mods.take_any({"L2::evict_last", "L2::evict_normal"}), mods.take("tensormap");
    if (base == "discard") refuse("discard is not supported");
  }
  emit(inst);
}

}  // namespace ptx
