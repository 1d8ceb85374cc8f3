#include "glue/tensor_handle.h"

#include "glue/state.h"
#include "glue/tag.h"

namespace gptloom::glue {

Napi::Function Tensor::define(Napi::Env env) {
  return DefineClass(
      env, "NativeTensor",
      {InstanceMethod<&Tensor::view>("view"), InstanceMethod<&Tensor::share>("share"),
       InstanceMethod<&Tensor::dispose>("dispose")});
}

Napi::Object Tensor::create(Napi::Env env, std::shared_ptr<Storage> storage, const Array& array) {
  Napi::Object object = state(env).tensor.New({});
  mark<Tensor>(object);
  Tensor* tensor = Unwrap(object);
  tensor->storage_ = std::move(storage);
  tensor->array_ = array;
  return object;
}

const Array& Tensor::array(Napi::Value value, const Device* device) {
  const Tensor* tensor = handle_of<Tensor>(value, "a tensor");
  if (!tensor->storage_) throw Error("ERR_DISPOSED", "A tensor was used after dispose()");
  if (device && tensor->storage_->device.get() != device) {
    throw Error("ERR_DEVICE", "A tensor of " + tensor->storage_->device->name() + ", shape " +
                                  tensor->array_.shape.text() +
                                  ", was given to an op on another device");
  }
  if (auto* recorded = state(value.Env()).recorded) recorded->insert(tensor->storage_);
  return tensor->array_;
}

// view(shape, offset in elements): another handle on the same storage. Bounds have been checked.
Napi::Value Tensor::view(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Array array = Tensor::array(info.This(), nullptr);
    array.shape = shape_of(info[0]);
    const int64_t offset = info[1].As<Napi::Number>().Int64Value();
    array.data =
        static_cast<char*>(array.data) + offset * static_cast<int64_t>(dtype_size(array.dtype));
    return create(info.Env(), storage_, array);
  });
}

// share(): an ArrayBuffer over the tensor's own memory, which must be the process's and not empty. The
// buffer holds a share of the storage, so that nothing else is put there while somebody can see it.
Napi::Value Tensor::share(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Array& array = Tensor::array(info.This(), nullptr);
    auto held = std::make_unique<std::shared_ptr<Storage>>(storage_);
    const auto finalize = [](napi_env, void*, void* hint) {
      delete static_cast<std::shared_ptr<Storage>*>(hint);
    };
    napi_value buffer;
    if (napi_create_external_arraybuffer(env, array.data, array.bytes(), finalize, held.get(),
                                         &buffer) != napi_ok)
      throw Error("ERR_DEVICE", "This runtime has no arrays over memory of others: use data()");
    held.release();
    return Napi::Value(env, buffer);
  });
}

void Tensor::dispose(const Napi::CallbackInfo&) { storage_.reset(); }

Shape shape_of(Napi::Value value) {
  const auto list = value.As<Napi::Array>();
  Shape shape;
  if (list.Length() > Shape::kMaxRank)
    throw Napi::RangeError::New(value.Env(), "Expected at most 6 dimensions");
  shape.rank = static_cast<int>(list.Length());
  for (int i = 0; i < shape.rank; i++) {
    shape.sizes[i] = list.Get(static_cast<uint32_t>(i)).As<Napi::Number>().Int64Value();
  }
  return shape;
}

}  // namespace gptloom::glue
