// The fat binaries that kernels come in, as far as the host must understand them. Layout, little
// endian: u32 magic, u16 version, u16 header bytes, u64 payload bytes; then entries of u16 kind (1:
// PTX, 2: machine code), u16 version, u32 header bytes, u64 stored bytes, u32 compressed bytes ...,
// each followed by what it stores.
#pragma once
#include <string>

namespace gptloom::cuda {

// Whether the file holds all that its header states. The driver believes the header: what was cut
// short must not get there.
bool is_whole(const std::string& image);

// The uncompressed PTX text in an image that is whole; empty when it has none.
std::string ptx_in(const std::string& image);

}  // namespace gptloom::cuda
