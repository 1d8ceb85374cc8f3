#include "cpu/cpu_device.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "bfloat16.h"
#include "error.h"

namespace gptloom::cpu {

namespace {

// Never destroyed, so that its threads cannot outlive it while the process exits.
std::shared_ptr<Pool> shared_pool() {
  static auto* pool = new std::shared_ptr<Pool>(std::make_shared<Pool>(available_threads()));
  return *pool;
}

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(std::shared_ptr<Pool> pool)
      : pool_(std::move(pool)), context_{*pool_, kernels(), scratch_} {}

  std::string name() const override {
    const int threads = pool_->threads();
    return std::string("CPU (") + context_.kernels.isa + ", " + std::to_string(threads) +
           (threads == 1 ? " thread)" : " threads)");
  }

  MemoryUse memory() const override {
    MemoryUse use = tensors_.use();
    use.reserved += scratch_.use().reserved;
    return use;
  }

  std::vector<Ran> watch(bool on) override { return queue_.watch(on); }
  Queue& queue() override { return queue_; }

  void* allocate(size_t bytes) override {
    void* data = tensors_.allocate(bytes);
    if (!data) {
      queue_.drain();  // cached blocks may still be used by queued work
      tensors_.trim();
      data = tensors_.allocate(bytes);
    }
    if (data) return data;
    const MemoryUse use = memory();
    throw Error("ERR_OUT_OF_MEMORY", "The system has no " + std::to_string(bytes >> 20) +
                                         " MB left; this device holds " +
                                         std::to_string(use.used >> 20) +
                                         " MB in tensors. Use a smaller batch, context or model");
  }

  void release(void* data, size_t bytes) override { tensors_.release(data, bytes); }

  void upload(Array out, const void* source) override {
    std::shared_ptr<void> copy(std::malloc(out.bytes() + 1), std::free);
    if (!copy) throw Error("ERR_OUT_OF_MEMORY", "No memory to upload " + out.shape.text());
    import_values(copy.get(), out, source);
    push("upload", [out, copy] { std::memcpy(out.data, copy.get(), out.bytes()); }, {out});
  }

  void download(Array x, void* target, std::function<void(std::exception_ptr)> done) override {
    queue_.push_report([x, target, done = std::move(done)](std::exception_ptr failure) {
      if (!failure && target) export_values(target, x, x.data);
      done(failure);
    });
  }

  void trim() override {
    queue_.drain();
    tensors_.trim();
    scratch_.trim();
  }
  void close() override { queue_.close(); }

  void call(const gptloom_kernel* kernel, std::vector<Array> arrays,
            std::vector<uint8_t> params) override {
    auto describe = [kernel, arrays, this] { return call_text(kernel->name, arrays) + " on " + name(); };
    queue_.push([this, kernel, arrays = std::move(arrays),
                 params = std::move(params)] { foreign(context_, *kernel, arrays, params); },
                std::move(describe));
  }

  void fill(Array out, float value) override {
    push("fill", [=] { cpu::fill(context_, out.f32(), value, out.count()); }, {out});
  }
  void copy(Array out, Array x) override {
    push("copy",
         [=] {
           if (out.dtype == Dtype::bfloat16)
             std::memcpy(out.data, x.data, out.bytes());
           else
             cpu::copy(context_, out.f32(), x.f32(), out.count());
         },
         {out, x});
  }
  void cast(Array out, Array x) override {
    push("cast",
         [=] {
           if (out.dtype == Dtype::bfloat16)
             narrow(out.bf16(), x.f32(), x.count());
           else
             widen(out.f32(), x.bf16(), x.count());
         },
         {out, x});
  }
  void add(Array out, Array a, Array b) override {
    push("add", [=] { cpu::add(context_, out.f32(), a.f32(), b.f32(), out.count()); }, {out, a, b});
  }
  void scale(Array x, Array factor) override {
    push("scale", [=] { cpu::scale(context_, x.f32(), factor.f32(), x.count()); }, {x, factor});
  }
  void sum(Array out, Array x) override {
    push("sum", [=] { cpu::sum(context_, out.f32(), x.f32(), x.count()); }, {out, x});
  }
  void norm(Array out, std::vector<Array> tensors) override {
    std::vector<Span> spans;
    for (const Array& x : tensors) spans.push_back({x.f32(), x.count()});
    push("norm", [=] { cpu::norm(context_, out.f32(), spans); }, {out});
  }
  void random_normal(Array out, float mean, float deviation, uint64_t seed,
                     uint64_t stream) override {
    push("random_normal",
         [=] {
           cpu::random_normal(context_, out.f32(), out.count(), mean, deviation, seed, stream);
         },
         {out});
  }
  void random_uniform(Array out, float low, float high, uint64_t seed, uint64_t stream) override {
    push("random_uniform",
         [=] {
           cpu::random_uniform(context_, out.f32(), out.count(), low, high, seed, moved(stream));
         },
         {out});
  }

