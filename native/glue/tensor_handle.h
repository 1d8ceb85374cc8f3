// The handle that a JavaScript Tensor holds: an Array and a share in the storage under it.
#pragma once
#include <memory>

#include "device.h"
#include "glue/common.h"

namespace gptloom::glue {

// A block of a device's memory, given back when the last handle on it goes.
struct Storage {
  Storage(std::shared_ptr<Device> owner, size_t size)
      : device(std::move(owner)), data(device->allocate(size)), bytes(size) {}
  ~Storage() { device->release(data, bytes); }
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::shared_ptr<Device> device;
  void* data;
  size_t bytes;
};

class Tensor : public Napi::ObjectWrap<Tensor> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object create(Napi::Env env, std::shared_ptr<Storage> storage, const Array& array);
  // The array behind a handle, which must be of `device` unless that is null. Throws ERR_DISPOSED
  // after dispose(), ERR_DEVICE for another device's, a TypeError for what is no handle.
  static const Array& array(Napi::Value value, const Device* device);

  explicit Tensor(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Tensor>(info) {}

 private:
  Napi::Value view(const Napi::CallbackInfo& info);
  Napi::Value share(const Napi::CallbackInfo& info);
  void dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<Storage> storage_;
  Array array_;
};

Shape shape_of(Napi::Value value);

}  // namespace gptloom::glue
