// Calls. A direct call is expanded in place. A recursive one, or one by address, is a real call:
// the callee's code stands once, after the kernel's, with a stack frame for each activation.
#include <algorithm>

#include "decode.h"

namespace ptx {

bool is_indirect_call(const Statement& statement) {
  if (statement.opcode.compare(0, 4, "call")) return false;
  for (auto& operand : statement.operands)
    if (operand.kind == Operand::in_register) return true;
  return false;
}

// A lane's stack frame begins here in its local memory: 0 in the kernel itself.
uint32_t Decoder::stack_frame() {
  if (stack_frame_ == no_slot) {
    stack_frame_ = make_register(4);
    registers_.back().fixed = true;
    constants_[{0, stack_frame_key}] = stack_frame_;
  }
  return stack_frame_;
}

// The end of the kernel or of a callee. What its calls leave below their frames is known now.
void Decoder::finish_root(Kind kind, size_t first_call) {
  Inst end;
  end.kind = kind;
  end.counted = false;
  end.line = out_->code.empty() ? 1 : out_->code.back().line;
  out_->code.push_back(end);
  for (size_t k = first_call; k < out_->calls.size(); ++k)
    out_->calls[k].frame_bytes = uint32_t(round_up(out_->local_bytes, 16));
}

// The code of every function that is really called, and of those that it calls. Returns the bytes
// of the largest frame.
size_t Decoder::callees() {
  const size_t outer = out_->local_bytes;
  size_t largest = 0;
  framed_ = true;
  for (size_t k = 0; k < outlined_.size(); ++k) {
    const Function& function = *outlined_[k];
    const size_t first_call = out_->calls.size();
    out_->local_bytes = 0;
    guard_ = no_slot;
    guard_negated_ = false;
    out_->callees[k].pc = uint32_t(out_->code.size());
    Frame frame{&function, 0, {}, {}, {}, {}, nullptr};
    body(frame);
    finish_root(Kind::ret, first_call);
    Callee& callee = out_->callees[k];
    auto slices = [&](const std::vector<int>& formals, std::vector<Slice>& out) {
      for (int formal : formals)
        out.push_back({uint32_t(frame.places[size_t(formal)].offset),
                       uint32_t(function.variables[size_t(formal)].bytes)});
    };
    slices(function.parameters, callee.parameters);
    slices(function.results, callee.results);
    callee.frame_bytes = uint32_t(round_up(out_->local_bytes, 16));
    largest = std::max(largest, size_t(callee.frame_bytes));
  }
  out_->local_bytes = outer;
  if (!outlined_.empty()) out_->local_bytes = round_up(outer, 16) + stack_bytes;
  return largest;
}

// The callee's index in Program::callees; its code is decoded once the kernel's is.
uint32_t Decoder::outline(const Function& function) {
  auto found = std::find(outlined_.begin(), outlined_.end(), &function);
  if (found != outlined_.end()) return uint32_t(found - outlined_.begin());
  for (auto* list : {&function.parameters, &function.results})
    for (int formal : *list)
      if (formal < 0)
        refuse("a recursive call, or one by address, of a function with .reg parameters");
  outlined_.push_back(&function);
  Callee callee;
  callee.name = function.name;
  callee.address = symbols_.addresses.at(function.name);
  out_->callees.push_back(callee);
  return uint32_t(outlined_.size() - 1);
}

uint32_t Decoder::argument_place(const Operand& operand, const std::string& of) const {
  Place place;
  if (operand.kind != Operand::symbol || !symbol_place(operand, &place) ||
      place.space != Space::local)
    wrong("expected a .param variable as an argument of " + of);
  return uint32_t(place.offset);
}

// d: where the frame stands; a: the callee's address, or imm its index; target: Program::calls.
void Decoder::real_call(const Function* function, const Operand* address,
                        const std::vector<Operand>& results,
                        const std::vector<Operand>& arguments) {
  CallSite site;
  site.framed = framed_;
  auto slices = [&](const std::vector<Operand>& actuals, std::vector<Slice>& out) {
    for (auto& actual : actuals) {
      const uint32_t at = argument_place(actual, function ? function->name : "an indirect call");
      out.push_back({at, uint32_t(frame_->function->variables[size_t(actual.variable)].bytes)});
    }
  };
  slices(arguments, site.arguments);
  slices(results, site.results);
  auto fits = [&](const Function& f) {
    auto same = [&](const std::vector<int>& formals, const std::vector<Slice>& actuals) {
      bool equal = formals.size() == actuals.size();
      for (size_t k = 0; equal && k < formals.size(); ++k)
        equal = formals[k] >= 0 && f.variables[size_t(formals[k])].bytes == actuals[k].bytes;
      return equal;
    };
    return same(f.parameters, site.arguments) && same(f.results, site.results);
  };
  Inst inst = start(nothing, Class::control);
  inst.kind = Kind::call;
  inst.b = stack_frame();
  inst.target = uint32_t(out_->calls.size());
  if (function) {
    if (!fits(*function)) wrong("the call of " + function->name + " does not match its parameters");
    inst.imm = outline(*function);
  } else {
    inst.a = read(*address, Ty::u64);
    for (const Function* candidate : symbols_.taken)
      if (fits(*candidate)) site.candidates.push_back(outline(*candidate));
  }
  out_->calls.push_back(site);
  emit(inst);
}

// call (results), name, (arguments) or call (results), register, (arguments), prototype.
void Decoder::call() {
  const auto& list = statement_->operands;
  size_t at = 0;
  std::vector<Operand> results, arguments;
  if (at < list.size() && list[at].kind == Operand::list) results = list[at++].items;
  if (at >= list.size()) wrong("expected a function");
  const Operand& target = list[at++];
  if (at < list.size() && list[at].kind == Operand::list) arguments = list[at++].items;
  if (target.kind == Operand::in_register) {
    if (list.size() != at + 1) wrong("expected a prototype");
    return real_call(nullptr, &target, results, arguments);
  }
  if (target.kind != Operand::symbol || at < list.size()) wrong("expected a function");
  const std::string& name = target.name;
  auto found = syntax_.by_name.find(name);
  if (found != syntax_.by_name.end() && found->second->entry) wrong("a kernel cannot be called");
  const bool defined = found != syntax_.by_name.end() && found->second->defined;
  for (Frame* frame = frame_; frame && defined; frame = frame->caller)
    if (frame->function == found->second)
      return real_call(found->second, nullptr, results, arguments);
  int skip = -1;
  if (guard_ != no_slot) {  // lanes without the guard go round the body
    Inst jump = start(nothing, Class::control);
    jump.kind = Kind::branch;
    jump.guard_negated = !guard_negated_;
    skip = emit(jump);
    guard_ = no_slot;
    guard_negated_ = false;
  }
  if (!defined) {
    builtin_call(name, results, arguments);
  } else {
    expand(*found->second, results, arguments);
  }
  if (skip >= 0) out_->code[size_t(skip)].target = uint32_t(out_->code.size());
}

// The callee's body in place of the call, its parameters bound to the caller's variables.
void Decoder::expand(const Function& callee, const std::vector<Operand>& results,
                     const std::vector<Operand>& arguments) {
  if (arguments.size() != callee.parameters.size() || results.size() != callee.results.size())
    wrong("the call of " + callee.name + " does not match its parameters");
  Frame frame{&callee, int(registers_.size()), {}, {}, {}, {}, nullptr};
  frame.places.assign(callee.variables.size(), Place{Space::local, 0, false});
  std::vector<std::pair<int, const Operand*>> in, back;
  auto bind = [&](const std::vector<int>& formals, const std::vector<Operand>& actuals,
                  auto& registers) {
    for (size_t i = 0; i < formals.size(); ++i) {
      if (formals[i] < 0) {
        registers.push_back({-1 - formals[i], &actuals[i]});
        continue;
      }
      Place place;
      if (actuals[i].kind != Operand::symbol || !symbol_place(actuals[i], &place))
        refuse("arguments of .param functions must be .param variables");
      frame.places[size_t(formals[i])] = place;
    }
  };
  bind(callee.parameters, arguments, in);
  bind(callee.results, results, back);
  auto copy = [&](uint32_t to, uint32_t from, int bytes) {
    static const auto& names = *new const std::map<int, const char*>{
        {1, "mov.pred"}, {2, "mov.b16"}, {4, "mov.b32"}, {8, "mov.b64"}, {16, "mov.b128"}};
    Inst inst = start(forms().at(names.at(bytes)).fn, Class::move);
    inst.d = to;
    inst.a = from;
    emit(inst);
  };
  // Sources are read in the caller's frame, before the callee's registers exist.
  std::vector<uint32_t> sources;
  for (auto& [index, actual] : in)
    sources.push_back(read(*actual, callee.registers[size_t(index)].type));
  for (size_t i = 0; i < in.size(); ++i) {
    int bytes = slot_bytes(callee.registers[size_t(in[i].first)].type);
    uint32_t held = make_register(bytes);
    copy(held, sources[i], bytes);
    sources[i] = held;
  }
  const Statement* site = statement_;
  pending_arguments_.clear();
  for (size_t i = 0; i < in.size(); ++i) pending_arguments_.push_back({in[i].first, sources[i]});
  body(frame);
  statement_ = site;
  guard_ = no_slot;
  guard_negated_ = false;
  for (auto& [index, actual] : back) {
    Ty type = callee.registers[size_t(index)].type;
    copy(write(*actual, type, true), uint32_t(frame.first_register + index), slot_bytes(type));
  }
}

void Decoder::builtin_call(const std::string& name, const std::vector<Operand>& results,
                           const std::vector<Operand>& arguments) {
  auto offset = [&](const Operand& operand) { return argument_place(operand, name); };
  struct Builtin {
    Fn fn;
    size_t arguments;
  };
  static const auto& known = *new const std::map<std::string, Builtin>{{"vprintf", {print_text, 2}},
                                                       {"__assertfail", {assertion_failed, 5}},
                                                       {"malloc", {heap_allocate, 1}},
                                                       {"free", {heap_free, 1}}};
  const auto found = known.find(name);
  if (found == known.end()) refuse("unknown function " + name);
  if (arguments.size() != found->second.arguments)
    wrong("expected " + std::to_string(found->second.arguments) + " arguments of " + name);
  out_->uses_heap |= name == "malloc" || name == "free";
  Inst inst = start(found->second.fn, Class::other);
  if (framed_) inst.a = stack_frame();
  std::vector<uint32_t> offsets;
  for (auto& argument : arguments) offsets.push_back(offset(argument));
  offsets.push_back(results.empty() ? no_slot : offset(results[0]));
  extras(inst, offsets);  // offsets, not registers: no references
  emit(inst);
}

}  // namespace ptx