  void dropout(Array out, Array x, float p, uint64_t seed, uint64_t stream,
               bool accumulate) override {
    push(
        "dropout",
        [=] {
          cpu::dropout(context_, out.f32(), x.f32(), x.count(), p, seed, moved(stream), accumulate);
        },
        {out, x});
  }
  void gelu_forward(Array out, Array x, Gelu form) override {
    push("gelu", [=] { cpu::gelu_forward(context_, out.f32(), x.f32(), x.count(), form); },
         {out, x});
  }
  void gelu_backward(Array dx, Array dout, Array x, Gelu form, bool accumulate) override {
    push("gelu backward",
         [=] {
           cpu::gelu_backward(context_, dx.f32(), dout.f32(), x.f32(), x.count(), form, accumulate);
         },
         {dx, dout, x});
  }

  void matmul(Array out, Array pre, Array a, Array b, Array bias, Array residual, bool transpose_a,
              bool transpose_b, Gelu gelu, bool accumulate) override {
    Matmul spec = product(out, a, transpose_a, transpose_b, accumulate);
    spec.bias = bias.f32();
    spec.residual = residual.f32();
    spec.gelu = gelu;
    if (gelu != Gelu::none) spec.pre = pre.f32();
    push("matmul", [=] { cpu::matmul(context_, out.f32(), a.f32(), b.f32(), spec); }, {out, a, b});
  }
  void matmul_gelu_backward(Array out, Array a, Array b, Array pre, bool transpose_a,
                            bool transpose_b, Gelu gelu, bool accumulate) override {
    Matmul spec = product(out, a, transpose_a, transpose_b, accumulate);
    spec.gelu = gelu;
    spec.slope = pre.f32();
    push("matmul and gelu backward",
         [=] { cpu::matmul(context_, out.f32(), a.f32(), b.f32(), spec); }, {out, a, b});
  }
  void matmul_bias_backward(Array out, Array sums, Array a, Array b, bool transpose_a,
                            bool accumulate, bool accumulate_sums) override {
    Matmul spec = product(out, a, transpose_a, false, accumulate);
    spec.sums = sums.f32();
    spec.accumulate_sums = accumulate_sums;
    push("matmul and bias backward",
         [=] { cpu::matmul(context_, out.f32(), a.f32(), b.f32(), spec); }, {out, a, b});
  }
  void bias_backward(Array dbias, Array dout, bool accumulate) override {
    const int64_t N = dbias.count();
    push("bias backward",
         [=] {
           cpu::bias_backward(context_, dbias.f32(), dout.f32(), dout.count() / N, N, accumulate);
         },
         {dbias, dout});
  }

  void layernorm_forward(Array out, Array mean, Array rstd, Array x, Array weight, Array bias,
                         float epsilon) override {
    const int64_t C = x.shape[-1];
    push("layernorm",
         [=] {
           cpu::layernorm_forward(context_, out.f32(), mean.f32(), rstd.f32(), x.f32(),
                                  weight.f32(), bias.f32(), x.count() / C, C, epsilon);
         },
         {out, x, weight});
  }
  void layernorm_backward(Array dx, Array dweight, Array dbias, Array dout, Array x, Array weight,
                          Array mean, Array rstd, bool accumulate_dx, bool accumulate_dweight,
                          bool accumulate_dbias) override {
    const int64_t C = x.shape[-1];
    push("layernorm backward",
         [=] {
           cpu::layernorm_backward(context_, dx.f32(), dweight.f32(), dbias.f32(), dout.f32(),
                                   x.f32(), weight.f32(), mean.f32(), rstd.f32(), x.count() / C, C,
                                   accumulate_dx, accumulate_dweight, accumulate_dbias);
         },
         {dout, x, weight});
  }

