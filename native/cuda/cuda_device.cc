// Two threads serve the device, so that neither the event loop nor the GPU waits. The first makes
// all calls that put work on the stream, in the order of the ops: the driver may block there, and
// loads kernels. The second waits for what has been asked back, copies it to where it belongs and
// gives the pinned memory free.
#include "cuda/cuda_device.h"

#include <cstdlib>
#include <utility>

#include "../../cuda/failure.h"
#include "bfloat16.h"
#include "cuda/ops.h"
#include "queue.h"

namespace gptloom::cuda {

namespace {

// Larger copies go through the driver's own staging: pinned memory is the system's to share.
constexpr size_t kMostPinned = size_t{4} << 20;

std::string megabytes(size_t bytes) { return std::to_string(bytes >> 20) + " MB"; }

class CudaDevice final : public Device {
 public:
  CudaDevice(int ordinal, const StreamOptions& options)
      : gpu_(ordinal),
        exact_(options.exact),
        board_(gpu_),
        pinned_source_(gpu_),
        tensors_(board_, options.exact),
        pinned_(pinned_source_) {
    const Current current(gpu_);
    stream_ = std::make_unique<Stream>(gpu_, options);
  }

  ~CudaDevice() override {
    close();
    const Current current(gpu_);
    restore_retired();
    for (const CUevent event : events_) gpu_.driver().EventDestroy_v2(event);
    stream_.reset();
  }

  std::string name() const override { return gpu_.name(); }

  MemoryUse memory() const override {
    MemoryUse use = tensors_.use();
    use.reserved += stream_->scratch().use().reserved;
    return use;
  }

  size_t capacity() override { return memory().reserved + free_memory().free; }

  Counts counts() const override { return stream_->counts(); }
  Queue& queue() override { return queue_; }

  void* allocate(size_t bytes) override;
  void release(void* data, size_t bytes) override;
  void upload(Array out, const void* source) override;
  void download(Array x, void* target, std::function<void(std::exception_ptr)> done) override;
  void flush() override {
    enqueue([this] { stream_->flush(); });
  }
  void close() override;

  void call(const gptloom_kernel* kernel, std::vector<Array> arrays,
            std::vector<uint8_t> params) override {
    auto op = std::make_shared<const Op>(Op{kernel->name, arrays});
    auto work = [kernel, arrays = std::move(arrays), params = std::move(params)](Context& c) {
      foreign(c, *kernel, arrays, params);
    };
    enqueue([this, op, work = std::move(work)] { stream_->run(op, work); });
  }

  void fill(Array out, float value) override {
    push("fill", {out}, [=](Context& c) { cuda::fill(c, out, value); });
  }
  void copy(Array out, Array x) override {
    push("copy", {out, x}, [=](Context& c) { cuda::copy(c, out, x); });
  }
  void cast(Array out, Array x) override {
    push("cast", {out, x}, [=](Context& c) { cuda::cast(c, out, x); });
  }
  void add(Array out, Array a, Array b) override {
    push("add", {out, a, b}, [=](Context& c) { cuda::add(c, out, a, b); });
  }
  void scale(Array x, Array factor) override {
    push("scale", {x, factor}, [=](Context& c) { cuda::scale(c, x, factor); });
  }
  void sum(Array out, Array x) override {
    push("sum", {out, x}, [=](Context& c) { cuda::sum(c, out, x); });
  }
  void norm(Array out, std::vector<Array> tensors) override {
    push("norm", {out},
         [out, tensors = std::move(tensors)](Context& c) { cuda::norm(c, out, tensors); });
  }
  void random_normal(Array out, float mean, float deviation, uint64_t seed,
                     uint64_t stream) override {
    push("random_normal", {out},
         [=](Context& c) { cuda::random_normal(c, out, mean, deviation, seed, stream); });
  }
  void random_uniform(Array out, float low, float high, uint64_t seed, uint64_t stream) override {
    push("random_uniform", {out},
         [=](Context& c) { cuda::random_uniform(c, out, low, high, seed, stream); });
  }

  void dropout(Array out, Array x, float p, uint64_t seed, uint64_t stream,
               bool accumulate) override {
    push("dropout", {out, x},
         [=](Context& c) { cuda::dropout(c, out, x, p, seed, stream, accumulate); });
  }
  void gelu_forward(Array out, Array x, Gelu form) override {
    push("gelu", {out, x}, [=](Context& c) { cuda::gelu_forward(c, out, x, form); });
  }
  void gelu_backward(Array dx, Array dout, Array x, Gelu form, bool accumulate) override {
    push("gelu backward", {dx, dout, x},
         [=](Context& c) { cuda::gelu_backward(c, dx, dout, x, form, accumulate); });
  }

