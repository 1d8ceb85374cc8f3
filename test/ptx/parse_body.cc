// Functions and their statements, with the scopes of { } and the names in them.
#include <algorithm>

#include "parser.h"

namespace ptx {

static constexpr uint64_t register_limit = 4000000;

void Parser::function() {
  auto made = std::make_unique<Function>();
  function_ = made.get();
  function_->entry = lex_.take().text == ".entry";
  function_->line = lex_.peek().line;
  location_ = -1;
  scopes_.clear();
  scopes_.emplace_back();
  while (lex_.accept(".attribute")) {
    while (lex_.peek().kind != Token::end && !lex_.is(")")) lex_.take();
    lex_.expect(")");
  }
  if (lex_.is("(")) formal_parameters(function_->results);
  Token name = lex_.take();
  if (name.kind != Token::word) throw SyntaxError(name.line, "expected a function's name");
  function_->name = name.text;
  if (lex_.is("(")) formal_parameters(function_->parameters);
  performance_directives();
  if (lex_.is("{")) {
    function_->defined = true;
    block();
    close_scope();
    if (!scopes_.empty()) throw SyntaxError(name.line, "unbalanced braces");
  } else {
    lex_.accept(";");
    scopes_.clear();
  }
  auto found = out_.by_name.find(name.text);
  if (found != out_.by_name.end() && found->second->defined) {
    if (made->defined) throw SyntaxError(name.line, "function " + name.text + " is defined twice");
    return;  // a declaration after the definition
  }
  out_.by_name[name.text] = function_;
  out_.functions.push_back(std::move(made));
}

void Parser::formal_parameters(std::vector<int>& out) {
  lex_.expect("(");
  while (!lex_.is(")")) {
    if (lex_.is(".reg")) {
      int before = int(function_->registers.size());
      register_declaration();
      for (int i = before; i < int(function_->registers.size()); ++i) out.push_back(-1 - i);
    } else {
      // One at a time: the comma after it belongs to the list, and every parameter repeats its
      // state space.
      std::vector<VariableDecl> list;
      if (!variable_declaration(list, true)) {
        if (lex_.is("_")) {
          lex_.take();
          continue;
        }
        lex_.fail("expected a parameter");
      }
      for (auto& variable : list) {
        declare(variable);
        out.push_back(int(function_->variables.size()) - 1);
      }
    }
    if (!lex_.accept(",") && !lex_.is(")")) lex_.fail("expected ',' or ')'");
  }
  lex_.expect(")");
}

void Parser::performance_directives() {
  for (;;) {
    uint32_t* three = nullptr;
    if (lex_.accept(".maxntid"))
      three = function_->max_threads;
    else if (lex_.accept(".reqntid"))
      three = function_->required_threads;
    else if (lex_.accept(".reqnctapercluster"))
      three = function_->required_cluster;
    else if (lex_.accept(".maxnreg"))
      function_->max_registers = int(lex_.take().bits);
    else if (lex_.accept(".minnctapersm") || lex_.accept(".maxnctapersm") ||
             lex_.accept(".maxclusterrank") || lex_.accept(".abi_preserve") ||
             lex_.accept(".abi_preserve_control"))
      lex_.take();
    else if (lex_.accept(".explicitcluster") || lex_.accept(".blocksareclusters") ||
             lex_.accept(".noreturn")) {
    } else if (lex_.is(".pragma"))
      line_directive();
    else
      return;
    if (!three) continue;
    three[0] = three[1] = three[2] = 1;
    for (int i = 0; i < 3; ++i) {
      three[i] = uint32_t(lex_.take().bits);
      if (!lex_.accept(",")) break;
    }
  }
}

void Parser::block() {
  lex_.expect("{");
  while (!lex_.is("}")) {
    if (lex_.peek().kind == Token::end) lex_.fail("expected '}'");
    body_item();
  }
  lex_.take();
}

void Parser::body_item() {
  const Token& token = lex_.peek();
  if (lex_.accept(";")) return;
  if (lex_.is("{")) {
    if (scopes_.size() > 200) lex_.fail("expected fewer nested braces");
    scopes_.emplace_back();
    block();
    close_scope();
    return;
  }
  if (token.kind == Token::directive) {
    if (lex_.is(".reg")) {
      register_declaration();
      lex_.expect(";");
    } else if (lex_.is(".loc") || lex_.is(".pragma")) {
      line_directive();
    } else if (lex_.is(".file")) {
      file_directive();
    } else {
      std::vector<VariableDecl> list;
      if (!variable_declaration(list)) lex_.fail("unknown directive in a body");
      lex_.expect(";");
      for (auto& variable : list) declare(variable);
    }
    return;
  }
  if (lex_.accept("@")) {
    bool negated = lex_.accept("!");
    Token name = lex_.take();
    int guard = find_register(name.text);
    if (guard < 0 || function_->registers[guard].type != Ty::pred)
      throw SyntaxError(name.line, "expected a predicate register, found '" + name.text + "'");
    return instruction(guard, negated);
  }
  if (token.kind != Token::word) lex_.fail("expected a statement");
  instruction(-1, false);
}

void Parser::register_declaration() {
  lex_.expect(".reg");
  int vector = 1;
  if (lex_.accept(".v2"))
    vector = 2;
  else if (lex_.accept(".v4"))
    vector = 4;
  if (lex_.peek().kind != Token::directive) lex_.fail("expected a type");
  Ty type = type_of(lex_.peek().text.substr(1));
  if (type == Ty::none || vector != 1) lex_.fail("expected a scalar register type");
  lex_.take();
  for (;;) {
    Token name = lex_.take();
    if (name.kind != Token::word) throw SyntaxError(name.line, "expected a register's name");
    int first = int(function_->registers.size());
    uint64_t count = 1;
    if (lex_.accept("<")) {
      count = lex_.take().bits;
      lex_.expect(">");
      scopes_.back().ranges[name.text] = {type, first, count};
    } else {
      scopes_.back().names[name.text] = {true, first};
    }
    if (count > register_limit || function_->registers.size() + count > register_limit)
      throw SyntaxError(name.line, "too many registers");
    function_->registers.resize(size_t(first) + size_t(count), RegisterDecl{type});
    if (!lex_.is(",")) return;
    // In a parameter list the comma may start the next parameter rather than the next name.
    lex_.take();
    if (lex_.peek().kind == Token::directive) return;
  }
}

void Parser::declare(const VariableDecl& variable) {
  scopes_.back().names[variable.name] = {false, int(function_->variables.size())};
  function_->variables.push_back(variable);
}

int Parser::find_register(const std::string& name) {
  size_t digits = name.size();
  while (digits > 1 && isdigit(uint8_t(name[digits - 1]))) --digits;
  for (size_t i = scopes_.size(); i-- > 0;) {
    auto found = scopes_[i].names.find(name);
    if (found != scopes_[i].names.end())
      return found->second.is_register ? found->second.index : -1;
    // %r12 of %r<20>; a prefix may itself end in digits, so every split is tried.
    for (size_t cut = digits; cut < name.size() && name.size() - cut < 10; ++cut) {
      if (name[cut] == '0' && cut + 1 < name.size()) continue;
      auto range = scopes_[i].ranges.find(name.substr(0, cut));
      if (range == scopes_[i].ranges.end()) continue;
      uint64_t index = strtoull(name.c_str() + cut, nullptr, 10);
      if (index < range->second.count) return range->second.first + int(index);
    }
  }
  return -1;
}

int Parser::find_variable(const std::string& name) {
  for (size_t i = scopes_.size(); i-- > 0;) {
    auto found = scopes_[i].names.find(name);
    if (found != scopes_[i].names.end())
      return found->second.is_register ? -1 : found->second.index;
  }
  return -1;
}

void Parser::label(const std::string& name, int line) {
  if (lex_.accept(".branchtargets")) {
    auto& table = scopes_.back().tables[name];
    do table.push_back(lex_.take().text);
    while (lex_.accept(","));
    lex_.expect(";");
    return;
  }
  if (lex_.is(".callprototype") || lex_.is(".calltargets")) {
    // What an indirect call may reach is found by its arguments, and checked when it is made.
    while (lex_.peek().kind != Token::end && !lex_.is(";")) lex_.take();
    return lex_.expect(";");
  }
  if (!scopes_.back().labels.emplace(name, int(function_->body.size())).second)
    throw SyntaxError(line, "label " + name + " is defined twice");
}

// Moves what is unresolved to the enclosing scope; at the outermost it is an error.
void Parser::close_scope() {
  Scope scope = std::move(scopes_.back());
  scopes_.pop_back();
  auto unknown = [&](int at, const std::string& name) {
    throw SyntaxError(function_->body[size_t(at)].line, "unknown label " + name,
                      function_->body[size_t(at)].opcode);
  };
  for (auto& [at, name] : scope.pending_tables) {
    auto found = scope.tables.find(name);
    if (found != scope.tables.end()) {
      auto& statement = function_->body[size_t(at)];
      statement.targets.assign(found->second.size(), -1);
      for (auto& target : found->second) scope.pending.push_back({at, target});
    } else if (scopes_.empty())
      unknown(at, name);
    else
      scopes_.back().pending_tables.push_back({at, name});
  }
  for (auto& [at, name] : scope.pending) {
    auto found = scope.labels.find(name);
    if (found == scope.labels.end()) {
      if (scopes_.empty()) unknown(at, name);
      scopes_.back().pending.push_back({at, name});
      continue;
    }
    auto& statement = function_->body[size_t(at)];
    if (statement.targets.empty()) statement.targets.assign(1, -1);
    auto table = std::find(statement.targets.begin(), statement.targets.end(), -1);
    if (table != statement.targets.end()) *table = found->second;
  }
}

void Parser::instruction(int guard, bool negated) {
  Token word = lex_.take();
  if (word.kind != Token::word) throw SyntaxError(word.line, "expected an instruction");
  if (guard < 0 && lex_.is(":")) {
    lex_.take();
    return label(word.text, word.line);
  }
  Statement statement;
  statement.line = word.line;
  statement.location = location_;
  statement.guard = guard;
  statement.guard_negated = negated;
  statement.opcode = word.text;
  while (lex_.peek().kind == Token::directive && !lex_.peek().spaced)
    statement.opcode += lex_.take().text;
  bool jump = statement.opcode == "bra" || statement.opcode.compare(0, 4, "bra.") == 0 ||
              statement.opcode.compare(0, 7, "brx.idx") == 0;
  if (!lex_.is(";")) {
    do statement.operands.push_back(operand(jump));
    while (lex_.accept(","));
  }
  lex_.expect(";");
  int at = int(function_->body.size());
  if (function_->body.size() > register_limit)
    throw SyntaxError(word.line, "too many instructions");
  for (auto& item : statement.operands) {
    if (item.kind != Operand::label) continue;
    bool table = statement.opcode.compare(0, 3, "brx") == 0;
    (table ? scopes_.back().pending_tables : scopes_.back().pending).push_back({at, item.name});
  }
  function_->body.push_back(std::move(statement));
}

Operand Parser::word_operand(bool jump) {
  Token token = lex_.take();
  Operand out;
  if (token.text == "_") {
    out.kind = Operand::sink;
    return out;
  }
  if (token.text == "WARP_SZ") {
    out.kind = Operand::integer;
    out.bits = 32;
    return out;
  }
  out.reg = find_register(token.text);
  if (out.reg >= 0) {
    out.kind = Operand::in_register;
    return out;
  }
  if (token.text[0] == '%') {
    out.kind = Operand::special;
    out.name = token.text;
    if (lex_.peek().kind == Token::directive && !lex_.peek().spaced) out.name += lex_.take().text;
    return out;
  }
  out.variable = find_variable(token.text);
  out.kind = jump && out.variable < 0 ? Operand::label : Operand::symbol;
  out.name = token.text;
  if (out.kind == Operand::symbol) {
    if (lex_.accept("+"))
      out.bits = constant_expression();
    else if (lex_.is("-"))
      out.bits = constant_expression();
  }
  return out;
}

Operand Parser::address() {
  Operand out;
  lex_.expect("[");
  out.kind = Operand::address;
  if (lex_.peek().kind == Token::word && !lex_.is("WARP_SZ")) {
    Operand base = word_operand(false);
    if (base.kind != Operand::in_register && base.kind != Operand::symbol)
      lex_.fail("expected an address");
    out.reg = base.reg;
    out.variable = base.variable;
    out.name = base.name;
    out.bits = base.bits;
    if (lex_.accept("+"))
      out.bits += constant_expression();
    else if (lex_.is("-"))
      out.bits += constant_expression();
  } else {
    out.bits = constant_expression();
  }
  while (lex_.accept(",")) out.items.push_back(operand(false));
  lex_.expect("]");
  return out;
}

Operand Parser::operand(bool jump) {
  if (++depth_ > 50) lex_.fail("expected fewer nested operands");
  Operand out;
  if (lex_.is("[")) {
    out = address();
  } else if (lex_.is("{") || lex_.is("(")) {
    const char* close = lex_.take().text == "{" ? "}" : ")";
    out.kind = Operand::list;
    if (!lex_.is(close)) do
        out.items.push_back(operand(false));
      while (lex_.accept(","));
    lex_.expect(close);
  } else if (lex_.accept("!")) {
    out = operand(false);
    out.negated = true;
  } else if (lex_.peek().kind == Token::word && !lex_.is("WARP_SZ")) {
    out = word_operand(jump);
    if (lex_.accept("|")) {
      Operand first = std::move(out);
      out = Operand();
      out.kind = Operand::pair;
      out.items.push_back(std::move(first));
      out.items.push_back(operand(false));
    }
  } else {
    out = literal();
  }
  --depth_;
  return out;
}

}  // namespace ptx
