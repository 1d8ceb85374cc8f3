// PTX text to a tree. Statements, operands and scopes; what an opcode means is the decoder's
// business.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "parser.h"

namespace ptx {

// Tables here and elsewhere are never destroyed: a process may end while a thread of it still loads a module.
Ty type_of(const std::string& name) {
  static const auto& types = *new const std::unordered_map<std::string, Ty>{
      {"pred", Ty::pred}, {"b8", Ty::b8},         {"b16", Ty::b16}, {"b32", Ty::b32},
      {"b64", Ty::b64},   {"b128", Ty::b128},     {"u8", Ty::u8},   {"u16", Ty::u16},
      {"u32", Ty::u32},   {"u64", Ty::u64},       {"s8", Ty::s8},   {"s16", Ty::s16},
      {"s32", Ty::s32},   {"s64", Ty::s64},       {"f16", Ty::f16}, {"f16x2", Ty::f16x2},
      {"bf16", Ty::bf16}, {"bf16x2", Ty::bf16x2}, {"f32", Ty::f32}, {"f64", Ty::f64},
      {"tf32", Ty::tf32}, {"e4m3", Ty::e4m3},     {"e5m2", Ty::e5m2}, {"s4", Ty::s4},
      {"u4", Ty::u4}};
  auto found = types.find(name);
  return found == types.end() ? Ty::none : found->second;
}

int type_bytes(Ty type) {
  switch (type) {
    case Ty::none:
      return 0;
    case Ty::b8:
    case Ty::u8:
    case Ty::s8:
      return 1;
    case Ty::b16:
    case Ty::u16:
    case Ty::s16:
    case Ty::f16:
    case Ty::bf16:
      return 2;
    case Ty::b64:
    case Ty::u64:
    case Ty::s64:
    case Ty::f64:
      return 8;
    case Ty::b128:
      return 16;
    default:
      return 4;
  }
}

bool is_signed(Ty type) {
  return type == Ty::s8 || type == Ty::s16 || type == Ty::s32 || type == Ty::s64;
}
bool is_float(Ty type) { return type >= Ty::f16 && type < Ty::s4; }

void Parser::run() {
  while (lex_.peek().kind != Token::end) {
    if (lex_.accept(";")) continue;
    if (lex_.peek().kind != Token::directive) lex_.fail("expected a directive");
    module_item();
  }
  if (!out_.version) throw SyntaxError(1, "expected .version at the start of PTX text");
}

void Parser::module_item() {
  const std::string& word = lex_.peek().text;
  if (word == ".version") {
    lex_.take();
    Token number = lex_.take();  // lexed as a real: 9.0
    if (number.kind != Token::real) lex_.fail("expected a version such as 8.0");
    double value;
    memcpy(&value, &number.bits, 8);
    out_.version = int(value * 10 + 0.5);
    if (out_.version < 10 || out_.version > 999)
      throw SyntaxError(number.line, "unknown PTX version");
  } else if (word == ".target") {
    lex_.take();
    do {
      Token name = lex_.take();
      if (name.kind != Token::word) lex_.fail("expected a target");
      if (name.text.compare(0, 3, "sm_") == 0) out_.target = atoi(name.text.c_str() + 3);
    } while (lex_.accept(","));
  } else if (word == ".address_size") {
    lex_.take();
    if (lex_.take().bits != 64) lex_.fail("expected .address_size 64");
  } else if (word == ".file") {
    file_directive();
  } else if (word == ".section") {
    lex_.take();
    lex_.take();
    lex_.skip_braces();
  } else if (word == ".loc" || word == ".pragma") {
    line_directive();
  } else {
    declaration();
  }
}

void Parser::file_directive() {
  lex_.take();
  int index = int(lex_.take().bits);
  if (lex_.peek().kind == Token::string) out_.files[index] = lex_.take().text;
  while (lex_.accept(",")) lex_.take();
}

// .loc file line column [, function_name label [+ offset], inlined_at file line column]; .pragma
// "text";
void Parser::line_directive() {
  if (lex_.accept(".pragma")) {
    do lex_.take();
    while (lex_.accept(","));
    lex_.expect(";");
    return;
  }
  lex_.expect(".loc");
  int file = int(lex_.take().bits), line = int(lex_.take().bits);
  lex_.take();
  while (lex_.accept(",")) {
    if (lex_.accept("function_name")) {
      lex_.take();
      if (lex_.accept("+")) lex_.take();
    } else if (lex_.accept("inlined_at")) {
      for (int i = 0; i < 3; ++i) lex_.take();
    } else
      lex_.fail("expected function_name or inlined_at");
  }
  out_.locations.push_back({file, line});
  location_ = int(out_.locations.size()) - 1;
}

// Linkage, then a function or a variable.
void Parser::declaration() {
  bool external = false;
  for (;;) {
    if (lex_.accept(".extern"))
      external = true;
    else if (lex_.accept(".visible") || lex_.accept(".weak") || lex_.accept(".common")) {
    } else
      break;
  }
  if (lex_.is(".entry") || lex_.is(".func")) return function();
  std::vector<VariableDecl> list;
  if (!variable_declaration(list)) lex_.fail("unknown directive");
  lex_.expect(";");
  for (auto& variable : list) {
    variable.external = external;
    auto found = out_.variable_index.find(variable.name);
    if (found !=
        out_.variable_index.end()) {  // an .extern declaration before or after the definition
      VariableDecl& old = out_.variables[found->second];
      if (old.external && !external)
        old = variable;
      else if (!external)
        throw SyntaxError(variable.line, "variable " + variable.name + " is defined twice");
      continue;
    }
    out_.variable_index[variable.name] = int(out_.variables.size());
    out_.variables.push_back(variable);
  }
}

static bool space_of(const std::string& text, Space* out) {
  if (text == ".global")
    *out = Space::global;
  else if (text == ".shared" || text == ".shared::cta")
    *out = Space::shared;
  else if (text == ".local")
    *out = Space::local;
  else if (text == ".param")
    *out = Space::param;
  else if (text == ".const")
    *out = Space::constant;
  else
    return false;
  return true;
}

// .ptr {.space} {.align n}, of a parameter; of no use here.
void Parser::pointer_hint() {
  Space ignored;
  if (space_of(lex_.peek().text, &ignored)) lex_.take();
  if (lex_.accept(".align")) lex_.take();
}

// {.align n} {.vN} .type, in any order; returns the vector's length.
size_t Parser::variable_type(VariableDecl& shape) {
  size_t vector = 1;
  for (;;) {
    if (lex_.accept(".align"))
      shape.alignment = size_t(lex_.take().bits);
    else if (lex_.accept(".v2"))
      vector = 2;
    else if (lex_.accept(".v4"))
      vector = 4;
    else if (lex_.accept(".managed") || lex_.accept(".unified")) {
    } else if (lex_.accept(".ptr")) {  // .param .u64 .ptr .global .align 16 name
      pointer_hint();
    } else if (lex_.accept(".attribute")) {
      while (lex_.peek().kind != Token::end && !lex_.is(")")) lex_.take();
      lex_.expect(")");
    } else
      break;
    if (shape.type != Ty::none && lex_.peek().kind == Token::word) break;
    if (shape.type == Ty::none && lex_.peek().kind == Token::directive) {
      Ty type = type_of(lex_.peek().text.substr(1));
      if (type != Ty::none) shape.type = type, lex_.take();
    }
  }
  if (shape.type == Ty::none) {
    if (lex_.peek().kind != Token::directive) lex_.fail("expected a type");
    shape.type = type_of(lex_.peek().text.substr(1));
    if (shape.type == Ty::none) lex_.fail("expected a type");
    lex_.take();
    if (lex_.accept(".ptr")) pointer_hint();
  }
  if (shape.alignment & (shape.alignment - 1) || !shape.alignment || shape.alignment > 4096)
    lex_.fail("expected an alignment that is a power of two");
  return vector;
}

// name {[n]...} {= value}
VariableDecl Parser::declared(const VariableDecl& shape, size_t vector) {
  VariableDecl variable = shape;
  Token name = lex_.take();
  if (name.kind != Token::word) throw SyntaxError(name.line, "expected a variable's name");
  variable.name = name.text;
  variable.line = name.line;
  size_t element = size_t(type_bytes(shape.type)) * vector;
  if (lex_.accept("<"))  // .param .b64 p<3>
    lex_.fail("expected no parameterised variable names");
  size_t count = 1;
  bool open = false;
  while (lex_.accept("[")) {
    if (lex_.accept("]")) {
      open = true;
      continue;
    }
    uint64_t extent = constant_expression();
    if (extent > (uint64_t(1) << 34) || (count *= size_t(extent)) > (uint64_t(1) << 34))
      lex_.fail("expected a smaller array");
    lex_.expect("]");
  }
  variable.bytes = open ? 0 : element * count;
  variable.alignment = variable.alignment > element || !element ? variable.alignment : element;
  if (shape.alignment > 1) variable.alignment = std::max(shape.alignment, size_t(1));
  if (lex_.accept("=")) initialiser(variable);
  if (open && !variable.values.empty()) variable.bytes = element / vector * variable.values.size();
  if (variable.values.size() * size_t(type_bytes(shape.type)) > variable.bytes)
    throw SyntaxError(name.line, "more initial values than " + variable.name + " holds");
  return variable;
}

// .space {.align n} {.vN} .type name {[n]...} {= value}, ... Returns false when the next token is
// no state space.
bool Parser::variable_declaration(std::vector<VariableDecl>& out, bool single) {
  VariableDecl shape;
  if (!space_of(lex_.peek().text, &shape.space)) return false;
  lex_.take();
  const size_t vector = variable_type(shape);
  do out.push_back(declared(shape, vector));
  while (!single && lex_.accept(","));
  return true;
}

void Parser::initialiser(VariableDecl& variable) {
  if (lex_.accept("{")) {
    if (!lex_.is("}")) do
        initialiser(variable);
      while (lex_.accept(","));
    lex_.expect("}");
    return;
  }
  Initialiser value;
  const Token& token = lex_.peek();
  if (token.kind == Token::word) {
    std::string name = lex_.take().text;
    if (name == "generic") {
      value.generic = true;
      lex_.expect("(");
      name = lex_.take().text;
      lex_.expect(")");
    }
    value.symbol = name;
    if (lex_.accept("+"))
      value.bits = constant_expression();
    else if (lex_.accept("-"))
      value.bits = 0 - constant_expression();
  } else {
    Operand number = literal();
    value.bits = number.bits;
    if (number.kind == Operand::real) {
      double wide;
      memcpy(&wide, &number.bits, 8);
      if (number.literal == Ty::f64 && variable.type == Ty::f32) {
        float narrow = float(wide);
        value.bits = 0;
        memcpy(&value.bits, &narrow, 4);
      }
    }
  }
  variable.values.push_back(value);
}

// A constant integer expression; PTX has C's operators, of which compilers use these.
uint64_t Parser::constant_expression() {
  uint64_t value = constant_term();
  for (;;) {
    if (lex_.accept("+"))
      value += constant_term();
    else if (lex_.accept("-"))
      value -= constant_term();
    else if (lex_.accept("*"))
      value *= constant_term();
    else if (lex_.accept("<<"))
      value <<= constant_term() & 63;
    else if (lex_.accept(">>"))
      value >>= constant_term() & 63;
    else
      return value;
  }
}

uint64_t Parser::constant_term() {
  if (lex_.accept("-")) return 0 - constant_term();
  if (lex_.accept("+")) return constant_term();
  if (lex_.accept("~")) return ~constant_term();
  if (lex_.accept("(")) {
    if (++depth_ > 200) lex_.fail("expected fewer brackets");
    uint64_t value = constant_expression();
    --depth_;
    lex_.expect(")");
    return value;
  }
  if (lex_.accept("WARP_SZ")) return 32;
  if (lex_.peek().kind != Token::integer) lex_.fail("expected an integer");
  return lex_.take().bits;
}

Operand Parser::literal() {
  Operand out;
  bool negative = false;
  while (lex_.is("-") || lex_.is("+")) negative ^= lex_.take().text == "-";
  if (lex_.peek().kind == Token::real) {
    Token token = lex_.take();
    out.kind = Operand::real;
    out.literal = token.is_double ? Ty::f64 : Ty::f32;
    out.bits =
        token.bits ^ (negative ? (token.is_double ? uint64_t(1) << 63 : uint64_t(1) << 31) : 0);
    return out;
  }
  out.kind = Operand::integer;
  out.bits = negative ? 0 - constant_term() : constant_expression();
  return out;
}

std::unique_ptr<Syntax> parse(const char* text, size_t length) {
  auto out = std::make_unique<Syntax>();
  Parser(text, length, *out).run();
  return out;
}

}  // namespace ptx
