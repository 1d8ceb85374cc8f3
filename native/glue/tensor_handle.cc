#include "glue/tensor_handle.h"

#include "glue/state.h"

namespace gptloom::glue {

namespace {

void finalize(napi_env, void* data, void* hint) {
  const auto* tensor = static_cast<const Tensor*>(data);
  const std::unique_ptr<std::shared_ptr<Tensors>> live(static_cast<std::shared_ptr<Tensors>*>(hint));
  (*live)->erase(tensor);
  delete tensor;
}

// view(tensor, shape, offset in elements): another handle on the same storage. Bounds have been
// checked.
Napi::Value view(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Array array = array_of(info[0], nullptr);
    array.shape = shape_of(info[1]);
    const int64_t offset = info[2].As<Napi::Number>().Int64Value();
    array.data =
        static_cast<char*>(array.data) + offset * static_cast<int64_t>(dtype_size(array.dtype));
    return to_js(info.Env(), tensor_of(info[0]).storage, array);
  });
}

// share(tensor): an ArrayBuffer over the tensor's own memory, which must be the process's and not
// empty. The buffer holds a share of the storage, so that nothing else is put there while somebody can
// see it.
Napi::Value share(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const Array& array = array_of(info[0], nullptr);
    auto held = std::make_unique<std::shared_ptr<Storage>>(tensor_of(info[0]).storage);
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

void dispose(const Napi::CallbackInfo& info) { tensor_of(info[0]).storage.reset(); }

}  // namespace

Napi::Value to_js(Napi::Env env, std::shared_ptr<Storage> storage, const Array& array) {
  const std::shared_ptr<Tensors>& live = state(env).tensors;
  auto tensor = std::make_unique<Tensor>(Tensor{std::move(storage), array});
  auto hint = std::make_unique<std::shared_ptr<Tensors>>(live);
  live->insert(tensor.get());
  napi_value value;
  if (napi_create_external(env, tensor.get(), finalize, hint.get(), &value) != napi_ok) {
    live->erase(tensor.get());
    throw Napi::Error::New(env);
  }
  tensor.release();
  hint.release();
  return Napi::Value(env, value);
}

Tensor& tensor_of(Napi::Value value) {
  void* data = nullptr;
  const bool external = napi_get_value_external(value.Env(), value, &data) == napi_ok;
  auto* tensor = static_cast<Tensor*>(data);
  if (external && state(value.Env()).tensors->count(tensor)) return *tensor;
  throw Napi::TypeError::New(value.Env(), "Expected a tensor of this copy of gptloom");
}

const Array& array_of(Napi::Value value, const Device* device) {
  const Tensor& tensor = tensor_of(value);
  if (!tensor.storage) throw Error("ERR_DISPOSED", "A tensor was used after dispose()");
  if (device && tensor.storage->device.get() != device) {
    throw Error("ERR_DEVICE", "A tensor of " + tensor.storage->device->name() + ", shape " +
                                  tensor.array.shape.text() +
                                  ", was given to an op on another device");
  }
  if (auto* recorded = state(value.Env()).recorded) recorded->insert(tensor.storage);
  return tensor.array;
}

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

void define_tensors(Napi::Env env, Napi::Object prototype) {
  prototype.Set("view", Napi::Function::New<view>(env, "view"));
  prototype.Set("share", Napi::Function::New<share>(env, "share"));
  prototype.Set("dispose", Napi::Function::New<dispose>(env, "dispose"));
}

}  // namespace gptloom::glue
