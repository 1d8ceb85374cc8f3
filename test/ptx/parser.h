// The parser's class, shared by parse.cc (modules, variables, expressions) and parse_body.cc
// (functions, statements).
#pragma once
#include "lex.h"

namespace ptx {

class Parser {
 public:
  Parser(const char* text, size_t length, Syntax& out) : lex_(text, length), out_(out) {}
  void run();

 private:
  struct Named {
    bool is_register;
    int index;
  };
  struct Range {
    Ty type;
    int first;
    uint64_t count;
  };
  struct Scope {
    std::unordered_map<std::string, Named> names;
    std::unordered_map<std::string, Range> ranges;                     // %r<10>
    std::unordered_map<std::string, int> labels;                       // statement index
    std::unordered_map<std::string, std::vector<std::string>> tables;  // .branchtargets
    std::vector<std::pair<int, std::string>> pending;  // statement and the label it jumps to
    std::vector<std::pair<int, std::string>> pending_tables;
  };

  Lexer lex_;
  Syntax& out_;
  Function* function_ = nullptr;
  std::vector<Scope> scopes_;
  int location_ = -1, depth_ = 0;

  void module_item();
  void file_directive();
  void line_directive();
  void declaration();
  void pointer_hint();
  size_t variable_type(VariableDecl& shape);
  VariableDecl declared(const VariableDecl& shape, size_t vector);
  bool variable_declaration(std::vector<VariableDecl>& out, bool single = false);
  void initialiser(VariableDecl& variable);
  uint64_t constant_expression();
  uint64_t constant_term();
  Operand literal();

  void function();
  void formal_parameters(std::vector<int>& out);
  void performance_directives();
  void block();
  void body_item();
  void register_declaration();
  void declare(const VariableDecl& variable);
  void label(const std::string& name, int line);
  void instruction(int guard, bool negated);
  Operand operand(bool jump);
  Operand address();
  Operand word_operand(bool jump);
  int find_register(const std::string& name);
  int find_variable(const std::string& name);
  void close_scope();
};

}  // namespace ptx
