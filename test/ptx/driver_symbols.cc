// Looking entries up: cuGetProcAddress, the variants for the per-thread default stream, and what is
// missing.
#include <atomic>
#include <cstring>

#include "driver_state.h"

namespace ptx::driver {

namespace {

// The same entry with the thread's own stream as the null stream.
template <auto function>
struct PerThread;
template <class... A, CUresult (*function)(A...)>
struct PerThread<function> {
  static CUresult call(A... arguments) {
    const PerThreadScope scope;
    return function(arguments...);
  }
};

struct Symbol {
  const char* name;
  void* function;
  int version;
  const char* symbol;
};

struct Variant {
  const char* symbol;
  void* function;
};

template <class F>
void* address(F* function) {
  return reinterpret_cast<void*>(function);
}

CUresult missing(const char* name, std::atomic<bool>* said);

}  // namespace
}  // namespace ptx::driver

// The exported stubs: whatever their arguments, the caller cleans them up.
#define ENTRY(name, symbol, version)
#define STREAM(symbol, suffix)
#define MISSING(name)                                                 \
  extern "C" __attribute__((visibility("default"))) CUresult name() { \
    static std::atomic<bool> said{false};                             \
    return ptx::driver::missing(#name, &said);                        \
  }
#include "driver_missing.inc"
#undef MISSING

// The exported per-thread variants jump through a pointer to PerThread<entry>::call, which keeps every
// argument in place.
#undef STREAM
#define STREAM(symbol, suffix)                                                        \
  extern "C" {                                                                        \
  extern __attribute__((visibility("hidden"))) void* const ptx_##symbol##_per_thread; \
  __attribute__((used)) void* const ptx_##symbol##_per_thread =                       \
      reinterpret_cast<void*>(&ptx::driver::PerThread<&symbol>::call);                \
  }
#include "driver_table.inc"
#undef STREAM

#if defined(__x86_64__)
#define PTX_JUMP(pointer) "jmp *" pointer "(%rip)\n"
#elif defined(__aarch64__)
#define PTX_JUMP(pointer) "adrp x16, " pointer "\nldr x16, [x16, :lo12:" pointer "]\nbr x16\n"
#endif
#ifdef PTX_JUMP
#define STREAM(symbol, suffix)                                                                    \
  asm(".text\n.globl " #symbol "_" #suffix "\n.type " #symbol "_" #suffix ", %function\n" #symbol \
      "_" #suffix ":\n" PTX_JUMP("ptx_" #symbol "_per_thread"));
#include "driver_table.inc"
#undef STREAM
#endif

namespace ptx::driver {

namespace {

#undef ENTRY
#define ENTRY(name, symbol, version) {#name, address(&symbol), version, #symbol},
#define STREAM(symbol, suffix)
const Symbol symbols[] = {
#include "driver_table.inc"
};
#undef ENTRY
#undef STREAM

#define ENTRY(name, symbol, version)
#define STREAM(symbol, suffix) {#symbol, address(&PerThread<&symbol>::call)},
const Variant variants[] = {
#include "driver_table.inc"
};
#undef STREAM

#define MISSING(name) {#name, address(&name), 0, #name},
const Symbol absent[] = {
#include "driver_missing.inc"
};
#undef MISSING

CUresult missing(const char* name, std::atomic<bool>* said) {
  if (said->exchange(true)) return CUDA_ERROR_NOT_SUPPORTED;
  if (std::strcmp(name, "cuGetExportTable") == 0) {
    complain("%s is not supported: NVIDIA's CUDA runtime asks for private tables of NVIDIA's driver. "
             "Build the program with `nvcc -cudart shared --no-compress` and name this library's "
             "folder in LD_LIBRARY_PATH: the libcudart.so.13 there uses the public API alone", name);
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  const Symbol* now = nullptr;
  for (const Symbol& symbol : symbols) {
    if (std::strcmp(symbol.name, name) == 0) now = &symbol;
  }
  if (now && std::strcmp(now->symbol, name) != 0)
    complain("%s is not supported; cuda.h of today maps it to %s", name, now->symbol);
  else complain("%s is not supported", name);
  return CUDA_ERROR_NOT_SUPPORTED;
}

constexpr uint64_t per_thread_flag = 2;
constexpr int found = 0, not_found = 1, version_not_sufficient = 2;

int look_up(const char* name, int version, uint64_t flags, void** out) {
  const Symbol* best = nullptr;
  bool known = false;
  for (const Symbol& symbol : symbols) {
    if (std::strcmp(symbol.name, name) != 0) continue;
    known = true;
    if (symbol.version <= version && (!best || symbol.version > best->version)) best = &symbol;
  }
  if (known && !best) return version_not_sufficient;
  if (!known) {
    for (const Symbol& symbol : absent) {
      if (std::strcmp(symbol.name, name) == 0) best = &symbol;
    }
  }
  if (!best) return not_found;
  *out = best->function;
  for (const Variant& variant : variants) {
    if ((flags & per_thread_flag) && std::strcmp(variant.symbol, best->symbol) == 0)
      *out = variant.function;
  }
  return found;
}

}  // namespace
}  // namespace ptx::driver

CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version, uint64_t flags,
                             int* status) {
  if (!symbol || !function || flags > 2) return CUDA_ERROR_INVALID_VALUE;
  *function = nullptr;
  const int result = ptx::driver::look_up(symbol, version, flags, function);
  if (status) *status = result;
  return result == ptx::driver::found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char* symbol, void** function, int version, uint64_t flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, nullptr);
}
