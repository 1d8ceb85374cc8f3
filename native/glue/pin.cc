#include "glue/pin.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace gptloom::glue {

void pin() {
#if defined(_WIN32)
  HMODULE module;
  GetModuleHandleExA(
      GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
      reinterpret_cast<LPCSTR>(&pin), &module);
#else
  Dl_info self;
  // A handle that nobody closes.
  if (dladdr(reinterpret_cast<void*>(&pin), &self)) dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
#endif
}

}  // namespace gptloom::glue
