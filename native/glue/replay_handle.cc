#include "glue/replay_handle.h"

#include <utility>

#include "glue/state.h"
#include "glue/tag.h"

namespace gptloom::glue {

Napi::Function Replay::define(Napi::Env env) {
  return DefineClass(
      env, "NativeReplay",
      {InstanceMethod<&Replay::run>("run"), InstanceMethod<&Replay::dispose>("dispose")});
}

Napi::Object Replay::record(Napi::Env env, std::shared_ptr<Device> device, Napi::Function body) {
  Napi::Object object = state(env).replay.New({});
  mark<Replay>(object);
  Replay* replay = Unwrap(object);
  state(env).recorded = &replay->memory_;
  device->queue().record();
  const auto end = [&] {
    state(env).recorded = nullptr;
    replay->recording_ = device->queue().recorded();
  };
  try {
    body.Call({});
  } catch (...) {
    end();
    throw;
  }
  end();
  replay->device_ = std::move(device);
  return object;
}

// run(places, steps): the ops again, those that belong to a place in a text or to a step so much further
// on.
void Replay::run(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (!recording_) throw Error("ERR_DISPOSED", "A recording was used after dispose()");
    const auto whole = [&](size_t i) { return info[i].As<Napi::Number>().Int64Value(); };
    device_->queue().replay(recording_, {whole(0), whole(1)});
  });
}

void Replay::dispose(const Napi::CallbackInfo&) {
  recording_ = nullptr;
  memory_.clear();
}

}  // namespace gptloom::glue
