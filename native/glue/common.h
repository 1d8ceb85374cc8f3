// Build settings live here, not in binding.gyp and CMakeLists.txt, so that the two cannot disagree.
// Only the glue includes this; the engine knows nothing of Node.
#pragma once
#define NAPI_VERSION 8
#define NODE_ADDON_API_CPP_EXCEPTIONS
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>
