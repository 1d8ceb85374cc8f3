// Ops that were recorded, as a JavaScript object, with shares in all the memory that they use.
#pragma once
#include <memory>
#include <unordered_set>

#include "device.h"
#include "glue/common.h"
#include "glue/tensor_handle.h"

namespace gptloom::glue {

class Replay : public Napi::ObjectWrap<Replay> {
 public:
  static Napi::Function define(Napi::Env env);
  // Of the ops that body() enqueues. Throws what that throws.
  static Napi::Object record(Napi::Env env, std::shared_ptr<Device> device, Napi::Function body);

  explicit Replay(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Replay>(info) {}

 private:
  void run(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<Device> device_;
  std::shared_ptr<const Recording> recording_;  // null once disposed
  std::unordered_set<std::shared_ptr<Storage>> memory_;
};

}  // namespace gptloom::glue
