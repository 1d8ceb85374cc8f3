// The fat binary that nvcc makes: finds the PTX text that a device can take.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace ptx {

struct FatbinEntry {
  enum class Kind : uint8_t { ptx, cubin, other } kind = Kind::other;
  int sm = 0;           // 80
  bool exact = false;   // "a": this compute capability only
  bool family = false;  // "f": this major number only
  bool compressed = false;
  const uint8_t* data = nullptr;
  size_t size = 0;  // stored bytes, all inside the image
};

struct Fatbin {
  std::vector<FatbinEntry> entries;
  std::string error;  // one line; empty when the image was read whole
};

constexpr uint32_t fatbin_magic = 0xba55ed50, wrapper_magic = 0x466243b1;

// Reads an image of at most `size` bytes (SIZE_MAX when unknown: the header's own length then counts).
// Nothing outside of it is touched, whatever the lengths in it say.
Fatbin parse_fatbin(const void* image, size_t size);

// The entry a device of compute capability `sm` would compile: the highest fit. Null, with one line that
// says why, when there is none.
const FatbinEntry* choose_ptx(const Fatbin& fatbin, int sm, std::string* error);

// Registers a thread of each kernel, as ptxas wrote them into an uncompressed cubin; empty when it cannot
// be read.
std::unordered_map<std::string, int> cubin_registers(const uint8_t* data, size_t size);

}  // namespace ptx