  void embedding_forward(Array out, Array tokens, Array starts, Array wte, Array wpe,
                         int64_t past) override {
    const Embedding spec = embedding(out, wte, wpe, past);
    push("embedding",
         [=] {
           cpu::embedding_forward(context_, out.f32(), tokens.i32(), starts.i32(), wte.f32(),
                                  wpe.f32(), moved(spec));
         },
         {out, tokens, wte});
  }
  void embedding_backward(Array dwte, Array dwpe, Array dout, Array tokens, Array starts) override {
    const Embedding spec = embedding(dout, dwte, dwpe, 0);
    push("embedding backward",
         [=] {
           cpu::embedding_backward(context_, dwte.f32(), dwpe.f32(), dout.f32(), tokens.i32(),
                                   starts.i32(), spec);
         },
         {dout, tokens});
  }

  void attention_forward(Array out, Array lse, Array qkv, Array starts, int64_t heads,
                         int64_t window, float dropout, uint64_t seed, uint64_t stream) override {
    const Attention spec = attention(out, heads, window, dropout, seed, stream);
    push("attention",
         [=] {
           cpu::attention_forward(context_, out.f32(), lse.f32(), qkv.f32(), starts.i32(),
                                  moved(spec));
         },
         {out, qkv});
  }
  void attention_backward(Array dqkv, Array dout, Array qkv, Array out, Array lse, Array starts,
                          int64_t heads, int64_t window, float dropout, uint64_t seed,
                          uint64_t stream, bool accumulate) override {
    const Attention spec = attention(out, heads, window, dropout, seed, stream);
    push("attention backward",
         [=] {
           cpu::attention_backward(context_, dqkv.f32(), dout.f32(), qkv.f32(), out.f32(),
                                   lse.f32(), starts.i32(), moved(spec), accumulate);
         },
         {dqkv, dout, qkv});
  }
  void attention_cached(Array out, Array k_cache, Array v_cache, Array qkv, int64_t heads,
                        int64_t window, int64_t past) override {
    const Attention spec = attention(out, heads, window, 0, 0, 0);
    const int64_t capacity = k_cache.shape[2];
    push("cached attention",
         [=] {
           cpu::attention_cached(context_, out.f32(), k_cache.f32(), v_cache.f32(), qkv.f32(), spec,
                                 past + queue_.moved().places, capacity);
         },
         {out, k_cache, qkv});
  }

  void crossentropy(Array losses, Array dlogits, Array logits, Array targets,
                    float smoothing) override {
    push("crossentropy",
         [=] {
           cpu::crossentropy(context_, losses.f32(), dlogits.f32(), logits.f32(), targets.i32(),
                             losses.count(), logits.shape[-1], smoothing);
         },
         {logits, targets});
  }
  void linear_crossentropy(Array losses, Array dx, Array dweight, Array x, Array weight,
                           Array targets, float smoothing) override {
    push("linear crossentropy",
         [=] {
           cpu::linear_crossentropy(context_, losses.f32(), dx.f32(), dweight.f32(), x.f32(),
                                    weight.f32(), targets.i32(), losses.count(), weight.shape[1],
                                    weight.shape[0], smoothing);
         },
         {x, weight, targets});
  }

  void compact_pack(Array packed, Array weight, bool transpose, bool int8) override {
    const int64_t K = weight.shape[transpose ? 1 : 0], N = weight.shape[transpose ? 0 : 1];
    push("compact",
         [=] {
           cpu::compact_pack(context_, compact(packed, K, int8), weight.f32(), N, transpose);
         },
         {weight});
  }
  void compact_matmul(Array out, Array a, Array packed, Array bias, Array residual, Gelu gelu,
                      bool int8) override {
    Matmul spec{};
    spec.K = a.shape[-1];
    spec.M = a.count() / spec.K;
    spec.N = out.shape[-1];
    spec.bias = bias.f32();
    spec.residual = residual.f32();
    spec.gelu = gelu;
    spec.compact = compact(packed, spec.K, int8);
    push("compact matmul", [=] { cpu::matmul(context_, out.f32(), a.f32(), nullptr, spec); },
         {out, a});
  }
  void compact_embedding(Array out, Array tokens, Array starts, Array packed, Array wpe,
                         int64_t past, int64_t count, bool int8) override {
    Embedding spec = embedding(out, Array{}, wpe, past);
    spec.V = count;
    spec.compact = compact(packed, spec.C, int8);
    push("compact embedding",
         [=] {
           cpu::embedding_forward(context_, out.f32(), tokens.i32(), starts.i32(), nullptr,
                                  wpe.f32(), moved(spec));
         },
         {out, tokens});
  }

