// What every CUDA op receives: a way to launch kernels in order, and scratch memory that follows
// that order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "array.h"
#include "gptloom.h"

namespace gptloom::cuda {

struct Grid {
  unsigned x = 1, y = 1, z = 1;  // blocks
};

// What a kernel found wrong in its data, such as a token outside the vocabulary; each call of an op
// has its own.
struct Failure;

class Context {
 public:
  virtual ~Context() = default;

  // Queues a launch. Each argument is copied and must have exactly the type that the kernel
  // declares: a pointer, int32_t, int64_t, uint64_t, float, or a trivially copyable struct. A grid
  // with a zero launches nothing. `shared` is dynamic shared memory in bytes and may be above 48
  // KB.
  template <class... Args>
  void launch(const char* kernel, Grid grid, unsigned threads, unsigned shared,
              const Args&... args) {
    static_assert((std::is_trivially_copyable_v<Args> && ...));
    const void* const pointers[] = {&args..., nullptr};
    const size_t sizes[] = {sizeof(Args)..., 0};
    const void* const* first = pointers;  // of the exact type, or this template would call itself
    const size_t* size = sizes;
    launch(kernel, grid, threads, shared, first, size, sizeof...(Args));
  }

  // Queues a launch of somebody else's kernel, from the image that it comes with.
  virtual void launch_foreign(const gptloom_kernel& from, const char* kernel, Grid grid,
                              unsigned threads, unsigned shared, const void* const* args,
                              const size_t* sizes, size_t count) = 0;

  // Device memory that holds these bytes, until the next call: for lists that are too long for the
  // arguments of a launch. It costs a copy only where the bytes differ from those before.
  virtual const void* table(const void* data, size_t bytes) = 0;

  // Fills with a byte, in order.
  virtual void memset(void* data, uint8_t value, size_t bytes) = 0;

  // 256-byte aligned, contents undefined. What is given back may be handed out again at once,
  // because it follows the queue. Throws Error("ERR_OUT_OF_MEMORY").
  virtual void* take(size_t bytes) = 0;
  virtual void give_back(void* block, size_t bytes) = 0;

  // Where the kernels of this call of an op leave what is wrong with their data; see cuda/failure.h.
  virtual Failure* failure() = 0;

  virtual int multiprocessors() const = 0;
  virtual int compute_capability() const = 0;  // 80 for 8.0
  virtual bool tf32() const = 0;  // products of float32 may be made of operands rounded to tf32
  virtual size_t shared_memory() const = 0;    // the most that one block may ask for, in bytes

 private:
  virtual void launch(const char* kernel, Grid grid, unsigned threads, unsigned shared,
                      const void* const* args, const size_t* sizes, size_t count) = 0;
};

// Device memory of `count` elements for the length of a scope.
template <class T>
class Scratch {
 public:
  Scratch(Context& context, int64_t count)
      : context_(context),
        bytes_(static_cast<size_t>(count) * sizeof(T)),
        data_(static_cast<T*>(context.take(bytes_))) {}
  ~Scratch() { context_.give_back(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() { return data_; }
  operator T*() { return data_; }

 private:
  Context& context_;
  size_t bytes_;
  T* data_;
};

}  // namespace gptloom::cuda