  void matmul(Array out, Array pre, Array a, Array b, Array bias, Array residual, bool transpose_a,
              bool transpose_b, Gelu gelu, bool accumulate) override {
    Matmul spec{out, a, b, transpose_a, transpose_b, accumulate};
    spec.bias = bias;
    spec.residual = residual;
    spec.gelu = gelu;
    spec.pre = pre;
    push("matmul", {out, a, b}, [=](Context& c) { cuda::matmul(c, spec); });
  }
  void matmul_gelu_backward(Array out, Array a, Array b, Array pre, bool transpose_a,
                            bool transpose_b, Gelu gelu, bool accumulate) override {
    Matmul spec{out, a, b, transpose_a, transpose_b, accumulate};
    spec.gelu = gelu;
    spec.slope = pre;
    push("matmul and gelu backward", {out, a, b}, [=](Context& c) { cuda::matmul(c, spec); });
  }
  void matmul_bias_backward(Array out, Array sums, Array a, Array b, bool transpose_a,
                            bool accumulate, bool accumulate_sums) override {
    Matmul spec{out, a, b, transpose_a, false, accumulate};
    spec.sums = sums;
    spec.accumulate_sums = accumulate_sums;
    push("matmul and bias backward", {out, a, b}, [=](Context& c) { cuda::matmul(c, spec); });
  }
  void bias_backward(Array dbias, Array dout, bool accumulate) override {
    push("bias backward", {dbias, dout},
         [=](Context& c) { cuda::bias_backward(c, dbias, dout, accumulate); });
  }

  void layernorm_forward(Array out, Array mean, Array rstd, Array x, Array weight, Array bias,
                         float epsilon) override {
    push("layernorm", {out, x, weight}, [=](Context& c) {
      cuda::layernorm_forward(c, out, mean, rstd, x, weight, bias, epsilon);
    });
  }
  void layernorm_backward(Array dx, Array dweight, Array dbias, Array dout, Array x, Array weight,
                          Array mean, Array rstd, bool accumulate_dx, bool accumulate_dweight,
                          bool accumulate_dbias) override {
    push("layernorm backward", {dout, x, weight}, [=](Context& c) {
      cuda::layernorm_backward(c, dx, dweight, dbias, dout, x, weight, mean, rstd, accumulate_dx,
                               accumulate_dweight, accumulate_dbias);
    });
  }

  void embedding_forward(Array out, Array tokens, Array starts, Array wte, Array wpe,
                         int64_t past) override {
    push("embedding", {out, tokens, wte}, [=](Context& c) {
      cuda::embedding_forward(c, out, tokens, starts, wte, wpe, past + queue_.moved().places);
    });
  }
  void embedding_backward(Array dwte, Array dwpe, Array dout, Array tokens, Array starts) override {
    push("embedding backward", {dout, tokens},
         [=](Context& c) { cuda::embedding_backward(c, dwte, dwpe, dout, tokens, starts); });
  }

  void attention_forward(Array out, Array lse, Array qkv, Array starts, int64_t heads,
                         int64_t window, float dropout, uint64_t seed, uint64_t stream) override {
    push("attention", {out, qkv}, [=](Context& c) {
      cuda::attention_forward(c, out, lse, qkv, starts, {heads, window, dropout, seed, stream});
    });
  }
  void attention_backward(Array dqkv, Array dout, Array qkv, Array out, Array lse, Array starts,
                          int64_t heads, int64_t window, float dropout, uint64_t seed,
                          uint64_t stream, bool accumulate) override {
    push("attention backward", {dqkv, dout, qkv}, [=](Context& c) {
      cuda::attention_backward(c, dqkv, dout, qkv, out, lse, starts,
                               {heads, window, dropout, seed, stream}, accumulate);
    });
  }
  void attention_cached(Array out, Array k_cache, Array v_cache, Array qkv, int64_t heads,
                        int64_t window, int64_t past) override {
    push("cached attention", {out, k_cache, qkv}, [=](Context& c) {
      const int64_t at = past + queue_.moved().places;
      cuda::attention_cached(c, out, k_cache, v_cache, qkv, {heads, window}, at);
    });
  }

  void crossentropy(Array losses, Array dlogits, Array logits, Array targets,
                    float smoothing) override {
    push("crossentropy", {logits, targets},
         [=](Context& c) { cuda::crossentropy(c, losses, dlogits, logits, targets, smoothing); });
  }
  void linear_crossentropy(Array losses, Array dx, Array dweight, Array x, Array weight,
                           Array targets, float smoothing) override {
    push("linear crossentropy", {x, weight, targets}, [=](Context& c) {
      cuda::linear_crossentropy(c, losses, dx, dweight, x, weight, targets, smoothing);
    });
  }

