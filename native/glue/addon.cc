// The addon's export table; no logic. A method of Device becomes callable from TypeScript by one
// line here.
#include "cpu/cpu_device.h"
#include "cpu/probe.h"
#include "cuda/gpu.h"
#include "glue/binder.h"
#include "glue/device_handle.h"
#include "glue/pin.h"
#include "glue/replay_handle.h"

namespace gptloom::glue {

namespace {

template <auto Method>
void op(Napi::Env env, Napi::Object prototype, const char* name) {
  prototype.Set(name, Napi::Function::New<bound<Method>>(env, name));
}

// The kernel that an addon has exported with gptloom_kernel_to_js. Throws a TypeError for anything
// else, and for one that was compiled against another gptloom.h.
const gptloom_kernel* kernel_of(Napi::Value value) {
  constexpr napi_type_tag tag = {0x67707431746c6f6dULL, 0x6b65726e656c0001ULL};
  bool ours = false;
  void* data = nullptr;
  if (!value.IsObject() ||
      napi_check_object_type_tag(value.Env(), value, &tag, &ours) != napi_ok || !ours ||
      napi_unwrap(value.Env(), value, &data) != napi_ok) {
    throw Napi::TypeError::New(
        value.Env(), "Expected a kernel made by gptloom_kernel_to_js of gptloom.h for kernel");
  }
  const auto* kernel = static_cast<const gptloom_kernel*>(data);
  if (kernel->version != GPTLOOM_KERNEL_VERSION) {
    throw Napi::TypeError::New(value.Env(),
                               "Expected a kernel of version " +
                                   std::to_string(GPTLOOM_KERNEL_VERSION) +
                                   " of gptloom.h, received version " +
                                   std::to_string(kernel->version) + ": compile it anew");
  }
  return kernel;
}

// call(kernel, tensors, bytes)
void call_kernel(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    Device& device = device_of(info);
    const gptloom_kernel* kernel = kernel_of(info[0]);
    const auto bytes = info[2].As<Napi::Uint8Array>();
    device.call(kernel, From<std::vector<Array>>::get(device, info[1]),
                {bytes.Data(), bytes.Data() + bytes.ByteLength()});
  });
}

// kernel(value): the name of a kernel, once it is known to be one.
Napi::Value kernel_name(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), kernel_of(info[0])->name);
  });
}

void define_ops(Napi::Env env, Napi::Object prototype) {
  prototype.Set("call", Napi::Function::New<call_kernel>(env, "call"));
  op<&Device::flush>(env, prototype, "flush");
  op<&Device::trim>(env, prototype, "trim");
  op<&Device::fill>(env, prototype, "fill");
  op<&Device::copy>(env, prototype, "copy");
  op<&Device::cast>(env, prototype, "cast");
  op<&Device::add>(env, prototype, "add");
  op<&Device::scale>(env, prototype, "scale");
  op<&Device::sum>(env, prototype, "sum");
  op<&Device::norm>(env, prototype, "norm");
  op<&Device::random_normal>(env, prototype, "randomNormal");
  op<&Device::random_uniform>(env, prototype, "randomUniform");
  op<&Device::dropout>(env, prototype, "dropout");
  op<&Device::gelu_forward>(env, prototype, "geluForward");
  op<&Device::gelu_backward>(env, prototype, "geluBackward");
  op<&Device::matmul>(env, prototype, "matmul");
  op<&Device::matmul_gelu_backward>(env, prototype, "matmulGeluBackward");
  op<&Device::matmul_bias_backward>(env, prototype, "matmulBiasBackward");
  op<&Device::bias_backward>(env, prototype, "biasBackward");
  op<&Device::layernorm_forward>(env, prototype, "layernormForward");
  op<&Device::layernorm_backward>(env, prototype, "layernormBackward");
  op<&Device::embedding_forward>(env, prototype, "embeddingForward");
  op<&Device::embedding_backward>(env, prototype, "embeddingBackward");
  op<&Device::attention_forward>(env, prototype, "attentionForward");
  op<&Device::attention_backward>(env, prototype, "attentionBackward");
  op<&Device::attention_cached>(env, prototype, "attentionCached");
  op<&Device::crossentropy>(env, prototype, "crossentropy");
  op<&Device::linear_crossentropy>(env, prototype, "linearCrossentropy");
  op<&Device::compact_pack>(env, prototype, "compactPack");
  op<&Device::compact_matmul>(env, prototype, "compactMatmul");
  op<&Device::compact_embedding>(env, prototype, "compactEmbedding");
  op<&Device::adamw>(env, prototype, "adamw");
}

