// PTX text as a tree: what the parser hands to the decoder. Names are resolved here: registers and
// variables are indices, labels are statement indices.
#pragma once
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace ptx {

struct SyntaxError : std::runtime_error {
  SyntaxError(int line, const std::string& what, const std::string& instruction = {},
              bool unsupported = false)
      : std::runtime_error(what), line(line), unsupported(unsupported), instruction(instruction) {}
  int line;
  bool unsupported;
  std::string instruction;
};

enum class Ty : uint8_t {
  none,
  pred,
  b8,
  b16,
  b32,
  b64,
  b128,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  f16,
  f16x2,
  bf16,
  bf16x2,
  f32,
  f64,
  tf32,  // from here on: of matrix elements alone
  e4m3,
  e5m2,
  s4,
  u4
};
Ty type_of(const std::string& name);  // none when it is no fundamental type
int type_bytes(Ty type);              // pred: 4 (a mask)
bool is_signed(Ty type);
bool is_float(Ty type);

enum class Space : uint8_t { generic, global, shared, local, param, constant };

struct Operand {
  // list: {a, b} or (a, b). pair: p|q. address: [base + offset]. symbol: a variable, function or
  // label by name.
  enum Kind : uint8_t {
    none,
    in_register,
    integer,
    real,
    symbol,
    address,
    list,
    pair,
    sink,
    special,
    label
  };
  Kind kind = none;
  bool negated = false;   // !p
  Ty literal = Ty::none;  // of a real: f32 or f64; integers: u64 when written with U
  int reg = -1;           // reg, and base of an address (-1: none)
  int variable = -1;      // symbol, and base of an address: index into Function::variables, or -1
  uint64_t bits =
      0;             // integer value, or bits of a real; offset of an address; statement of a label
  std::string name;  // of a symbol that is not a variable of this function; of a special register
  std::vector<Operand> items;  // list, pair; what follows the base in [base, {coordinates}]
};

struct Statement {
  int line = 0, location = -1;  // location: index into Syntax::locations
  int guard = -1;               // predicate register
  bool guard_negated = false;
  std::string opcode;  // with all modifiers
  std::vector<Operand> operands;
  std::vector<int> targets;  // of brx.idx
};

struct Initialiser {  // of one element
  uint64_t bits = 0;
  std::string symbol;  // address of a variable, plus bits
  bool generic = false;
  int mask_shift = -1;  // 0xFF(x) forms are refused
};

struct VariableDecl {
  std::string name;
  Space space = Space::generic;
  Ty type = Ty::none;
  size_t alignment = 1, bytes = 0;
  bool external = false;  // .extern; of unknown size when bytes is 0
  int line = 0;
  std::vector<Initialiser> values;
};

struct RegisterDecl {
  Ty type;
};

struct Function {
  std::string name;
  bool entry = false, defined = false;
  int line = 0;
  std::vector<RegisterDecl> registers;
  std::vector<VariableDecl> variables;  // of the body: .local, .shared, .param, .const ...
  std::vector<int> parameters,
      results;  // variable indices, or for .reg parameters -1 - register index
  std::vector<Statement> body;
  uint32_t max_threads[3] = {0, 0, 0}, required_threads[3] = {0, 0, 0},
           required_cluster[3] = {0, 0, 0};
  int max_registers = 0;
};

struct Location {
  int file, line;
};

struct Syntax {
  int version = 0, target = 0;
  std::vector<VariableDecl> variables;  // of the module
  std::unordered_map<std::string, int> variable_index;
  std::vector<std::unique_ptr<Function>> functions;
  std::unordered_map<std::string, Function*> by_name;
  std::vector<Location> locations;
  std::unordered_map<int, std::string> files;
};

std::unique_ptr<Syntax> parse(const char* text, size_t length);  // throws SyntaxError

}  // namespace ptx
