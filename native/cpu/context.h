// What every CPU op receives: the threads to spread over, the kernels for this machine's
// instruction set, and scratch memory that comes from the device's allocator.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpu/kernels.h"
#include "cpu/pool.h"

namespace gptloom::cpu {

// Gives and takes back 64-byte aligned blocks. Throws Error("ERR_OUT_OF_MEMORY").
struct ScratchSource {
  virtual void* take(size_t bytes) = 0;
  virtual void give_back(void* block, size_t bytes) = 0;

 protected:
  ~ScratchSource() = default;
};

struct Context {
  Pool& pool;
  const Kernels& kernels;
  ScratchSource& source;
};

// Scratch of `count` elements for the length of a scope; contents start undefined.
template <class T>
class Scratch {
 public:
  Scratch(Context& context, int64_t count)
      : source_(context.source),
        bytes_(static_cast<size_t>(count) * sizeof(T)),
        data_(static_cast<T*>(source_.take(bytes_))) {}
  ~Scratch() { source_.give_back(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() { return data_; }
  operator T*() { return data_; }

 private:
  ScratchSource& source_;
  size_t bytes_;
  T* data_;
};

}  // namespace gptloom::cpu
