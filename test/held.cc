// A module for Node that says how much of malloc's memory is in use, by whomever. What malloc keeps for
// later is not counted, so that neither its arenas nor their holes are: glibc alone knows.
#include <malloc.h>
#include <node_api.h>

static napi_value held(napi_env env, napi_callback_info) {
  const struct mallinfo2 all = mallinfo2();
  napi_value bytes;
  napi_create_double(env, static_cast<double>(all.uordblks + all.hblkhd), &bytes);
  return bytes;
}

extern "C" napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "held", NAPI_AUTO_LENGTH, held, nullptr, &function);
  napi_set_named_property(env, exports, "held", function);
  return exports;
}
