// The interface that every device implements: memory, a queue, and one method an op. Nothing here
// knows of Node.
//
// A device is a queue. Ops are enqueued from one thread and return at once; they run in order.
// Memory follows the queue too: a block that is released may be handed out again at once, because
// whatever uses it next runs after whatever used it last. So a training step's memory depends on
// the order of calls alone, never on timing.
//
// Arguments are trusted, having been checked in TypeScript. What only shows when an op runs (a
// token outside the vocabulary, no memory for scratch) is kept as the queue's first failure until a
// read or an idle() has reported it. The ops behind it are skipped, except on a GPU where only the
// data was wrong: there they run, on rows that count as zeros.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "array.h"
#include "error.h"
#include "gelu.h"
#include "gptloom.h"
#include "queue.h"

namespace gptloom {

struct MemoryUse {
  size_t used;      // bytes in live tensors
  size_t peak;      // the most that `used` has been
  size_t reserved;  // bytes held from the system: live, cached for reuse, and scratch
};

// What a GPU was told to do so far.
struct Counts {
  uint64_t kernels;  // launched one by one
  uint64_t graphs;   // launched: many kernels at once
};

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // for people: "CPU (avx2, 8 threads)"
  virtual MemoryUse memory() const = 0;
  // Bytes that it can hold: what it holds and what is free; 0 where only the system knows.
  virtual size_t capacity() { return 0; }
  virtual Counts counts() const { return {}; }
  // Notes ops as they run, from here on or no more, for the bench; on the CPU alone, where an op has
  // run when the queue is done with it. Returns what was noted before.
  virtual std::vector<Ran> watch(bool /*on*/) { return {}; }

  // Where ops wait for their turn, for whoever records and replays them: their memory must then
  // live as long as they do.
  virtual Queue& queue() = 0;

  // Throws Error("ERR_OUT_OF_MEMORY"). Contents start undefined.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* data, size_t bytes) = 0;

  // The source is copied before the call returns. Values of a bfloat16 tensor travel as float32,
  // both ways; they are rounded to nearest even.
  virtual void upload(Array out, const void* source) = 0;
  // `done` is called once, on another thread: when `target` is filled, or with the queue's first
  // failure. With target null it only marks the point in the queue. Closing the device calls it
  // with ERR_DEVICE.
  virtual void download(Array x, void* target, std::function<void(std::exception_ptr)> done) = 0;
  // Starts what has been enqueued, without waiting: a device may hold work back until somebody
  // reads, to send much at once.
  virtual void flush() {}
  // Gives back to the system what is kept for reuse. Waits for what has been enqueued.
  virtual void trim() {}
  // Drops what has not started, waits for what has, and returns with no thread of this device left
  // running.
  virtual void close() = 0;

  // A kernel that somebody else has written; see gptloom.h.
  virtual void call(const gptloom_kernel* kernel, std::vector<Array> arrays,
                    std::vector<uint8_t> params) = 0;

  virtual void fill(Array out, float value) = 0;
  virtual void copy(Array out, Array x) = 0;
  virtual void cast(Array out, Array x) = 0;  // between float32 and bfloat16
  virtual void add(Array out, Array a, Array b) = 0;
  virtual void scale(Array x, Array factor) = 0;
  virtual void sum(Array out, Array x) = 0;
  virtual void norm(Array out, std::vector<Array> tensors) = 0;
  virtual void random_normal(Array out, float mean, float deviation, uint64_t seed,
                             uint64_t stream) = 0;
  virtual void random_uniform(Array out, float low, float high, uint64_t seed, uint64_t stream) = 0;

  virtual void dropout(Array out, Array x, float p, uint64_t seed, uint64_t stream,
                       bool accumulate) = 0;
  virtual void gelu_forward(Array out, Array x, Gelu form) = 0;
  virtual void gelu_backward(Array dx, Array dout, Array x, Gelu form, bool accumulate) = 0;

