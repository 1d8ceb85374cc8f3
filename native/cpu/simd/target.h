// What every instruction set's file includes first: the std and intrinsics headers that the kernels
// use (they must stand before the target pragma, or their inline functions would be compiled for
// that target too and could be the copy that the linker keeps), and the two macros that open and
// close a target region.
//
// Inside a region: kernels in an anonymous namespace, no further std headers, and no lambdas
// (clang's pragma does not reach a lambda's body).
#pragma once
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "cpu/kernels.h"

#if defined(__x86_64__) || defined(_M_X64)
#define GPTLOOM_X86 1
#if defined(__GNUC__) && !defined(__clang__)
// Some intrinsics leave a register undefined on purpose, which gcc 12 takes for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#define GPTLOOM_ARM 1
#include <arm_neon.h>
#endif

#define GPTLOOM_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define GPTLOOM_TARGET_BEGIN(features) \
  GPTLOOM_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define GPTLOOM_TARGET_END _Pragma("clang attribute pop")
#define GPTLOOM_UNROLL _Pragma("unroll")
#define GPTLOOM_UNROLL_TWICE _Pragma("unroll 2")
#elif defined(__GNUC__)
#define GPTLOOM_TARGET_BEGIN(features) \
  _Pragma("GCC push_options") GPTLOOM_PRAGMA(GCC target(features))
#define GPTLOOM_TARGET_END _Pragma("GCC pop_options")
#define GPTLOOM_UNROLL _Pragma("GCC unroll 32")
#define GPTLOOM_UNROLL_TWICE _Pragma("GCC unroll 2")
#else
#define GPTLOOM_TARGET_BEGIN(features)
#define GPTLOOM_TARGET_END
#define GPTLOOM_UNROLL
#define GPTLOOM_UNROLL_TWICE
#endif

#if defined(__GNUC__)
#define GPTLOOM_INLINE inline __attribute__((always_inline))
#else
#define GPTLOOM_INLINE __forceinline
#endif

// What a loop that has no register to spare does so seldom that it is better called.
#if defined(__GNUC__)
#define GPTLOOM_SELDOM __attribute__((noinline, cold))
#else
#define GPTLOOM_SELDOM __declspec(noinline)
#endif

// Keeps loads after this point from moving before it, where they would need registers.
#if defined(__GNUC__)
#define GPTLOOM_IN_ORDER __asm__ volatile("" ::: "memory")
#else
#define GPTLOOM_IN_ORDER (void)0
#endif

// Asks for the line of p, to be read or written soon; FAR: after more than L1 holds, so that it waits
// in L2; WRITE: alone, since a line that another core has read takes as long to write as to fetch. For
// that a region's features need prfchw, which is no instruction to processors without it. p need not be
// readable.
#if defined(__GNUC__)
#define GPTLOOM_PREFETCH(p) __builtin_prefetch(p)
#define GPTLOOM_PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2)
#define GPTLOOM_PREFETCH_WRITE(p) __builtin_prefetch(p, 1)
#elif defined(GPTLOOM_X86)
#define GPTLOOM_PREFETCH(p) _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0)
#define GPTLOOM_PREFETCH_FAR(p) _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1)
#define GPTLOOM_PREFETCH_WRITE(p) GPTLOOM_PREFETCH(p)
#else
#define GPTLOOM_PREFETCH(p) (void)(p)
#define GPTLOOM_PREFETCH_FAR(p) (void)(p)
#define GPTLOOM_PREFETCH_WRITE(p) (void)(p)
#endif
