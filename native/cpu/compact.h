// Weights in fewer bytes, as they lie: b[K, N] of a product, in panels of 32 columns, one behind
// the other. The last panel's columns that b lacks are zeros.
//
//   bfloat16   panel: for each k, its 32 columns
//   int8       panel: for each block of 32 k (the last may be shorter), a float scale for each of
//              the 32 columns, then for each k its 32 columns as int8: value = scale * int8
//
// So a thread that makes some columns reads one stream, whatever the instruction set.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gptloom::cpu {

struct CompactWeight {
  static constexpr int64_t lanes = 32;  // columns of a panel
  static constexpr int64_t block = 32;  // k that share a scale
  static constexpr int64_t scales_bytes = lanes * static_cast<int64_t>(sizeof(float));

  unsigned char* data = nullptr;
  bool int8 = false;  // else bfloat16
  int64_t K = 0;

  explicit operator bool() const { return data != nullptr; }
  int64_t panel_bytes() const {
    return int8 ? (K + block - 1) / block * scales_bytes + K * lanes : K * lanes * 2;
  }
  static int64_t panels(int64_t N) { return (N + lanes - 1) / lanes; }
  unsigned char* panel(int64_t column) const { return data + column / lanes * panel_bytes(); }
  // Of int8: where the block that k is in begins, in its panel.
  static int64_t block_at(int64_t k) { return k / block * (scales_bytes + block * lanes); }
};

}  // namespace gptloom::cpu
