// An addon with two kernels for gptloom: swish(x) = x / (1 + e^-x), and its gradient (Ramachandran et al.
// 2017). On the CPU they are functions over the device's threads, on a GPU they launch those of swish.cu.
#include <node_api.h>

#include <cmath>
#include <string>

#include "gptloom.h"

namespace {

constexpr int64_t kGrain = 4096;
constexpr uint32_t kThreads = 256;

int64_t count_of(const gptloom_array& x) {
  int64_t n = 1;
  for (int32_t i = 0; i < x.rank; i++) n *= x.sizes[i];
  return n;
}

const float* floats(const gptloom_call* call, int i) {
  return static_cast<const float*>(call->arrays[i].data);
}

// out, x
void forward_piece(void* state, int64_t begin, int64_t end) {
  const auto* call = static_cast<const gptloom_call*>(state);
  auto* out = static_cast<float*>(call->arrays[0].data);
  const float* x = floats(call, 1);
  for (int64_t i = begin; i < end; i++) out[i] = x[i] / (1 + std::exp(-x[i]));
}

// dx, dout, x
void backward_piece(void* state, int64_t begin, int64_t end) {
  const auto* call = static_cast<const gptloom_call*>(state);
  auto* dx = static_cast<float*>(call->arrays[0].data);
  const float* dout = floats(call, 1);
  const float* x = floats(call, 2);
  for (int64_t i = begin; i < end; i++) {
    const float s = 1 / (1 + std::exp(-x[i]));
    dx[i] = dout[i] * s * (1 + x[i] * (1 - s));
  }
}

const char* on_cpu(const gptloom_call* call, gptloom_body body) {
  call->parallel(call, count_of(call->arrays[0]), kGrain, body, const_cast<gptloom_call*>(call));
  return nullptr;
}

const char* launch(const gptloom_call* call, const char* kernel) {
  if (call->arrays[0].dtype != GPTLOOM_FLOAT32) return "expected float32";
  const int64_t n = count_of(call->arrays[0]);
  const void* args[4];
  size_t sizes[4];
  for (int32_t i = 0; i < call->count; i++) {
    args[i] = &call->arrays[i].data;
    sizes[i] = sizeof(void*);
  }
  args[call->count] = &n;
  sizes[call->count] = sizeof n;
  const uint32_t grid[3] = {static_cast<uint32_t>((n + kThreads - 1) / kThreads), 1, 1};
  call->launch(call, kernel, grid, kThreads, 0, args, sizes, static_cast<size_t>(call->count) + 1);
  return nullptr;
}

const char* forward_cpu(const gptloom_call* call) { return on_cpu(call, forward_piece); }
const char* backward_cpu(const gptloom_call* call) { return on_cpu(call, backward_piece); }
const char* forward_cuda(const gptloom_call* call) { return launch(call, "swish_forward"); }
const char* backward_cuda(const gptloom_call* call) { return launch(call, "swish_backward"); }

std::string image;  // swish.ptx
gptloom_kernel forward{GPTLOOM_KERNEL_VERSION, 0, "swish", forward_cpu, forward_cuda, nullptr};
gptloom_kernel backward{
    GPTLOOM_KERNEL_VERSION, 0, "swish backward", backward_cpu, backward_cuda, nullptr};

// open(ptx?): { forward, backward }
napi_value open(napi_env env, napi_callback_info info) {
  size_t count = 1, length = 0;
  napi_value ptx, out, value;
  napi_get_cb_info(env, info, &count, &ptx, nullptr, nullptr);
  if (image.empty() && napi_get_value_string_utf8(env, ptx, nullptr, 0, &length) == napi_ok) {
    image.resize(length + 1);
    napi_get_value_string_utf8(env, ptx, image.data(), image.size(), &length);
    forward.image = backward.image = image.data();
  }
  napi_create_object(env, &out);
  gptloom_kernel_to_js(env, &forward, &value);
  napi_set_named_property(env, out, "forward", value);
  gptloom_kernel_to_js(env, &backward, &value);
  napi_set_named_property(env, out, "backward", value);
  return out;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "open", NAPI_AUTO_LENGTH, open, nullptr, &function);
  napi_set_named_property(env, exports, "open", function);
  return exports;
}
