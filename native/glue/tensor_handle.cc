#include "glue/tensor_handle.h"

#include "glue/state.h"

namespace gptloom::glue {

namespace {

// Marks our handles, so that another object, or a handle of a second copy of this addon in the same process, is
// refused and not misread. The address differs between copies.
napi_type_tag tag() {
  static const int anchor = 0;
  return {0x67707431746c6f6dULL, reinterpret_cast<uintptr_t>(&anchor)};
}

}  // namespace

Napi::Function Tensor::define(Napi::Env env) {
  return DefineClass(env, "NativeTensor",
                     {InstanceMethod<&Tensor::view>("view"), InstanceMethod<&Tensor::dispose>("dispose")});
}

Napi::Object Tensor::create(Napi::Env env, std::shared_ptr<Storage> storage, const Array& array) {
  Napi::Object object = state(env).tensor.New({});
  const napi_type_tag mark = tag();
  napi_type_tag_object(env, object, &mark);
  Tensor* tensor = Unwrap(object);
  tensor->storage_ = std::move(storage);
  tensor->array_ = array;
  return object;
}

const Array& Tensor::array(Napi::Value value) {
  const napi_type_tag mark = tag();
  bool ours = false;
  if (!value.IsObject() || napi_check_object_type_tag(value.Env(), value, &mark, &ours) != napi_ok || !ours) {
    throw Napi::TypeError::New(value.Env(), "Expected a tensor of this copy of gptloom");
  }
  const Tensor* tensor = Unwrap(value.As<Napi::Object>());
  if (!tensor->storage_) throw Error("ERR_DISPOSED", "A tensor was used after dispose()");
  return tensor->array_;
}

// view(shape, offset in elements): another handle on the same storage. Bounds have been checked.
Napi::Value Tensor::view(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Array array = Tensor::array(info.This());
    array.shape = shape_of(info[0]);
    const int64_t offset = info[1].As<Napi::Number>().Int64Value();
    array.data = static_cast<char*>(array.data) + offset * static_cast<int64_t>(dtype_size(array.dtype));
    return create(info.Env(), storage_, array);
  });
}

void Tensor::dispose(const Napi::CallbackInfo&) { storage_.reset(); }

Shape shape_of(Napi::Value value) {
  const auto list = value.As<Napi::Array>();
  Shape shape;
  shape.rank = static_cast<int>(list.Length());
  for (int i = 0; i < shape.rank; i++) {
    shape.sizes[i] = list.Get(static_cast<uint32_t>(i)).As<Napi::Number>().Int64Value();
  }
  return shape;
}

}  // namespace gptloom::glue
