#include "lex.h"

#include <cctype>
#include <cstdlib>
#include <cstring>

namespace ptx {

static bool word_char(char c) { return isalnum(uint8_t(c)) || c == '_' || c == '$'; }

void Lexer::fail(const std::string& what) const {
  std::string got =
      token_.kind == Token::end ? "the end of the text" : "'" + token_.text.substr(0, 60) + "'";
  if (token_.kind == Token::integer || token_.kind == Token::real) got = "a number";
  throw SyntaxError(token_.line, what + ", found " + got);
}

void Lexer::expect(const char* text) {
  if (!accept(text)) fail(std::string("expected '") + text + "'");
}

bool Lexer::skip_space() {
  const char* start = at_;
  while (at_ < end_) {
    if (*at_ == '\n')
      ++line_, ++at_;
    else if (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\f' || *at_ == '\v')
      ++at_;
    else if (*at_ == '/' && at_ + 1 < end_ && at_[1] == '/') {
      while (at_ < end_ && *at_ != '\n') ++at_;
    } else if (*at_ == '/' && at_ + 1 < end_ && at_[1] == '*') {
      at_ += 2;
      while (at_ + 1 < end_ && !(at_[0] == '*' && at_[1] == '/')) line_ += *at_ == '\n', ++at_;
      at_ = at_ + 2 > end_ ? end_ : at_ + 2;
    } else
      break;
  }
  return at_ != start;
}

// Integers: decimal, 0x, 0 (octal), 0b, with an optional U. Reals: 0f and 0d followed by
//   hexadecimal digits, or decimal.
void Lexer::number() {
  const char* start = at_;
  while (at_ < end_ &&
         (isalnum(uint8_t(*at_)) || *at_ == '.' ||
          ((*at_ == '+' || *at_ == '-') && (at_[-1] == 'e' || at_[-1] == 'E') && start[1] != 'x' &&
           start[1] != 'f' && start[1] != 'F' && start[1] != 'd' && start[1] != 'D')))
    ++at_;
  std::string text(start, at_);
  token_.text = text;
  char mark = text.size() > 1 && text[0] == '0' ? char(tolower(text[1])) : 0;
  char* stop = nullptr;
  if (mark == 'f' || mark == 'd') {
    size_t digits = mark == 'f' ? 8 : 16;
    if (text.size() != digits + 2)
      throw SyntaxError(line_, "malformed number " + text.substr(0, 40));
    token_.kind = Token::real;
    token_.is_double = mark == 'd';
    token_.bits = strtoull(text.c_str() + 2, &stop, 16);
  } else if (mark != 'x' && mark != 'b' && text.find_first_of(".eE") != std::string::npos) {
    token_.kind = Token::real;
    token_.is_double = true;
    double value = strtod(text.c_str(), &stop);
    memcpy(&token_.bits, &value, 8);
  } else {
    token_.kind = Token::integer;
    token_.is_unsigned = text.back() == 'U' || text.back() == 'u';
    if (token_.is_unsigned) text.pop_back();
    int base = mark == 'x' ? 16 : mark == 'b' ? 2 : text[0] == '0' && text.size() > 1 ? 8 : 10;
    const char* digits = text.c_str() + (base == 16 || base == 2 ? 2 : 0);
    if (!*digits) throw SyntaxError(line_, "malformed number " + text.substr(0, 40));
    token_.bits = strtoull(digits, &stop, base);
  }
  if (*stop) throw SyntaxError(line_, "malformed number " + token_.text.substr(0, 40));
}

void Lexer::next() {
  token_ = Token();
  token_.spaced = skip_space();
  token_.line = line_;
  if (at_ >= end_ || *at_ == '\0') return;
  char c = *at_;
  const char* start = at_;
  if (isdigit(uint8_t(c))) return number();
  if (word_char(c) || (c == '%' && at_ + 1 < end_ && word_char(at_[1]))) {
    ++at_;
    while (at_ < end_ && word_char(*at_)) ++at_;
    token_.kind = Token::word;
  } else if (c == '.' && at_ + 1 < end_ && word_char(at_[1])) {
    ++at_;
    while (at_ < end_ && (word_char(*at_) ||
                          (*at_ == ':' && at_ + 2 < end_ && at_[1] == ':' && word_char(at_[2])))) {
      at_ += *at_ == ':' ? 2 : 1;
    }
    token_.kind = Token::directive;
  } else if (c == '"') {
    ++at_;
    while (at_ < end_ && *at_ != '"' && *at_ != '\n') at_ += *at_ == '\\' && at_ + 1 < end_ ? 2 : 1;
    if (at_ >= end_ || *at_ != '"') throw SyntaxError(line_, "a string without its end");
    token_.kind = Token::string;
    token_.text.assign(start + 1, at_);
    ++at_;
    return;
  } else {
    at_ += (c == '<' || c == '>' || c == '=' || c == '!' || c == '&') && at_ + 1 < end_ &&
                   at_[1] == c && c != '!'
               ? 2
               : 1;
    token_.kind = Token::punct;
  }
  token_.text.assign(start, at_);
}

void Lexer::skip_braces() {
  int depth = 0;
  do {
    if (is("{"))
      ++depth;
    else if (is("}"))
      --depth;
    else if (token_.kind == Token::end)
      fail("expected '}'");
    next();
  } while (depth);
}

}  // namespace ptx
