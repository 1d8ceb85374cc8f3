// The one exception of the native side: a code that programs read and a message that people read.
// The glue turns it into a GptloomError of the same code.
#pragma once
#include <stdexcept>
#include <string>

namespace gptloom {

struct Error : std::runtime_error {
  Error(const char* error_code, const std::string& message)
      : std::runtime_error(message), code(error_code) {}
  const char* code;  // static text: ERR_OUT_OF_MEMORY, ERR_INDEX ...
};

}  // namespace gptloom
