// The table of register-to-register instruction forms: the text of an opcode with its modifiers,
// what runs it, and the types of its operands. What is not in the table does not exist.
#pragma once
#include "machine.h"

namespace ptx {

enum class Shape : uint8_t {
  plain,    // d, a, b, c by types[]
  compare,  // setp: p|q, a, b, c; imm says how c joins
  carry     // plain, and the warp's carry mask as the extra operand
};

struct Form {
  Fn fn = nullptr;
  std::vector<Ty> types;  // destination first
  Class cls = Class::other;
  uint16_t flops = 0;
  uint32_t imm = 0;
  Shape shape = Shape::plain;
};

using Forms = std::unordered_map<std::string, Form>;

// Bits of imm for Shape::compare.
constexpr uint32_t join_and = 1, join_or = 2, join_xor = 3, join_negated = 4, join_pair = 8;

const Forms& forms();

}  // namespace ptx
