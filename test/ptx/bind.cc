// Operands to slots. Until allocate.cc has run, a slot is a register number.
#include <cmath>

#include "decode.h"

namespace ptx {

Modifiers::Modifiers(const std::string& opcode) {
  size_t at = 0;
  while (at <= opcode.size()) {
    size_t dot = opcode.find('.', at);
    if (dot == std::string::npos) dot = opcode.size();
    parts_.push_back(opcode.substr(at, dot - at));
    at = dot + 1;
  }
  used_.assign(parts_.size(), false);
  used_[0] = true;
}

bool Modifiers::take(const char* text) {
  for (size_t i = 1; i < parts_.size(); ++i) {
    if (!used_[i] && parts_[i] == text) return used_[i] = true;
  }
  return false;
}

int Modifiers::take_any(const std::vector<const char*>& list) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (take(list[i])) return int(i);
  }
  return -1;
}

Ty Modifiers::take_type() {
  for (size_t i = 1; i < parts_.size(); ++i) {
    Ty type = used_[i] ? Ty::none : type_of(parts_[i]);
    if (type != Ty::none) return used_[i] = true, type;
  }
  return Ty::none;
}

bool Modifiers::empty() const {
  for (bool used : used_)
    if (!used) return false;
  return true;
}

std::string Modifiers::rest() const {
  std::string out;
  for (size_t i = 0; i < parts_.size(); ++i)
    if (!used_[i]) out += "." + parts_[i];
  return out;
}

void Decoder::refuse(const std::string& why) const {
  throw SyntaxError(statement_->line, why, statement_->opcode, true);
}

void Decoder::wrong(const std::string& why) const {
  throw SyntaxError(statement_->line, why, statement_->opcode);
}

// A slot's size: 8-bit values live in 16-bit registers.
// Predicates, masks of 32 bits for the warp, are marked by 1.
int slot_bytes(Ty type) {
  return type == Ty::pred ? 1 : type_bytes(type) == 1 ? 2 : type_bytes(type);
}

uint32_t Decoder::make_register(int bytes) {
  registers_.push_back({uint8_t(bytes), false});
  return uint32_t(registers_.size() - 1);
}

uint32_t Decoder::constant(uint64_t bits, int bytes) {
  if (bytes == 2) bits &= 0xffff;
  if (bytes == 4) bits &= 0xffffffffu;
  auto added = constants_.emplace(std::make_pair(bits, bytes), 0);
  if (added.second) {
    added.first->second = make_register(bytes);
    registers_.back().fixed = true;
  }
  return added.first->second;
}