  void adamw(std::vector<Array> params, std::vector<Array> gradients, std::vector<Array> m,
             std::vector<Array> v, std::vector<Array>, std::vector<double> weight_decays,
             Array norm, float learning_rate, float beta1, float beta2, float epsilon,
             float gradient_scale, float max_norm, int64_t step, uint64_t) override {
    std::vector<AdamwTensor> tensors;
    for (size_t i = 0; i < params.size(); i++) {
      tensors.push_back({params[i].f32(), gradients[i].f32(), m[i].f32(), v[i].f32(),
                         params[i].count(), static_cast<float>(weight_decays[i])});
    }
    Adamw spec{};
    spec.learning_rate = learning_rate;
    spec.beta1 = beta1;
    spec.beta2 = beta2;
    spec.epsilon = epsilon;
    spec.gradient_scale = gradient_scale;
    spec.max_norm = max_norm;
    spec.step = step;
    push("adamw",
         [this, tensors = std::move(tensors), norm, spec] {
           cpu::adamw(context_, tensors, norm.f32(), spec);
         },
         {norm});
  }

 private:
  // Leading dimensions fold into rows: [B, T, C] is [B T, C].
  static Matmul product(const Array& out, const Array& a, bool transpose_a, bool transpose_b,
                        bool accumulate) {
    Matmul spec{};
    const int64_t columns = a.shape[-1];
    const int64_t rows = columns ? a.count() / columns : 0;
    spec.M = transpose_a ? columns : rows;
    spec.K = transpose_a ? rows : columns;
    spec.N = out.shape[-1];
    spec.transpose_a = transpose_a;
    spec.transpose_b = transpose_b;
    spec.accumulate = accumulate;
    return spec;
  }

  static Embedding embedding(const Array& out, const Array& wte, const Array& wpe, int64_t past) {
    Embedding spec{};
    spec.B = out.shape[0];
    spec.T = out.shape[1];
    spec.C = out.shape[2];
    // A table that is left out bounds nothing.
    spec.V = wte ? wte.shape[0] : std::numeric_limits<int64_t>::max();
    spec.P = wpe ? wpe.shape[0] : std::numeric_limits<int64_t>::max();
    spec.past = past;
    return spec;
  }

  // Where, or of which step, a recorded op runs again.
  Embedding moved(Embedding spec) const {
    spec.past += queue_.moved().places;
    return spec;
  }
  Attention moved(Attention spec) const {
    spec.stream = moved(spec.stream);
    return spec;
  }
  uint64_t moved(uint64_t stream) const {
    return stream + static_cast<uint64_t>(queue_.moved().steps);
  }

  static CompactWeight compact(const Array& packed, int64_t K, bool int8) {
    return {static_cast<unsigned char*>(packed.data), int8, K};
  }

  static Attention attention(const Array& out, int64_t heads, int64_t window, float dropout,
                             uint64_t seed, uint64_t stream) {
    Attention spec{};
    spec.B = out.shape[0];
    spec.T = out.shape[1];
    spec.H = heads;
    spec.D = out.shape[2] / heads;
    spec.window = window;
    spec.dropout = dropout;
    spec.seed = seed;
    spec.stream = stream;
    return spec;
  }

  void push(const char* op, std::function<void()> work, std::initializer_list<Array> arrays) {
    queue_.push(std::move(work), [op, arrays = std::vector<Array>(arrays), this] {
      return call_text(op, arrays) + " on " + name();
    });
  }

  std::shared_ptr<Pool> pool_;
  Allocator tensors_;  // follows the queue: see device.h
  Allocator scratch_;  // follows the clock: taken and given back while an op runs
  Context context_;
  Queue queue_;  // last, so that its thread ends before what it uses
};

}  // namespace

std::shared_ptr<Device> open_device(int threads) {
  return std::make_shared<CpuDevice>(threads == 0 ? shared_pool()
                                                  : std::make_shared<Pool>(threads));
}

}  // namespace gptloom::cpu