// cpu(): what the CPU engine found, for `doctor`.
Napi::Value cpu_info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto out = Napi::Object::New(info.Env());
    out.Set("isa", cpu::kernels().isa);
    out.Set("threads", cpu::available_threads());
    const cpu::Kernels* tables[4];
    const int count = cpu::runnable_kernels(tables);
    auto runnable = Napi::Array::New(info.Env(), static_cast<size_t>(count));
    for (int i = 0; i < count; i++) runnable.Set(static_cast<uint32_t>(i), tables[i]->isa);
    out.Set("runnable", runnable);
    return out;
  });
}

// probe(kind, threads, size, passes): what the processor does at most; see cpu/probe.h. It blocks.
Napi::Value cpu_probe(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const auto whole = [&](size_t i) { return info[i].As<Napi::Number>().Int64Value(); };
    cpu::Pool pool(static_cast<int>(whole(1)));
    Allocator allocator;
    cpu::Context context{pool, cpu::kernels(), allocator};
    return Napi::Number::New(info.Env(), cpu::probe(context, static_cast<cpu::Probe>(whole(0)),
                                                    whole(2), static_cast<int>(whole(3))));
  });
}

// cuda(): what the driver says, for `doctor` and the choice of a device.
Napi::Value cuda_info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const cuda::Loaded& loaded = cuda::load_driver();
    auto out = Napi::Object::New(info.Env());
    out.Set("version",
            loaded.driver ? Napi::Number::New(info.Env(), loaded.version) : info.Env().Null());
    out.Set("reason", loaded.reason);
    auto devices = Napi::Array::New(info.Env());
    for (const cuda::GpuInfo& gpu : cuda::list_gpus()) {
      auto device = Napi::Object::New(info.Env());
      device.Set("name", gpu.name);
      device.Set("computeCapability", gpu.compute_capability);
      device.Set("multiprocessors", gpu.multiprocessors);
      device.Set("memory", static_cast<double>(gpu.memory));
      devices.Set(devices.Length(), device);
    }
    out.Set("devices", devices);
    return out;
  });
}

// The whole addon is one function of the error class, so that nothing can be called before that is
// known.
Napi::Value open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsFunction()) throw Napi::TypeError::New(env, "Expected the error class");
  State& mine = state(env);
  mine.error = Napi::Persistent(info[0].As<Napi::Function>());
  mine.replay = Napi::Persistent(Replay::define(env));
  const Napi::Function device = DeviceHandle::define(env);
  const auto prototype = device.Get("prototype").As<Napi::Object>();
  define_tensors(env, prototype);
  define_ops(env, prototype);
  auto out = Napi::Object::New(env);
  out.Set("Device", device);
  out.Set("kernel", Napi::Function::New<kernel_name>(env, "kernel"));
  out.Set("cpu", Napi::Function::New<cpu_info>(env, "cpu"));
  out.Set("probe", Napi::Function::New<cpu_probe>(env, "probe"));
  out.Set("cuda", Napi::Function::New<cuda_info>(env, "cuda"));
  return out;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  pin();
  env.SetInstanceData(new State());
  exports.Set("open", Napi::Function::New<open>(env, "open"));
  return exports;
}

}  // namespace

}  // namespace gptloom::glue

using gptloom::glue::initialize;
NODE_API_MODULE(gptloom, initialize)
