#include "cuda/image.h"

#include <cstdint>
#include <cstring>

namespace gptloom::cuda {

namespace {

constexpr uint32_t kMagic = 0xba55ed50;
constexpr size_t kHeader = 16, kEntry = 24;  // bytes of each that are read here
constexpr uint16_t kPtx = 1;

template <class T>
T read(const std::string& image, size_t at) {
  T out;
  std::memcpy(&out, image.data() + at, sizeof out);
  return out;
}

}  // namespace

bool is_whole(const std::string& image) {
  if (image.size() < kHeader || read<uint32_t>(image, 0) != kMagic) return false;
  const uint16_t header = read<uint16_t>(image, 6);
  return header >= kHeader && header <= image.size() &&
         read<uint64_t>(image, 8) <= image.size() - header;
}

std::string ptx_in(const std::string& image) {
  size_t at = read<uint16_t>(image, 6);
  const size_t end = at + read<uint64_t>(image, 8);
  while (end - at >= kEntry) {
    const uint32_t header = read<uint32_t>(image, at + 4);
    const uint64_t stored = read<uint64_t>(image, at + 8);
    if (header < kEntry || header > end - at || stored > end - at - header) break;
    const bool compressed = read<uint32_t>(image, at + 16) != 0;
    if (read<uint16_t>(image, at) == kPtx && !compressed) {
      const std::string text = image.substr(at + header, stored);
      return text.substr(0, text.find('\0'));
    }
    at += header + stored;
  }
  return "";
}

}  // namespace gptloom::cuda
