// What one JavaScript thread's copy of the addon remembers, and how native failures become
// JavaScript errors.
#pragma once
#include <memory>
#include <unordered_set>

#include "error.h"
#include "glue/tensor_handle.h"

namespace gptloom::glue {

struct State {
  Napi::FunctionReference error;   // GptloomError(code, message)
  Napi::FunctionReference replay;  // the native Replay class
  // Shared with every handle: whether this or they go first is the runtime's choice.
  std::shared_ptr<Tensors> tensors = std::make_shared<Tensors>();
  // What the ops of the recording in progress use; null while there is none.
  std::unordered_set<std::shared_ptr<Storage>>* recorded = nullptr;
};

inline State& state(Napi::Env env) { return *env.GetInstanceData<State>(); }

inline Napi::Value to_js(Napi::Env env, const Error& error) {
  return state(env).error.New(
      {Napi::String::New(env, error.code), Napi::String::New(env, error.what())});
}

// Runs `body` and turns what it throws into what JavaScript can catch.
template <class Body>
auto guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const Error& error) {
    throw Napi::Error(env, to_js(env, error));
  } catch (const std::bad_alloc&) {
    throw Napi::Error(env,
                      to_js(env, Error("ERR_OUT_OF_MEMORY", "The process has no memory left")));
  }
}

}  // namespace gptloom::glue
