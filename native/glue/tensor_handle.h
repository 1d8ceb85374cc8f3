// The handle that a JavaScript Tensor holds: an Array and a share in the storage under it. To
// JavaScript it is an opaque value, without properties and cheap to make and to read, since a small
// model's step makes hundreds.
#pragma once
#include <memory>
#include <unordered_set>

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

struct Tensor {
  std::shared_ptr<Storage> storage;  // null once disposed
  Array array;
};

// The handles that JavaScript holds, by which those are told from values of others.
using Tensors = std::unordered_set<const Tensor*>;

Napi::Value to_js(Napi::Env env, std::shared_ptr<Storage> storage, const Array& array);

// The handle behind a value. Throws a TypeError for what is none of this copy of the addon.
Tensor& tensor_of(Napi::Value value);
// The array behind a handle, which must be of `device` unless that is null. Throws ERR_DISPOSED
// after dispose(), ERR_DEVICE for another device's, as tensor_of() otherwise.
const Array& array_of(Napi::Value value, const Device* device);

Shape shape_of(Napi::Value value);

// view(tensor, shape, offset), share(tensor) and dispose(tensor), as methods of any device.
void define_tensors(Napi::Env env, Napi::Object prototype);

}  // namespace gptloom::glue
