// A Device as a JavaScript object, and the way back from its queue to the event loop.
#pragma once
#include <memory>
#include <utility>

#include "device.h"
#include "glue/common.h"

namespace gptloom::glue {

class DeviceHandle : public Napi::ObjectWrap<DeviceHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  // ('cpu', threads) or ('cuda', ordinal, { folder, graphs, exact })
  explicit DeviceHandle(const Napi::CallbackInfo& info);
  ~DeviceHandle() override;

  Device& device() { return *device_; }

 private:
  struct Pending;
  Napi::Value name(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value capacity(const Napi::CallbackInfo& info);
  Napi::Value counts(const Napi::CallbackInfo& info);
  Napi::Value watch(const Napi::CallbackInfo& info);
  Napi::Value tensor(const Napi::CallbackInfo& info);
  void upload(const Napi::CallbackInfo& info);
  Napi::Value download(const Napi::CallbackInfo& info);
  Napi::Value idle(const Napi::CallbackInfo& info);
  Napi::Value record(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Napi::Value wait(Napi::Env env, const Array& x, void* target, Napi::Value keep);
  void report_memory(Napi::Env env);
  static void shut(void* self);
  static void settle(napi_env env, napi_value, void* context, void* data);

  std::shared_ptr<Device> device_;
  napi_env env_;
  napi_threadsafe_function to_loop_ = nullptr;
  int pending_ = 0;
  int64_t reported_ = 0;
};

}  // namespace gptloom::glue