static int special_index(const std::string& name) {
  static const auto& names = *new const std::unordered_map<std::string, int>{
      {"%tid.x", tid_x},
      {"%tid.y", tid_y},
      {"%tid.z", tid_z},
      {"%ntid.x", ntid_x},
      {"%ntid.y", ntid_y},
      {"%ntid.z", ntid_z},
      {"%ctaid.x", ctaid_x},
      {"%ctaid.y", ctaid_y},
      {"%ctaid.z", ctaid_z},
      {"%nctaid.x", nctaid_x},
      {"%nctaid.y", nctaid_y},
      {"%nctaid.z", nctaid_z},
      {"%laneid", laneid},
      {"%warpid", warpid},
      {"%nwarpid", nwarpid},
      {"%smid", smid},
      {"%nsmid", nsmid},
      {"%gridid", gridid},
      {"%lanemask_eq", lanemask_eq},
      {"%lanemask_lt", lanemask_lt},
      {"%lanemask_le", lanemask_le},
      {"%lanemask_gt", lanemask_gt},
      {"%lanemask_ge", lanemask_ge},
      {"%dynamic_smem_size", dynamic_smem},
      {"%total_smem_size", total_smem},
      {"%aggr_smem_size", total_smem},
      {"%reserved_smem_offset_begin", reserved_smem_begin},
      {"%reserved_smem_offset_end", reserved_smem_end},
      {"%reserved_smem_offset_cap", reserved_smem_bytes},
      {"%reserved_smem_offset_0", reserved_smem_begin},
      {"%reserved_smem_offset_1", reserved_smem_begin},
      {"%cluster_ctaid.x", cluster_ctaid_x},
      {"%cluster_ctaid.y", cluster_ctaid_y},
      {"%cluster_ctaid.z", cluster_ctaid_z},
      {"%cluster_nctaid.x", cluster_nctaid_x},
      {"%cluster_nctaid.y", cluster_nctaid_y},
      {"%cluster_nctaid.z", cluster_nctaid_z},
      {"%clusterid.x", clusterid_x},
      {"%clusterid.y", clusterid_y},
      {"%clusterid.z", clusterid_z},
      {"%nclusterid.x", nclusterid_x},
      {"%nclusterid.y", nclusterid_y},
      {"%nclusterid.z", nclusterid_z},
      {"%cluster_ctarank", cluster_ctarank},
      {"%cluster_nctarank", cluster_nctarank},
      {"%is_explicit_cluster", is_explicit_cluster},
      {"%envreg1", workspace_hi},
      {"%envreg2", workspace_lo},
      {"%tid.w", zero_special},
      {"%ntid.w", zero_special},
      {"%clock", clock_special},
      {"%clock_hi", clock_hi_special},
      {"%clock64", clock64_special},
      {"%globaltimer", timer_special},
      {"%globaltimer_lo", timer_lo_special},
      {"%globaltimer_hi", timer_hi_special}};
  auto found = names.find(name);
  return found == names.end() ? -1 : found->second;
}

uint32_t Decoder::special(const std::string& name, int bytes) {
  int index = special_index(name);
  if (index < 0) refuse("unknown register or special register " + name);
  if (index >= reserved_smem_begin && index <= reserved_smem_bytes)
    out_->uses_reserved_shared = true;
  if (index == workspace_lo || index == workspace_hi) out_->uses_grid_workspace = true;
  int native = index == clock64_special || index == timer_special ? 8 : 4;
  if (bytes == 8 && native == 4) bytes = 4 + 4;  // zero-extended fill
  if (index >= clock_special) {                  // read when executed
    uint32_t slot = make_register(native);
    Inst inst = start(read_clock, Class::move);
    inst.d = slot;
    inst.imm = uint32_t(index);
    emit(inst);
    if (native == bytes) return slot;
    refuse("expected a register of the special register's width for " + name);
  }
  auto added = specials_.emplace(std::make_pair(index, bytes), 0);
  if (added.second) {
    added.first->second = make_register(bytes);
    registers_.back().fixed = true;
  }
  return added.first->second;
}

// The bits of a literal as an operand of this type.
uint64_t Decoder::literal(const Operand& operand, Ty type) const {
  if (operand.kind == Operand::integer) {
    if (type == Ty::f64 && operand.bits < 4096) {  // rare: an integer where a real is due
      double value = double(int64_t(operand.bits));
      uint64_t bits;
      memcpy(&bits, &value, 8);
      return bits;
    }
    return operand.bits;
  }
  if (operand.literal == Ty::f64 && (type == Ty::f32)) {
    double wide;
    memcpy(&wide, &operand.bits, 8);
    float narrow = float(wide);
    uint32_t bits;
    memcpy(&bits, &narrow, 4);
    return bits;
  }
  if (operand.literal == Ty::f32 && type == Ty::f64) {
    uint32_t bits = uint32_t(operand.bits);
    float narrow;
    memcpy(&narrow, &bits, 4);
    double wide = double(narrow);
    uint64_t out;
    memcpy(&out, &wide, 8);
    return out;
  }
  return operand.bits;
}

uint64_t Decoder::immediate(const Operand& operand) const {
  if (operand.kind != Operand::integer) wrong("expected an integer constant");
  return operand.bits;
}