  // out[M, N] = act(op(a) op(b) + bias) + residual. With gelu, `pre` (optional) keeps the value
  // before it.
  virtual void matmul(Array out, Array pre, Array a, Array b, Array bias, Array residual,
                      bool transpose_a, bool transpose_b, Gelu gelu, bool accumulate) = 0;
  // out (+)= (op(a) op(b)) gelu'(pre): the gradient of what a GELU was applied to.
  virtual void matmul_gelu_backward(Array out, Array a, Array b, Array pre, bool transpose_a,
                                    bool transpose_b, Gelu gelu, bool accumulate) = 0;
  // out (+)= op(a) b, and sums[N] (+)= the sums of b's columns: the gradients of a weight and of a
  // bias, b being that of their output.
  virtual void matmul_bias_backward(Array out, Array sums, Array a, Array b, bool transpose_a,
                                    bool accumulate, bool accumulate_sums) = 0;
  virtual void bias_backward(Array dbias, Array dout, bool accumulate) = 0;

  virtual void layernorm_forward(Array out, Array mean, Array rstd, Array x, Array weight,
                                 Array bias, float epsilon) = 0;
  virtual void layernorm_backward(Array dx, Array dweight, Array dbias, Array dout, Array x,
                                  Array weight, Array mean, Array rstd, bool accumulate_dx,
                                  bool accumulate_dweight, bool accumulate_dbias) = 0;

  virtual void embedding_forward(Array out, Array tokens, Array starts, Array wte, Array wpe,
                                 int64_t past) = 0;
  virtual void embedding_backward(Array dwte, Array dwpe, Array dout, Array tokens,
                                  Array starts) = 0;

  // window: how many keys a query sees at most, itself included; 0: all before it.
  virtual void attention_forward(Array out, Array lse, Array qkv, Array starts, int64_t heads,
                                 int64_t window, float dropout, uint64_t seed, uint64_t stream) = 0;
  virtual void attention_backward(Array dqkv, Array dout, Array qkv, Array out, Array lse,
                                  Array starts, int64_t heads, int64_t window, float dropout,
                                  uint64_t seed, uint64_t stream, bool accumulate) = 0;
  virtual void attention_cached(Array out, Array k_cache, Array v_cache, Array qkv, int64_t heads,
                                int64_t window, int64_t past) = 0;

  virtual void crossentropy(Array losses, Array dlogits, Array logits, Array targets,
                            float smoothing) = 0;
  virtual void linear_crossentropy(Array losses, Array dx, Array dweight, Array x, Array weight,
                                   Array targets, float smoothing) = 0;

  // Weights in fewer bytes, for inference: b[K, N] of a product as bfloat16, or as int8 in blocks of
  // 32 along K with a float scale each. `packed` is opaque and typed int32; cpu/compact.h says how
  // large it is. The weight to pack is [K, N], or [N, K] with transpose. ERR_DEVICE but on the CPU.
  virtual void compact_pack(Array /*packed*/, Array /*weight*/, bool /*transpose*/, bool /*int8*/) {
    no_compact();
  }
  // out[M, N] = act(a[M, K] b + bias) + residual.
  virtual void compact_matmul(Array /*out*/, Array /*a*/, Array /*packed*/, Array /*bias*/,
                              Array /*residual*/, Gelu /*gelu*/, bool /*int8*/) {
    no_compact();
  }
  // As embedding_forward, of a table of `count` rows that was packed with transpose.
  virtual void compact_embedding(Array /*out*/, Array /*tokens*/, Array /*starts*/,
                                 Array /*packed*/, Array /*wpe*/, int64_t /*past*/,
                                 int64_t /*count*/, bool /*int8*/) {
    no_compact();
  }

  // One step over all tensors; see native/cpu/ops.h for the arithmetic. A bfloat16 parameter has a
  // float32 master, which holds the exact weights; without one it is rounded up or down at random,
  // by words that (seed, step, the tensor's place) name. Others have no master.
  virtual void adamw(std::vector<Array> params, std::vector<Array> gradients, std::vector<Array> m,
                     std::vector<Array> v, std::vector<Array> masters,
                     std::vector<double> weight_decays, Array norm, float learning_rate,
                     float beta1, float beta2, float epsilon, float gradient_scale, float max_norm,
                     int64_t step, uint64_t seed) = 0;

 private:
  [[noreturn]] void no_compact() const {
    throw Error("ERR_DEVICE", "Compact weights are for the CPU, not for " + name());
  }
};

}  // namespace gptloom
