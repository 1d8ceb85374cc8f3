// Tokens of PTX. A directive keeps its dot (".global"), an identifier its sigil ("%r1",
// "$L__BB0_3").
#pragma once
#include "syntax.h"

namespace ptx {

struct Token {
  enum Kind : uint8_t { end, word, directive, integer, real, string, punct };
  Kind kind = end;
  bool spaced = true;        // white space or a comment came before it
  bool is_double = false;    // of a real
  bool is_unsigned = false;  // of an integer
  int line = 1;
  uint64_t bits = 0;  // of a number
  std::string text;   // of everything else
};

class Lexer {
 public:
  Lexer(const char* text, size_t length) : at_(text), end_(text + length) { next(); }
  const Token& peek() const { return token_; }
  Token take() {
    Token token = std::move(token_);
    next();
    return token;
  }
  bool is(const char* text) const {
    return (token_.kind == Token::punct || token_.kind == Token::directive ||
            token_.kind == Token::word) &&
           token_.text == text;
  }
  bool accept(const char* text) {
    if (!is(text)) return false;
    next();
    return true;
  }
  void expect(const char* text);
  [[noreturn]] void fail(const std::string& what) const;
  // Skips a { ... } whose opening brace is the next token, without making sense of it.
  void skip_braces();

 private:
  const char *at_, *end_;
  int line_ = 1;
  Token token_;
  void next();
  bool skip_space();
  void number();
};

}  // namespace ptx
