// A tensor as an op sees it: plain data, copied into queued work. Who owns the memory is Storage's
// business.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gptloom {

enum class Dtype : uint8_t { float32, int32, bfloat16 };

inline size_t dtype_size(Dtype dtype) { return dtype == Dtype::bfloat16 ? 2 : 4; }

struct Shape {
  static constexpr int kMaxRank = 6;
  int rank = 0;
  int64_t sizes[kMaxRank] = {};

  int64_t operator[](int i) const { return sizes[i < 0 ? rank + i : i]; }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= sizes[i];
    return n;
  }
  std::string text() const {
    std::string out = "[";
    for (int i = 0; i < rank; i++) out += (i ? ", " : "") + std::to_string(sizes[i]);
    return out + "]";
  }
};

struct Array {
  void* data = nullptr;  // null: an optional argument that was left out
  Dtype dtype = Dtype::float32;
  Shape shape;

  explicit operator bool() const { return data != nullptr; }
  int64_t count() const { return shape.count(); }
  size_t bytes() const { return static_cast<size_t>(count()) * dtype_size(dtype); }
  float* f32() const { return static_cast<float*>(data); }
  int32_t* i32() const { return static_cast<int32_t*>(data); }
  uint16_t* bf16() const { return static_cast<uint16_t*>(data); }
};

// "matmul of [3, 4], [4, 5]": how messages name a call.
inline std::string call_text(const char* op, const std::vector<Array>& arrays) {
  std::string out = op;
  for (size_t i = 0; i < arrays.size(); i++) out += (i ? ", " : " of ") + arrays[i].shape.text();
  return out;
}

}  // namespace gptloom