bool Decoder::symbol_place(const Operand& operand, Place* out) const {
  if (operand.variable >= 0) {
    *out = frame_->places[size_t(operand.variable)];
    return out->known;
  }
  auto global = symbols_.addresses.find(operand.name);
  if (global != symbols_.addresses.end()) {
    *out = {Space::global, global->second, true};
    return true;
  }
  auto index = syntax_.variable_index.find(operand.name);
  if (index == syntax_.variable_index.end()) return false;
  auto shared = shared_.find(&syntax_.variables[size_t(index->second)]);
  if (shared == shared_.end()) return false;
  *out = {Space::shared, shared->second, true};
  return true;
}

uint32_t Decoder::read(const Operand& operand, Ty type, bool exact) {
  int bytes = slot_bytes(type);
  switch (operand.kind) {
    case Operand::in_register: {
      uint32_t slot = uint32_t(frame_->first_register + operand.reg);
      int have = registers_[slot].bytes;
      bool mask = frame_->function->registers[size_t(operand.reg)].type == Ty::pred;
      if (mask != (type == Ty::pred))
        wrong("a predicate where a value is expected, or the reverse");
      if (have == bytes) return slot;
      if (have < bytes || exact)
        wrong("a register of " + std::to_string(have * 8) + " bits as an operand of " +
              std::to_string(bytes * 8) + " bits");
      uint32_t narrow = make_register(bytes);
      if (have == 16) wrong("a register of 128 bits as a narrower operand");
      const char* from = have == 8 ? ".u64" : ".u32";
      const char* to = bytes == 4 ? "cvt.u32" : "cvt.u16";
      Inst inst = start(forms().at(std::string(to) + from).fn, Class::move);
      inst.counted = false;
      inst.d = narrow;
      inst.a = slot;
      emit(inst);
      return narrow;
    }
    case Operand::integer:
    case Operand::real:
      if (type == Ty::pred) return constant(operand.bits ? ~uint64_t(0) : 0, 1);
      return constant(literal(operand, type), bytes);
    case Operand::special:
      if (operand.name == "%pt" || operand.name == "%pf")
        return constant(operand.name == "%pt" ? ~uint64_t(0) : 0, 1);
      return special(operand.name, bytes);
    case Operand::symbol: {
      Place place;
      if (!symbol_place(operand, &place)) wrong("unknown name " + operand.name);
      if (bytes < 4) wrong("an address as an operand of 16 bits");
      if (!place.framed) return constant(place.offset + operand.bits, bytes);
      Inst inst = start(frame_address, Class::move);
      inst.counted = false;
      inst.d = make_register(bytes);
      inst.a = stack_frame();
      inst.b = constant(place.offset + operand.bits, 4);
      inst.imm = uint32_t(bytes);
      emit(inst);
      return inst.d;
    }
    default:
      wrong("expected a register or a constant");
  }
}

// A destination wider than its type gets the value extended afterwards, by finish_widening.
uint32_t Decoder::write(const Operand& operand, Ty type, bool exact) {
  if (operand.kind == Operand::sink) return no_slot;
  if (operand.kind != Operand::in_register) wrong("expected a register as the destination");
  uint32_t slot = uint32_t(frame_->first_register + operand.reg);
  bool mask = frame_->function->registers[size_t(operand.reg)].type == Ty::pred;
  if (mask != (type == Ty::pred)) wrong("a predicate where a value is expected, or the reverse");
  int have = registers_[slot].bytes, bytes = slot_bytes(type);
  if (have == bytes) return slot;
  if (have < bytes || exact || have == 16)
    wrong("a destination of " + std::to_string(have * 8) + " bits for a result of " +
          std::to_string(bytes * 8) + " bits");
  uint32_t narrow = make_register(bytes);
  widen_.push_back({slot, narrow, type});
  return narrow;
}

uint32_t Decoder::write_any(const Operand& operand, Ty type, bool exact) {
  return operand.kind == Operand::sink ? make_register(slot_bytes(type))
                                       : write(operand, type, exact);
}

void Decoder::finish_widening() {
  std::vector<Widen> list;
  list.swap(widen_);
  for (auto& item : list) {
    const char* from = slot_bytes(item.type) == 2 ? (is_signed(item.type) ? ".s16" : ".u16")
                       : is_signed(item.type)     ? ".s32"
                                                  : ".u32";
    const char* to = registers_[item.wide].bytes == 8 ? "cvt.u64" : "cvt.u32";
    Inst inst = start(forms().at(std::string(to) + from).fn, Class::move);
    inst.counted = false;
    inst.d = item.wide;
    inst.a = item.narrow;
    emit(inst);
  }
}

