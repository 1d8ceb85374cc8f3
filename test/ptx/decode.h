// From syntax to a program: binding operands to slots, choosing what runs each instruction,
// expanding calls in place. Whatever a handler does not take from an opcode is refused.
#pragma once
#include <set>

#include "forms.h"
#include "ops.h"

namespace ptx {

inline size_t round_up(size_t value, size_t to) { return (value + to - 1) / to * to; }

// The modifiers of an opcode, consumed by its handler.
class Modifiers {
 public:
  Modifiers(const std::string& opcode);
  const std::string& base() const { return parts_[0]; }
  bool take(const char* text);                         // wherever it stands
  int take_any(const std::vector<const char*>& list);  // index, or -1
  Ty take_type();  // the first type left; none when there is none
  bool empty() const;
  std::string rest() const;

 private:
  std::vector<std::string> parts_;
  std::vector<bool> used_;
};

struct Reference {
  int inst;
  uint8_t field;
  bool def;
};  // a register operand of the code
// Fields: d, a, b, c, guard, sync, base of the access, then extras.
enum : uint8_t {
  field_d,
  field_a,
  field_b,
  field_c,
  field_guard,
  field_sync,
  field_base,
  field_extra
};

struct Register {
  uint8_t bytes;
  bool fixed;
};  // bytes a lane; 1: a predicate
int slot_bytes(Ty type);

struct Symbols {  // of the module, resolved
  std::unordered_map<std::string, uint64_t> addresses;
  std::vector<const Function*> taken;  // functions whose address is taken
};
bool is_indirect_call(const Statement& statement);
constexpr int carry_key = 100, stack_frame_key = 101;  // in place of a width: fixed, no constants

class Decoder {
 public:
  Decoder(const Syntax& syntax, const Symbols& symbols, const DeviceProfile& device,
          std::set<std::string>& forms)
      : syntax_(syntax), symbols_(symbols), device_(device), used_forms_(forms) {}
  std::shared_ptr<Program> run(const Function& entry, KernelInfo& info);

 private:
  struct Place {
    Space space;
    uint64_t offset;
    bool known;
    bool framed = false;  // the offset counts from the lane's stack frame
  };
  struct Frame {
    const Function* function;
    int first_register;
    std::vector<Place> places;               // of the function's variables
    std::vector<int> starts;                 // code index of each statement
    std::vector<std::pair<int, int>> jumps;  // code index, statement
    std::vector<std::pair<int, std::vector<int>>> tables;
    Frame* caller;
  };
  struct Widen {
    uint32_t wide, narrow;
    Ty type;
  };

  const Syntax& syntax_;
  const Symbols& symbols_;
  const DeviceProfile& device_;
  std::set<std::string>& used_forms_;
  std::shared_ptr<Program> out_;
  KernelInfo* info_ = nullptr;
  Frame* frame_ = nullptr;
  const Statement* statement_ = nullptr;
  std::vector<Register> registers_;
  std::vector<Reference> references_;
  std::map<std::pair<uint64_t, int>, uint32_t> constants_;
  std::map<std::pair<int, int>, uint32_t> specials_;
  std::unordered_map<const VariableDecl*, uint64_t> shared_;
  std::unordered_map<std::string, int> form_index_;
  std::vector<Widen> widen_;
  std::vector<std::pair<int, uint32_t>>
      pending_arguments_;  // of the call being expanded: register, slot
  uint32_t carry_ = no_slot, stack_frame_ = no_slot;
  std::vector<const Function*> outlined_;  // in the order of Program::callees
  bool framed_ = false;                    // decoding a callee: its variables have frames
  uint32_t guard_ = no_slot;
  bool guard_negated_ = false;
  bool counted_ = true;

  [[noreturn]] void refuse(const std::string& why) const;
  [[noreturn]] void wrong(const std::string& why) const;

  // decode.cc
  void place_shared(const Function& function, std::set<const Function*>& seen);
  void place_variables(Frame& frame);
  void body(Frame& frame);
  void statement(const Statement& statement);
  bool table_form(const std::string& key);
  void control(Modifiers& mods);

  // decode_call.cc
  void call();
  void expand(const Function& callee, const std::vector<Operand>& results,
              const std::vector<Operand>& arguments);
  void real_call(const Function* function, const Operand* address,
                 const std::vector<Operand>& results, const std::vector<Operand>& arguments);
  uint32_t outline(const Function& function);
  uint32_t stack_frame();
  uint32_t argument_place(const Operand& operand, const std::string& of) const;
  void finish_root(Kind kind, size_t first_call);
  size_t callees();
  void builtin_call(const std::string& name, const std::vector<Operand>& results,
                    const std::vector<Operand>& arguments);

  // bind.cc
  uint32_t make_register(int bytes);
  uint32_t constant(uint64_t bits, int bytes);
  uint32_t special(const std::string& name, int bytes);
  uint32_t read(const Operand& operand, Ty type, bool exact = false);
  uint32_t write(const Operand& operand, Ty type, bool exact = false);
  uint32_t write_any(const Operand& operand, Ty type,
                     bool exact = false);  // a sink gets a register of its own
  uint32_t predicate(const Operand& operand, bool* negated);
  uint64_t literal(const Operand& operand, Ty type) const;
  uint64_t immediate(const Operand& operand) const;
  bool symbol_place(const Operand& operand, Place* out) const;
  int address(const Operand& operand, Access access);
  Inst start(Fn fn, Class cls);
  int emit(Inst inst);  // records references of the inline fields
  void extras(Inst& inst, const std::vector<uint32_t>& slots);
  void extra_references(int at, int defs);
  void finish_widening();
  const Operand& operand(size_t index) const;
  size_t operand_count() const { return statement_->operands.size(); }
  void expect_operands(size_t least, size_t most) const;

  // decode_memory.cc
  void move(const std::string& opcode);
  void memory(Modifiers& mods);
  void atomics(Modifiers& mods);
  void addresses(Modifiers& mods);  // cvta, isspacep, mapa, getctarank
  Space take_space(Modifiers& mods, Access* access) const;
  void take_hints(Modifiers& mods) const;
  void fences(Modifiers& mods);
  void mark_seeds();

  // decode_async.cc
  uint32_t whole_address(const Operand& operand, Space space);
  void async(Modifiers& mods);
  void bulk(Modifiers& mods);
  void mbarriers(Modifiers& mods);

  // decode_warp.cc
  void warp_wide(Modifiers& mods);
  void barriers(Modifiers& mods);
  void matrices(Modifiers& mods);
  void mma(Modifiers& mods);
  void wmma(Modifiers& mods);
  void logic3(Modifiers& mods);

  // allocate.cc
  void allocate();
};

}  // namespace ptx
