// Marks our objects, so that another object, or one of a second copy of this addon in the same
// process, is refused and not misread.
#pragma once
#include "glue/common.h"

namespace gptloom::glue {

// One tag for each handle class. The address of `anchor` differs between copies of the addon.
template <class Handle>
napi_type_tag tag_of() {
  static const int anchor = 0;
  return {0x67707431746c6f6dULL, reinterpret_cast<uintptr_t>(&anchor)};
}

template <class Handle>
void mark(Napi::Object object) {
  const napi_type_tag tag = tag_of<Handle>();
  napi_type_tag_object(object.Env(), object, &tag);
}

// The handle behind a value. Throws a TypeError for anything else.
template <class Handle>
Handle* handle_of(Napi::Value value, const char* expected) {
  const napi_type_tag tag = tag_of<Handle>();
  bool ours = false;
  if (!value.IsObject() || napi_check_object_type_tag(value.Env(), value, &tag, &ours) != napi_ok ||
      !ours) {
    throw Napi::TypeError::New(value.Env(),
                               std::string("Expected ") + expected + " of this copy of gptloom");
  }
  return Napi::ObjectWrap<Handle>::Unwrap(value.As<Napi::Object>());
}

}  // namespace gptloom::glue
