#include "cuda/driver.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace gptloom::cuda {

namespace {

#if defined(_WIN32)
constexpr const char* kLibrary = "nvcuda.dll";

void* open_library(std::string& reason) {
  // From the system's folder alone: a file of that name in the working folder is not the driver.
  HMODULE library = LoadLibraryExA(kLibrary, nullptr, LOAD_LIBRARY_SEARCH_SYSTEM32);
  if (!library)
    reason =
        std::string(kLibrary) + ": LoadLibrary failed with error " + std::to_string(GetLastError());
  return library;
}
void* symbol(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#elif defined(__APPLE__)
constexpr const char* kLibrary = "";

void* open_library(std::string& reason) {
  reason = "no NVIDIA driver exists for macOS";
  return nullptr;
}
void* symbol(void*, const char*) { return nullptr; }
#else
constexpr const char* kLibrary = "libcuda.so.1";

void* open_library(std::string& reason) {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (!library) reason = dlerror();
  return library;
}
void* symbol(void* library, const char* name) { return dlsym(library, name); }
#endif

template <class Pointer>
bool find(void* library, const char* name, Pointer& pointer) {
  pointer = reinterpret_cast<Pointer>(symbol(library, name));
  return pointer != nullptr;
}

Loaded open_driver() {
  Loaded out{nullptr, "", 0};
  void* library = open_library(out.reason);
  if (!library) return out;
  static Driver driver;
  const char* missing = nullptr;
#define GPTLOOM_FIND(name, parameters) \
  if (!find(library, "cu" #name, driver.name)) missing = "cu" #name;
  GPTLOOM_DRIVER_OPTIONAL(GPTLOOM_FIND)
  missing = nullptr;
  GPTLOOM_DRIVER_ENTRIES(GPTLOOM_FIND)
#undef GPTLOOM_FIND
  if (missing) {
    out.reason = std::string(kLibrary) + " has no " + missing + ": the driver is too old";
    return out;
  }
  const CUresult result = driver.Init(0);
  if (result != kSuccess) {
    out.reason = "the driver answered " + driver.explain(result);
    return out;
  }
  driver.DriverGetVersion(&out.version);
  out.driver = &driver;
  return out;
}

}  // namespace

std::string Driver::explain(CUresult result) const {
  const char *name = nullptr, *text = nullptr;
  std::string out = "error " + std::to_string(result);
  if (GetErrorName(result, &name) == kSuccess && name)
    out = std::string(name) + " (" + std::to_string(result) + ")";
  if (GetErrorString(result, &text) == kSuccess && text) out += ": " + std::string(text);
  return out;
}

const Loaded& load_driver() {
  static const Loaded loaded = open_driver();
  return loaded;
}

}  // namespace gptloom::cuda