  void adamw(std::vector<Array> params, std::vector<Array> gradients, std::vector<Array> m,
             std::vector<Array> v, std::vector<Array> masters, std::vector<double> weight_decays,
             Array norm, float learning_rate, float beta1, float beta2, float epsilon,
             float gradient_scale, float max_norm, int64_t step, uint64_t seed) override {
    std::vector<AdamwTensor> tensors;
    for (size_t i = 0; i < params.size(); i++) {
      tensors.push_back(
          {params[i], gradients[i], m[i], v[i], masters[i], static_cast<float>(weight_decays[i])});
    }
    const Adamw spec{learning_rate,  beta1,    beta2, epsilon,
                     gradient_scale, max_norm, step,  seed};
    push("adamw", {norm}, [tensors = std::move(tensors), norm, spec](Context& c) {
      cuda::adamw(c, tensors, norm, spec);
    });
  }

 private:
  struct Board {
    size_t free, total;
  };
  Board free_memory() {
    Board board{};
    const Current current(gpu_);
    gpu_.check(gpu_.driver().MemGetInfo_v2(&board.free, &board.total), "asking for memory");
    return board;
  }

  using Done = std::function<void(std::exception_ptr)>;
  struct Read;

  void push(const char* name, std::initializer_list<Array> arrays,
            std::function<void(Context&)> work) {
    auto op = std::make_shared<const Op>(Op{name, arrays});
    enqueue([this, op, work = std::move(work)] { stream_->run(op, work); });
  }
  // Runs work on the stream's thread, unless the device is lost: that is told at every await.
  void enqueue(std::function<void()> work) {
    queue_.push(
        [this, work = std::move(work)] {
          if (gpu_.lost()) return;
          const Current current(gpu_);
          try {
            work();
          } catch (...) {
            // What came before is not to blame, and must not wait: its memory may go any time.
            flush_quietly();
            throw;
          }
        },
        nullptr);
  }
  void flush_quietly() {
    try {
      stream_->flush();
    } catch (const Error&) {
      // One failure has been told already.
    }
  }

  std::shared_ptr<Read> begin_read(const Array& x, void* target);
  void restore_retired();
  std::exception_ptr end_read(const Read& read);
  std::shared_ptr<void> staging(size_t bytes);
  std::shared_ptr<CUevent_st> mark();

  Gpu gpu_;
  const bool exact_;
  BoardMemory board_;
  PinnedMemory pinned_source_;
  Allocator tensors_;  // follows the calls: see device.h
  Allocator pinned_;
  std::unique_ptr<Stream> stream_;  // with scratch memory that follows the stream
  std::mutex mutex_;
  std::vector<CUevent> events_;  // free ones
  bool closed_ = false;
  std::vector<void*> retired_;  // exact memory that nothing uses any more; the queue's thread's own
  Queue queue_;                 // puts work on the stream
  Queue waiting_;  // waits for it; both last, so that their threads end before what they use
};

// What a download has asked for.
struct CudaDevice::Read {
  Array x;
  void* target;
  std::shared_ptr<void> values;  // pinned or not; null: copied to the target itself, or nothing
  std::shared_ptr<void> failures;
  Section section;
  std::shared_ptr<CUevent_st> event;
};

void* CudaDevice::allocate(size_t bytes) {
  void* data = tensors_.allocate(bytes);
  if (!data) {
    // Cached blocks may still be used by queued work.
    enqueue([this] {
      stream_->flush();
      stream_->trim();
    });
    queue_.drain();
    const Current current(gpu_);
    gpu_.driver().StreamSynchronize(stream_->stream());
    tensors_.trim();
    data = tensors_.allocate(bytes);
  }
  if (data) return data;
  if (const auto lost = gpu_.lost()) std::rethrow_exception(lost);
  const auto [free, total] = free_memory();
  const size_t used = tensors_.use().used, reserved = memory().reserved;
  throw Error("ERR_OUT_OF_MEMORY",
              gpu_.name() + " has no " + megabytes(bytes) + " left: of " + megabytes(total) +
                  ", this device holds " + megabytes(used) + " in tensors and " +
                  megabytes(reserved - used) + " in scratch, " + megabytes(free) +
                  " are free, the rest is other programs'. Use a smaller batch, context or model");
}

void CudaDevice::release(void* data, size_t bytes) {
  tensors_.release(data, bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) tensors_.trim();
}

std::shared_ptr<void> CudaDevice::staging(size_t bytes) {
  if (bytes <= kMostPinned) {
    if (void* block = pinned_.allocate(bytes))
      return {block, [this, bytes](void* p) { pinned_.release(p, bytes); }};
  }
  void* block = std::malloc(bytes);
  if (!block) throw Error("ERR_OUT_OF_MEMORY", "No memory to copy " + megabytes(bytes));
  return {block, std::free};
}

// An event behind all that is on the stream.
std::shared_ptr<CUevent_st> CudaDevice::mark() {
  CUevent event = nullptr;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!events_.empty()) {
      event = events_.back();
      events_.pop_back();
    }
  }
  if (!event) {
    gpu_.check(gpu_.driver().EventCreate(&event, kEventBlockingSync | kEventDisableTiming),
               "creating an event");
  }
  std::shared_ptr<CUevent_st> out(event, [this](CUevent free) {
    std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(free);
  });
  gpu_.check(gpu_.driver().EventRecord(event, stream_->stream()), "marking the stream",
             stream_->section().text());
  return out;
}

