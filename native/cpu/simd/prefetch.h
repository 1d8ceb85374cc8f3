// Asking for memory ahead of its use. The hardware's own prefetch stops at every 4 KB page, and a
// loop with more than a few instructions an element does not run ahead far enough to start the next
// one: without this the time of such a loop is its arithmetic plus its memory instead of the larger
// of the two. Lines that are only written are asked for too, as they are read before they are
// overwritten. An address past the end of a tensor is harmless, nothing is loaded from it.
#pragma once

namespace gptloom::cpu {
namespace {

constexpr int64_t prefetch_distance = 512;  // floats: 2 KB
constexpr int64_t line_floats = 16;         // floats

GPTLOOM_INLINE void prefetch(const float* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#elif defined(GPTLOOM_X86)
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
#else
  (void)p;
#endif
}
GPTLOOM_INLINE void prefetch_ahead(const float* p) { prefetch(p + prefetch_distance); }
// For a loop that only reads one tensor and does little with it: also into L2, from farther away.
GPTLOOM_INLINE void prefetch_far_ahead(const float* p) {
  GPTLOOM_PREFETCH_FAR(p + 8 * prefetch_distance);
  prefetch_ahead(p);
}

}  // namespace
}  // namespace gptloom::cpu
