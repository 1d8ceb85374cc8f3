#include "glue/device_handle.h"

#include "cpu/cpu_device.h"
#include "cuda/cuda_device.h"
#include "glue/binder.h"
#include "glue/replay_handle.h"
#include "glue/tag.h"

namespace gptloom::glue {

// A promise that the queue will settle. Made and destroyed on the JavaScript thread.
struct DeviceHandle::Pending {
  DeviceHandle* handle;
  napi_deferred deferred;
  napi_ref keep;  // what the queue still writes to, or reads
  std::exception_ptr failure;
};

namespace {

std::shared_ptr<Device> open(const Napi::CallbackInfo& info) {
  const int number = info[1].As<Napi::Number>().Int32Value();
  if (info[0].As<Napi::String>().Utf8Value() == "cpu") return cpu::open_device(number);
  const auto options = info[2].As<Napi::Object>();
  cuda::StreamOptions stream;
  stream.folder = options.Get("folder").As<Napi::String>().Utf8Value();
  stream.graphs = options.Get("graphs").ToBoolean();
  stream.exact = options.Get("exact").ToBoolean();
  stream.tf32 = options.Get("tf32").ToBoolean();
  return cuda::open_device(number, stream);
}

Napi::Value reason_of(Napi::Env env, const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return to_js(env, error);
  } catch (const std::exception& error) {
    return to_js(env, Error("ERR_DEVICE", error.what()));
  }
}

}  // namespace

Device& device_of(const Napi::CallbackInfo& info) {
  return handle_of<DeviceHandle>(info.This(), "a device")->device();
}

Napi::Function DeviceHandle::define(Napi::Env env) {
  return DefineClass(env, "NativeDevice",
                     {
                         InstanceMethod<&DeviceHandle::name>("name"),
                         InstanceMethod<&DeviceHandle::memory>("memory"),
                         InstanceMethod<&DeviceHandle::capacity>("capacity"),
                         InstanceMethod<&DeviceHandle::counts>("counts"),
                         InstanceMethod<&DeviceHandle::watch>("watch"),
                         InstanceMethod<&DeviceHandle::tensor>("tensor"),
                         InstanceMethod<&DeviceHandle::upload>("upload"),
                         InstanceMethod<&DeviceHandle::download>("download"),
                         InstanceMethod<&DeviceHandle::idle>("idle"),
                         InstanceMethod<&DeviceHandle::record>("record"),
                         InstanceMethod<&DeviceHandle::close>("close"),
                     });
}

DeviceHandle::DeviceHandle(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<DeviceHandle>(info), env_(info.Env()) {
  guarded(info.Env(), [&] { device_ = open(info); });
  mark<DeviceHandle>(info.This().As<Napi::Object>());
  const auto label = Napi::String::New(info.Env(), "gptloom device");
  napi_create_threadsafe_function(env_, nullptr, nullptr, label, 0, 1, nullptr, nullptr, this,
                                  settle, &to_loop_);
  napi_unref_threadsafe_function(env_, to_loop_);  // only a pending promise keeps the process alive
  napi_add_env_cleanup_hook(env_, shut, this);
}

DeviceHandle::~DeviceHandle() {
  napi_remove_env_cleanup_hook(env_, shut, this);
  shut(this);
}

// Runs when the thread's environment goes down, before that takes the way to the loop away, or when
// the handle is collected; whichever is first.
void DeviceHandle::shut(void* self) {
  auto* handle = static_cast<DeviceHandle*>(self);
  if (!handle->to_loop_) return;
  handle->device_->close();
  napi_release_threadsafe_function(std::exchange(handle->to_loop_, nullptr), napi_tsfn_abort);
}

Napi::Value DeviceHandle::name(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), device_->name());
}

Napi::Value DeviceHandle::memory(const Napi::CallbackInfo& info) {
  const MemoryUse use = device_->memory();
  auto out = Napi::Object::New(info.Env());
  out.Set("used", static_cast<double>(use.used));
  out.Set("peak", static_cast<double>(use.peak));
  out.Set("reserved", static_cast<double>(use.reserved));
  return out;
}

Napi::Value DeviceHandle::capacity(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(), static_cast<double>(device_->capacity()));
  });
}

Napi::Value DeviceHandle::counts(const Napi::CallbackInfo& info) {
  const Counts counts = device_->counts();
  auto out = Napi::Object::New(info.Env());
  out.Set("kernels", static_cast<double>(counts.kernels));
  out.Set("graphs", static_cast<double>(counts.graphs));
  return out;
}

