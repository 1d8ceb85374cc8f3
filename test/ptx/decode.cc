// The decoder's main line: functions, statements, forms from the table, control flow and calls.
#include "decode.h"

#include <algorithm>

namespace ptx {

std::shared_ptr<Program> Decoder::run(const Function& entry, KernelInfo& info) {
  out_ = std::make_shared<Program>();
  info_ = &info;
  out_->name = entry.name;
  out_->locations = syntax_.locations;
  out_->files = syntax_.files;
  std::set<const Function*> seen;
  place_shared(entry, seen);
  size_t align = out_->shared_alignment;
  info.static_shared = out_->static_shared;
  for (auto& [variable, offset] : shared_) {  // dynamic shared memory starts after the static part
    if (variable->external) shared_[variable] = (out_->static_shared + align - 1) / align * align;
  }
  Frame frame{&entry, 0, {}, {}, {}, {}, nullptr};
  body(frame);
  finish_root(Kind::exit, 0);
  info.local_bytes = out_->local_bytes + callees();
  info.instructions = out_->code.size();
  mark_seeds();
  allocate();
  return out_;
}

// Static shared variables of the kernel and of whatever it calls, in the order of the text.
void Decoder::place_shared(const Function& function, std::set<const Function*>& seen) {
  if (!seen.insert(&function).second) return;
  auto place = [&](const VariableDecl& variable) {
    if (variable.space != Space::shared || shared_.count(&variable)) return;
    if (variable.external) {
      out_->shared_alignment = std::max(out_->shared_alignment, variable.alignment);
      shared_[&variable] = 0;
      return;
    }
    size_t at = round_up(out_->static_shared, variable.alignment);
    shared_[&variable] = at;
    out_->static_shared = at + variable.bytes;
  };
  for (auto& variable : function.variables) place(variable);
  auto visit = [&](auto&& self, const Operand& operand) -> void {
    for (auto& item : operand.items) self(self, item);
    if (operand.variable >= 0 || operand.name.empty()) return;
    auto index = syntax_.variable_index.find(operand.name);
    if (index != syntax_.variable_index.end()) place(syntax_.variables[size_t(index->second)]);
    auto callee = syntax_.by_name.find(operand.name);
    if (callee != syntax_.by_name.end()) place_shared(*callee->second, seen);
  };
  for (auto& statement : function.body) {
    for (auto& operand : statement.operands) visit(visit, operand);
    if (is_indirect_call(statement))
      for (const Function* target : symbols_.taken) place_shared(*target, seen);
  }
}

// Entry parameters live in the parameter buffer; everything else that is no shared variable is
// local to a lane.
void Decoder::place_variables(Frame& frame) {
  const Function& function = *frame.function;
  frame.places.resize(function.variables.size());
  for (size_t i = 0; i < function.variables.size(); ++i) {
    const VariableDecl& variable = function.variables[i];
    Place& place = frame.places[i];
    if (place.known) continue;  // a parameter, bound by the call
    bool parameter = function.entry &&
                     std::count(function.parameters.begin(), function.parameters.end(), int(i));
    if (parameter) {
      size_t at = round_up(info_->parameter_bytes, variable.alignment);
      info_->parameters.push_back({variable.name, at, variable.bytes, variable.alignment});
      info_->parameter_bytes = at + variable.bytes;
      place = {Space::param, at, true};
    } else if (variable.space == Space::shared) {
      place = {Space::shared, shared_.at(&variable), true};
    } else if (variable.space == Space::local || variable.space == Space::param) {
      size_t at = round_up(out_->local_bytes, std::max<size_t>(variable.alignment, 1));
      if (variable.bytes > (size_t(1) << 24)) wrong("a local variable that is too large");
      out_->local_bytes = at + variable.bytes;
      place = {Space::local, at, true, framed_};
    } else {  // .global or .const in a function: placed with the module's, by a name of its own
      auto found = symbols_.addresses.find(function.name + "$" + variable.name);
      if (found != symbols_.addresses.end()) place = {Space::global, found->second, true};
    }
  }
}

void Decoder::body(Frame& frame) {
  Frame* outer = frame_;
  const Statement* call_site = statement_;
  Statement header;
  header.line = frame.function->line;
  frame.caller = outer;
  frame_ = &frame;
  statement_ = &header;
  frame.first_register = int(registers_.size());
  for (auto& declared : frame.function->registers) {
    registers_.push_back({uint8_t(slot_bytes(declared.type)), false});
  }
  for (auto& [index, slot] : pending_arguments_) {  // .reg parameters of a call
    static const char* const moves[] = {"", "mov.pred", "mov.b16", "", "mov.b32"};
    int bytes = registers_[slot].bytes;
    Inst inst = start(forms()
                          .at(bytes == 8    ? "mov.b64"
                              : bytes == 16 ? "mov.b128"
                                            : moves[bytes])
                          .fn,
                      Class::move);
    inst.d = uint32_t(frame.first_register + index);
    inst.a = slot;
    emit(inst);
  }
  pending_arguments_.clear();
  place_variables(frame);
  for (auto& item : frame.function->body) {
    frame.starts.push_back(int(out_->code.size()));
    statement(item);
  }
  frame.starts.push_back(int(out_->code.size()));
  for (auto& [at, target] : frame.jumps)
    out_->code[size_t(at)].target = uint32_t(frame.starts[size_t(target)]);
  for (auto& [at, list] : frame.tables) {
    out_->code[size_t(at)].target = uint32_t(out_->targets.size());
    std::vector<uint32_t> table;
    for (int target : list) table.push_back(uint32_t(frame.starts[size_t(target)]));
    out_->targets.push_back(table);
  }
  frame_ = outer;
  statement_ = call_site;
}

void Decoder::statement(const Statement& statement) {
  statement_ = &statement;
  guard_ = statement.guard < 0 ? no_slot : uint32_t(frame_->first_register + statement.guard);
  guard_negated_ = statement.guard_negated;
  const std::string& opcode = statement.opcode;
  used_forms_.insert(opcode);
  if (opcode.compare(0, 4, "mov.") == 0) {
    move(opcode);
  } else if (!table_form(opcode)) {
    Modifiers mods(opcode);
    using Handler = void (Decoder::*)(Modifiers&);
    static const auto& handlers = *new const std::unordered_map<std::string, Handler>{
        {"bra", &Decoder::control},
        {"brx", &Decoder::control},
        {"ret", &Decoder::control},
        {"exit", &Decoder::control},
        {"trap", &Decoder::control},
        {"brkpt", &Decoder::control},
        {"call", &Decoder::control},
        {"nanosleep", &Decoder::control},
        {"pmevent", &Decoder::control},
        {"setmaxnreg", &Decoder::control},
        {"griddepcontrol", &Decoder::control},
        {"ld", &Decoder::memory},
        {"ldu", &Decoder::memory},
        {"st", &Decoder::memory},
        {"prefetch", &Decoder::fences},
        {"prefetchu", &Decoder::fences},
        {"membar", &Decoder::fences},
        {"fence", &Decoder::fences},
        {"createpolicy", &Decoder::fences},
        {"discard", &Decoder::fences},
        {"applypriority", &Decoder::fences},
        {"atom", &Decoder::atomics},
        {"red", &Decoder::atomics},
        {"cvta", &Decoder::addresses},
        {"isspacep", &Decoder::addresses},
        {"mapa", &Decoder::addresses},
        {"getctarank", &Decoder::addresses},
        {"cp", &Decoder::async},
        {"mbarrier", &Decoder::mbarriers},
        {"shfl", &Decoder::warp_wide},
        {"vote", &Decoder::warp_wide},
        {"match", &Decoder::warp_wide},
        {"activemask", &Decoder::warp_wide},
        {"redux", &Decoder::warp_wide},
        {"elect", &Decoder::warp_wide},
        {"bar", &Decoder::barriers},
        {"barrier", &Decoder::barriers},
        {"ldmatrix", &Decoder::matrices},
        {"stmatrix", &Decoder::matrices},
        {"movmatrix", &Decoder::matrices},
        {"mma", &Decoder::mma},
        {"wmma", &Decoder::wmma},
        {"lop3", &Decoder::logic3}};
    auto handler = handlers.find(mods.base());
    if (handler == handlers.end()) refuse("unknown instruction");
    (this->*handler->second)(mods);
    if (!mods.empty()) refuse("unknown modifier " + mods.rest());
  }
  finish_widening();
}

// Forms that the table of lane functions knows.
bool Decoder::table_form(const std::string& opcode) {
  std::string key = opcode;
  if (operand_count() == 4 && (key.compare(0, 4, "min.") == 0 || key.compare(0, 4, "max.") == 0))
    key.insert(3, "3");
  if (key[0] == '%') return false;
  if (key == "lop3.b32") {
    Modifiers mods(opcode);
    logic3(mods);
    return true;
  }
  auto found = forms().find(key);
  if (found == forms().end()) return false;
  const Form& form = found->second;
  Inst inst = start(form.fn, form.cls);
  inst.flops = form.flops;
  inst.imm = form.imm;
  std::vector<uint32_t> more;
  int defs = 0;
  const bool exact = key.compare(0, 3, "cvt") != 0;  // cvt alone takes wider registers
  if (form.shape == Shape::compare) {
    bool joined = inst.imm & 3;
    expect_operands(joined ? 4 : 3, joined ? 4 : 3);
    inst.a = read(operand(1), form.types[1], true);
    inst.b = read(operand(2), form.types[2], true);
    if (joined) {
      bool negated;
      inst.c = predicate(operand(3), &negated);
      if (inst.c == no_slot) wrong("expected a predicate");
      if (negated) inst.imm |= join_negated;
    }
    const Operand& target = operand(0);
    if (target.kind == Operand::pair) {
      if (form.types[0] != Ty::pred) wrong("expected one destination");
      inst.d = write(target.items[0], Ty::pred);
      uint32_t second = write(target.items[1], Ty::pred);
      if (second != no_slot) more = {second}, defs = 1, inst.imm |= join_pair;
    } else {
      inst.d = form.types[0] == Ty::pred ? write(target, Ty::pred)
                                         : write_any(target, form.types[0], true);
    }
  } else {
    expect_operands(form.types.size(), form.types.size());
    uint32_t* fields[] = {&inst.a, &inst.b, &inst.c};
    for (size_t k = 1; k < form.types.size(); ++k) {
      const Operand& source = operand(k);
      uint32_t slot = read(source, form.types[k], exact);
      if (source.negated) {
        if (form.types[k] != Ty::pred) wrong("'!' before a value");
        if (key.compare(0, 4, "selp") == 0)
          inst.imm = ~0u;
        else
          wrong("'!' is not allowed here");
      }
      if (k <= 3)
        *fields[k - 1] = slot;
      else
        more.push_back(slot);
    }
    if (form.shape == Shape::carry) {
      if (carry_ == no_slot)
        carry_ = make_register(1), registers_.back().fixed = true,
        constants_[{0, carry_key}] = carry_;
      more.push_back(carry_);
    }
    inst.d = write_any(operand(0), form.types[0], exact);
  }
  extras(inst, more);
  extra_references(emit(inst), defs);
  return true;
}

void Decoder::control(Modifiers& mods) {
  const std::string& base = mods.base();
  Inst inst = start(nothing, Class::control);
  if (base == "bra") {
    mods.take("uni");
    expect_operands(1, 1);
    if (statement_->targets.size() != 1) wrong("expected a label");
    inst.kind = Kind::branch;
    frame_->jumps.push_back({emit(inst), statement_->targets[0]});
  } else if (base == "brx") {
    if (!mods.take("idx")) refuse("unknown modifier");
    mods.take("uni");
    expect_operands(2, 2);
    inst.kind = Kind::table;
    inst.a = read(operand(0), Ty::u32);
    frame_->tables.push_back({emit(inst), statement_->targets});
  } else if (base == "ret" || base == "exit") {
    mods.take("uni");
    if (base == "ret" && frame_->caller) {
      inst.kind = Kind::branch;
      frame_->jumps.push_back({emit(inst), int(frame_->function->body.size())});
      return;
    }
    inst.kind = base == "ret" && framed_ ? Kind::ret : Kind::exit;
    emit(inst);
  } else if (base == "trap" || base == "brkpt") {
    inst.fn = base == "trap" ? trap : nothing;
    emit(inst);
  } else if (base == "call") {
    mods.take("uni");
    call();
  } else if (base == "nanosleep") {
    mods.take("u32");
    inst.kind = Kind::yield;
    emit(inst);
  } else if (base == "griddepcontrol") {
    if (mods.take_any({"launch_dependents", "wait"}) < 0) refuse("unknown modifier");
    emit(inst);
  } else {  // setmaxnreg, pmevent: hints
    mods.take_any({"inc", "dec", "mask"});
    mods.take("sync"), mods.take("aligned"), mods.take("u32");
    emit(inst);
  }
}

}  // namespace ptx