uint32_t Decoder::predicate(const Operand& operand, bool* negated) {
  *negated = operand.negated;
  if (operand.kind == Operand::sink) return no_slot;
  return read(operand, Ty::pred);
}

// Binds [base + offset] to an access; a symbol also settles a generic access's space.
int Decoder::address(const Operand& operand, Access access) {
  if (operand.kind != Operand::address) wrong("expected an address");
  access.offset = int64_t(operand.bits);
  if (operand.reg >= 0) {
    access.base = uint32_t(frame_->first_register + operand.reg);
    int bytes = registers_[access.base].bytes;
    if (bytes != 8 && bytes != 4)
      wrong("an address register of " + std::to_string(bytes * 8) + " bits");
    access.wide = bytes == 8;
  } else if (operand.variable >= 0 || !operand.name.empty()) {
    Place place;
    if (!symbol_place(operand, &place)) wrong("unknown name " + operand.name);
    access.offset += int64_t(place.offset);
    if (place.framed) {
      access.base = stack_frame();
      access.wide = false;
    }
    if (access.space == Space::generic || access.space == Space::param)
      access.space = place.space;
    else if (access.space == Space::constant ? place.space != Space::global
                                             : access.space != place.space)
      wrong(operand.name + " is not in the state space of the access");
  }
  out_->accesses.push_back(access);
  return int(out_->accesses.size()) - 1;
}

const Operand& Decoder::operand(size_t index) const {
  if (index >= statement_->operands.size()) wrong("an operand is missing");
  return statement_->operands[index];
}

void Decoder::expect_operands(size_t least, size_t most) const {
  size_t count = statement_->operands.size();
  if (count < least || count > most)
    wrong("expected " + std::to_string(least) + " operands, found " + std::to_string(count));
}

Inst Decoder::start(Fn fn, Class cls) {
  Inst inst;
  inst.fn = fn;
  inst.cls = cls;
  inst.line = statement_->line;
  inst.location = statement_->location;
  auto added = form_index_.emplace(statement_->opcode, int(out_->forms.size()));
  if (added.second) out_->forms.push_back(statement_->opcode);
  inst.form = added.first->second;
  inst.counted = counted_;
  inst.guard = guard_;
  inst.guard_negated = guard_negated_;
  return inst;
}

int Decoder::emit(Inst inst) {
  int at = int(out_->code.size());
  if (at > 4000000) wrong("the program is too large once its calls are expanded");
  bool stores = false;
  auto note = [&](uint32_t slot, uint8_t field, bool def) {
    if (slot != no_slot) references_.push_back({at, field, def});
  };
  note(inst.d, field_d, !stores);
  note(inst.a, field_a, false);
  note(inst.b, field_b, false);
  note(inst.c, field_c, false);
  note(inst.guard, field_guard, false);
  note(inst.sync, field_sync, false);
  if (inst.access >= 0) note(out_->accesses[size_t(inst.access)].base, field_base, false);
  out_->code.push_back(inst);
  return at;
}

void Decoder::extras(Inst& inst, const std::vector<uint32_t>& slots) {
  inst.x = uint32_t(out_->extra.size());
  inst.extra = uint32_t(slots.size());
  out_->extra.insert(out_->extra.end(), slots.begin(), slots.end());
}

// The first `defs` extras are destinations, the rest sources.
void Decoder::extra_references(int at, int defs) {
  Inst& inst = out_->code[size_t(at)];
  inst.defs = uint8_t(std::min<uint32_t>(uint32_t(defs), inst.extra));
  for (uint32_t k = 0; k < inst.extra; ++k) {
    if (out_->extra[inst.x + k] != no_slot)
      references_.push_back({at, uint8_t(field_extra + k), int(k) < defs});
  }
}

}  // namespace ptx
