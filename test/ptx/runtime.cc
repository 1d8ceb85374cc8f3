// A libcudart.so.13 over the driver API: what programs compiled with `nvcc -cudart shared` call.
// Plan: NVIDIA's runtime opens private tables of NVIDIA's driver, so it cannot run on another
//   driver. This one uses the public API alone: every call becomes the driver's, in the primary
//   context, and nvcc's registration of kernels and variables is kept by host address. Built where
//   the toolkit's headers are.
#include "runtime.h"

#include <atomic>
#include <map>
#include <mutex>

namespace runtime {

namespace {

struct Image {
  const void* data;
  CUmodule module = nullptr;
  std::vector<std::pair<void**, std::string>> managed;
};

struct Symbol {
  Image* image;
  std::string name;
  CUfunction function = nullptr;
  CUdeviceptr address = 0;
  size_t bytes = 0;
};

struct Registry {
  std::recursive_mutex mutex;
  std::vector<Image*> images;
  std::map<const void*, Symbol> functions, variables;
  CUcontext context = nullptr;     // the primary one
  std::atomic<int> generation{1};  // counts its resets
};

// Registration runs before main: the registry must exist by then, and outlive what runs after it.
Registry& registry() {
  static Registry* made = new Registry;
  return *made;
}

struct Call {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Call> calls;
thread_local cudaError_t last = cudaSuccess;
thread_local int entered = 0;                // the generation that this thread last entered
thread_local CUcontext current_was = nullptr;  // the context it was given then

cudaError_t load(Image& image) {
  if (image.module) return cudaSuccess;
  cudaError_t error = static_cast<cudaError_t>(cuModuleLoadData(&image.module, image.data));
  for (auto& [host, name] : image.managed) {
    CUdeviceptr address = 0;
    size_t bytes = 0;
    if (!error)
      error =
          static_cast<cudaError_t>(cuModuleGetGlobal(&address, &bytes, image.module, name.c_str()));
    if (!error) *host = reinterpret_cast<void*>(address);
  }
  return error;
}

}  // namespace

cudaError_t done(int error) {
  if (error) last = static_cast<cudaError_t>(error);
  return static_cast<cudaError_t>(error);
}

cudaError_t last_error(bool clear) {
  const cudaError_t error = last;
  if (clear) last = cudaSuccess;
  return error;
}

int not_supported() { return done(cudaErrorNotSupported); }

int enter() {
  Registry& r = registry();
  const int generation = r.generation;
  if (entered == generation) return 0;
  std::lock_guard<std::recursive_mutex> lock(r.mutex);
  CUresult error = r.context ? CUDA_SUCCESS : cuInit(0);
  if (!error && !r.context) error = cuDevicePrimaryCtxRetain(&r.context, 0);
  CUcontext current = nullptr;
  if (!error) cuCtxGetCurrent(&current);
  if (!error && (!current || current == current_was)) error = cuCtxSetCurrent(r.context);
  if (error) return error;
  entered = generation;
  current_was = r.context;
  return 0;
}

int reset() {
  Registry& r = registry();
  std::lock_guard<std::recursive_mutex> lock(r.mutex);
  const int error = r.context ? cuDevicePrimaryCtxReset(0) : 0;
  r.context = nullptr;
  for (Image* image : r.images) image->module = nullptr;
  for (auto& [host, symbol] : r.functions) symbol.function = nullptr;
  for (auto& [host, symbol] : r.variables) symbol.address = 0;
  ++r.generation;
  last = cudaSuccess;
  return error;
}

int find_function(const void* host, CUfunction* out) {
  if (const int error = enter()) return error;
  std::lock_guard<std::recursive_mutex> lock(registry().mutex);
  auto found = registry().functions.find(host);
  if (found == registry().functions.end()) return cudaErrorInvalidDeviceFunction;
  Symbol& symbol = found->second;
  if (!symbol.function) {
    if (const cudaError_t error = load(*symbol.image)) return error;
    const CUresult error =
        cuModuleGetFunction(&symbol.function, symbol.image->module, symbol.name.c_str());
    if (error) return cudaErrorInvalidDeviceFunction;
  }
  *out = symbol.function;
  return 0;
}

int find_variable(const void* host, CUdeviceptr* address, size_t* bytes) {
  if (const int error = enter()) return error;
  std::lock_guard<std::recursive_mutex> lock(registry().mutex);
  auto found = registry().variables.find(host);
  if (found == registry().variables.end()) return cudaErrorInvalidSymbol;
  Symbol& symbol = found->second;
  if (!symbol.address) {
    if (const cudaError_t error = load(*symbol.image)) return error;
    if (cuModuleGetGlobal(&symbol.address, &symbol.bytes, symbol.image->module,
                          symbol.name.c_str()))
      return cudaErrorInvalidSymbol;
  }
  *address = symbol.address;
  *bytes = symbol.bytes;
  return 0;
}

extern "C" {

void** __cudaRegisterFatBinary(void* data) {
  std::lock_guard<std::recursive_mutex> lock(registry().mutex);
  registry().images.push_back(new Image{data, nullptr, {}});
  return reinterpret_cast<void**>(registry().images.back());
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}  // at exit, when the driver may be gone

char __cudaInitModule(void** image) {
  std::lock_guard<std::recursive_mutex> lock(registry().mutex);
  return !enter() && !load(*reinterpret_cast<Image*>(image));
}

void __cudaRegisterFunction(void** image, const char* host, char*, const char* name, int, uint3*,
                            uint3*, dim3*, dim3*, int*) {
  std::lock_guard<std::recursive_mutex> lock(registry().mutex);
  registry().functions[host] = Symbol{reinterpret_cast<Image*>(image), name};
}

void __cudaRegisterVar(void** image, char* host, char*, const char* name, int, size_t, int, int) {
  std::lock_guard<std::recursive_mutex> lock(registry().mutex);
  registry().variables[host] = Symbol{reinterpret_cast<Image*>(image), name};
}

void __cudaRegisterManagedVar(void** image, void** host, char*, const char* name, int, size_t, int,
                              int) {
  std::lock_guard<std::recursive_mutex> lock(registry().mutex);
  reinterpret_cast<Image*>(image)->managed.push_back({host, name});
  registry().variables[host] = Symbol{reinterpret_cast<Image*>(image), name};
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, CUstream_st* stream) {
  calls.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  if (calls.empty()) return done(cudaErrorMissingConfiguration);
  *grid = calls.back().grid, *block = calls.back().block, *shared = calls.back().shared;
  *static_cast<cudaStream_t*>(stream) = calls.back().stream;
  calls.pop_back();
  return cudaSuccess;
}

// A kernel's handle is its host address: what cannot be found is said at its launch.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  *kernel = static_cast<cudaKernel_t>(const_cast<void*>(host));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               size_t shared, cudaStream_t stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}

}  // extern "C"

}  // namespace runtime