// watch(on): what was noted before, in order.
Napi::Value DeviceHandle::watch(const Napi::CallbackInfo& info) {
  const std::vector<Ran> noted = device_->watch(info[0].ToBoolean());
  auto out = Napi::Array::New(info.Env(), noted.size());
  for (size_t i = 0; i < noted.size(); i++) {
    auto op = Napi::Object::New(info.Env());
    op.Set("what", noted[i].what);
    op.Set("start", noted[i].start);
    op.Set("end", noted[i].end);
    out.Set(static_cast<uint32_t>(i), op);
  }
  return out;
}

// tensor(dtype, shape): contents undefined.
Napi::Value DeviceHandle::tensor(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Array array;
    array.dtype = static_cast<Dtype>(info[0].As<Napi::Number>().Int32Value());
    array.shape = shape_of(info[1]);
    auto storage = std::make_shared<Storage>(device_, array.bytes());
    array.data = storage->data;
    report_memory(info.Env());
    return to_js(info.Env(), std::move(storage), array);
  });
}

// V8 counts what the device holds from the system. That is level once the first step has run, so a
// training step never makes V8 believe that memory is piling up.
void DeviceHandle::report_memory(Napi::Env env) {
  const auto reserved = static_cast<int64_t>(device_->memory().reserved);
  if (reserved == reported_) return;
  Napi::MemoryManagement::AdjustExternalMemory(env, reserved - reported_);
  reported_ = reserved;
}

void DeviceHandle::upload(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const auto source = info[1].As<Napi::TypedArray>();
    device_->upload(array_of(info[0], device_.get()),
                    static_cast<const char*>(source.ArrayBuffer().Data()) + source.ByteOffset());
  });
}

// download(tensor, typed array): a promise, fulfilled once the array is filled. Nobody else may
// hold the array.
Napi::Value DeviceHandle::download(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const auto target = info[1].As<Napi::TypedArray>();
    return wait(info.Env(), array_of(info[0], device_.get()),
                static_cast<char*>(target.ArrayBuffer().Data()) + target.ByteOffset(), target);
  });
}

Napi::Value DeviceHandle::idle(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return wait(info.Env(), Array{}, nullptr, info.This()); });
}

// record(body): a Replay of the ops that body enqueues.
Napi::Value DeviceHandle::record(const Napi::CallbackInfo& info) {
  return Replay::record(info.Env(), device_, info[0].As<Napi::Function>());
}

Napi::Value DeviceHandle::wait(Napi::Env env, const Array& x, void* target, Napi::Value keep) {
  napi_deferred deferred;
  napi_value promise;
  // Refused while the thread is being terminated.
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) throw Napi::Error::New(env);
  auto* pending = new Pending{this, deferred, nullptr, nullptr};
  napi_create_reference(env, keep, 1, &pending->keep);
  if (pending_++ == 0) {
    Ref();  // this handle must outlive what the queue will send to it
    napi_ref_threadsafe_function(env, to_loop_);
  }
  device_->download(x, target, [pending, to_loop = to_loop_](std::exception_ptr failure) {
    pending->failure = std::move(failure);
    // Refused only while the thread's environment is going down, and then nobody is left to be
    // told.
    if (napi_call_threadsafe_function(to_loop, pending, napi_tsfn_nonblocking) != napi_ok)
      delete pending;
  });
  return Napi::Value(env, promise);
}

void DeviceHandle::settle(napi_env raw, napi_value, void*, void* data) {
  const std::unique_ptr<Pending> pending(static_cast<Pending*>(data));
  if (!raw) return;  // the environment is going down and takes its references with it
  const Napi::Env env(raw);
  const Napi::HandleScope scope(env);
  napi_delete_reference(env, pending->keep);
  DeviceHandle* handle = pending->handle;
  if (--handle->pending_ == 0) {
    napi_unref_threadsafe_function(env, handle->to_loop_);
    handle->Unref();
  }
  if (!pending->failure) {
    napi_resolve_deferred(env, pending->deferred, env.Undefined());
    return;
  }
  try {
    napi_reject_deferred(env, pending->deferred, reason_of(env, pending->failure));
  } catch (const Napi::Error&) {
    // No error can be made while the thread is being terminated: nobody is left to be told.
  }
}

void DeviceHandle::close(const Napi::CallbackInfo&) { device_->close(); }

}  // namespace gptloom::glue