void CudaDevice::upload(Array out, const void* source) {
  const size_t bytes = out.bytes();
  if (bytes == 0) return;
  auto block = staging(bytes);
  import_values(block.get(), out, source);
  enqueue([this, out, bytes, block] {
    stream_->flush();
    gpu_.check(gpu_.driver().MemcpyHtoDAsync_v2(address_of(out.data), block.get(), bytes,
                                                stream_->stream()),
               "uploading " + out.shape.text(), stream_->section().text());
    // A lost device is told by the read that follows.
    waiting_.push(
        [this, block, event = mark()] {
          const Current current(gpu_);
          gpu_.driver().EventSynchronize(event.get());
        },
        nullptr);
  });
}

std::shared_ptr<CudaDevice::Read> CudaDevice::begin_read(const Array& x, void* target) {
  const Current current(gpu_);
  auto read = std::make_shared<Read>();
  read->x = x;
  read->target = target;
  read->failures = staging(Stream::kFailures * sizeof(Failure));
  stream_->flush();
  const size_t bytes = target ? x.bytes() : 0;
  if (bytes > 0) {
    void* to = target;
    if (bytes <= kMostPinned || x.dtype == Dtype::bfloat16) {
      read->values = staging(bytes);
      to = read->values.get();
    }
    gpu_.check(gpu_.driver().MemcpyDtoHAsync_v2(to, address_of(x.data), bytes, stream_->stream()),
               "reading " + x.shape.text(), stream_->section().text());
  }
  read->section = stream_->end_section(static_cast<Failure*>(read->failures.get()));
  read->event = mark();
  if (exact_) {
    stream_->trim();
    restore_retired();
  }
  return read;
}

void CudaDevice::restore_retired() {
  for (void* block : retired_) board_.restore(block);
  retired_.clear();
}

std::exception_ptr CudaDevice::end_read(const Read& read) {
  try {
    const Current current(gpu_);
    gpu_.check(gpu_.driver().EventSynchronize(read.event.get()), "waiting", read.section.text());
  } catch (...) {
    return std::current_exception();
  }
  const auto* failures = static_cast<const Failure*>(read.failures.get());
  if (auto failure = Stream::failure_of(read.section, failures, name())) return failure;
  if (read.values) export_values(read.target, read.x, read.values.get());
  return nullptr;
}

void CudaDevice::download(Array x, void* target, Done done) {
  // What has been released by now is used by nothing behind this call.
  auto retired = exact_ ? tensors_.detach() : std::vector<void*>();
  queue_.push_report([this, x, target, retired = std::move(retired),
                      done = std::move(done)](std::exception_ptr failure) {
    retired_.insert(retired_.end(), retired.begin(), retired.end());
    if (const auto lost = gpu_.lost()) failure = lost;
    std::shared_ptr<Read> read;
    if (!failure) {
      try {
        read = begin_read(x, target);
      } catch (...) {
        failure = std::current_exception();
      }
    }
    // Reads end in the order in which they began, whatever becomes of them.
    waiting_.push_report([this, read, failure, done](std::exception_ptr closed) {
      done(closed ? closed : failure ? failure : end_read(*read));
    });
  });
}

void CudaDevice::close() {
  queue_.close();
  waiting_.close();
  const Current current(gpu_);
  gpu_.driver().StreamSynchronize(stream_->stream());
  std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  tensors_.trim();
}

}  // namespace

std::shared_ptr<Device> open_device(int ordinal, const StreamOptions& options) {
  return std::make_shared<CudaDevice>(ordinal, options);
}

}  // namespace gptloom::cuda
