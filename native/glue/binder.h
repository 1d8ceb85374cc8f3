// Turns a method of Device into a JavaScript function: bound<&Device::add> takes the method's own
// arguments, in order, as JavaScript values. Types have been checked by the caller; what is checked
// here is state.
#pragma once
#include <tuple>
#include <utility>
#include <vector>

#include "glue/state.h"
#include "glue/tensor_handle.h"

namespace gptloom::glue {

template <class T>
struct From {
  static T get(const Device&, Napi::Value value) {
    return static_cast<T>(value.As<Napi::Number>().DoubleValue());
  }
};
template <>
struct From<bool> {
  static bool get(const Device&, Napi::Value value) { return value.ToBoolean().Value(); }
};
template <>
struct From<Array> {
  static Array get(const Device& device, Napi::Value value) {
    return value.IsNull() ? Array{} : array_of(value, &device);
  }
};
template <class T>
struct From<std::vector<T>> {
  static std::vector<T> get(const Device& device, Napi::Value value) {
    const auto list = value.As<Napi::Array>();
    std::vector<T> out;
    out.reserve(list.Length());
    for (uint32_t i = 0; i < list.Length(); i++) out.push_back(From<T>::get(device, list.Get(i)));
    return out;
  }
};

Device& device_of(const Napi::CallbackInfo& info);

template <class... Arguments, size_t... I>
void call(void (Device::*method)(Arguments...), const Napi::CallbackInfo& info,
          std::index_sequence<I...>) {
  Device& device = device_of(info);
  (device.*method)(From<Arguments>::get(device, info[I])...);
}

template <class... Arguments>
void call(void (Device::*method)(Arguments...), const Napi::CallbackInfo& info) {
  call(method, info, std::index_sequence_for<Arguments...>{});
}

template <auto Method>
void bound(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { call(Method, info); });
}

}  // namespace gptloom::glue
