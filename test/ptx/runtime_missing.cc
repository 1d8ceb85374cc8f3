// Entries of the runtime that are absent: each answers cudaErrorNotSupported and says its name. The
// toolkit's headers stay out, whose declarations have other arguments.
#include <atomic>
#include <cstdio>

namespace runtime {
int not_supported();  // keeps the error for cudaGetLastError
}

// Whatever the arguments, the caller cleans them up.
#define MISSING(name)                                                            \
  extern "C" __attribute__((visibility("default"))) int name() {                 \
    static std::atomic<bool> said{false};                                        \
    if (!said.exchange(true))                                                    \
      std::fputs("emulated GPU: " #name " is not supported by this runtime\n", stderr); \
    return runtime::not_supported();                                             \
  }
#include "runtime_missing.inc"
