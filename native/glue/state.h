// What one JavaScript thread's copy of the addon remembers, and how native failures become
// JavaScript errors.
#pragma once
#include <memory>
#include <unordered_set>

#include "error.h"
#include "glue/common.h"

namespace gptloom::glue {

struct Storage;

struct State {
  Napi::FunctionReference error;   // GptloomError(code, message)
  Napi::FunctionReference tensor;  // the native Tensor class
  Napi::FunctionReference replay;  // the native Replay class
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
