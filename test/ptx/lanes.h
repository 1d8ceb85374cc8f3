// Plan: every instruction is a loop over 32 lanes that the compiler turns into vector code. With
//   all lanes active the loop writes its destination; otherwise it writes a temporary, and a blend
//   follows. Computing dead lanes does no harm.
#pragma once

#if defined(__clang__)
// Loops that call the mathematical library stay scalar, and that is no news.
#pragma clang diagnostic ignored "-Wpass-failed"
#define PTX_LANES(count) \
  _Pragma("clang loop vectorize(assume_safety)") for (int l = 0; l < (count); ++l)
#else
#define PTX_LANES(count) _Pragma("GCC ivdep") for (int l = 0; l < (count); ++l)
#endif

namespace ptx {
namespace {

template <class To, class From>
inline To bits_as(From value) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To out;
  __builtin_memcpy(&out, &value, sizeof out);
  return out;
}

// Destination and sources may be one slot: lane by lane that is no dependence, which PTX_LANES
// states.
template <int N, class R>
inline void blend(R* d, const R* t, uint32_t mask) {
  constexpr int per = N / 32;  // elements a lane holds
  PTX_LANES(N) d[l] = (mask >> (l / per)) & 1 ? t[l] : d[l];
}

template <class R, class A, class Op, int N = 32>
void unary(Warp& w, const Inst& i, uint32_t mask) {
  R* d = w.reg<R>(i.d);
  const A* a = w.reg<A>(i.a);
  if (mask == all_lanes) {
    PTX_LANES(N) d[l] = Op::f(a[l]);
  } else {
    R t[N];
    PTX_LANES(N) t[l] = Op::f(a[l]);
    blend<N>(d, t, mask);
  }
}

template <class R, class A, class B, class Op, int N = 32>
void binary(Warp& w, const Inst& i, uint32_t mask) {
  R* d = w.reg<R>(i.d);
  const A* a = w.reg<A>(i.a);
  const B* b = w.reg<B>(i.b);
  if (mask == all_lanes) {
    PTX_LANES(N) d[l] = Op::f(a[l], b[l]);
  } else {
    R t[N];
    PTX_LANES(N) t[l] = Op::f(a[l], b[l]);
    blend<N>(d, t, mask);
  }
}

template <class R, class A, class B, class C, class Op, int N = 32>
void ternary(Warp& w, const Inst& i, uint32_t mask) {
  R* d = w.reg<R>(i.d);
  const A* a = w.reg<A>(i.a);
  const B* b = w.reg<B>(i.b);
  const C* c = w.reg<C>(i.c);
  if (mask == all_lanes) {
    PTX_LANES(N) d[l] = Op::f(a[l], b[l], c[l]);
  } else {
    R t[N];
    PTX_LANES(N) t[l] = Op::f(a[l], b[l], c[l]);
    blend<N>(d, t, mask);
  }
}

inline void set_mask(Warp& w, uint32_t slot, uint32_t mask, uint32_t value) {
  uint32_t* d = w.reg<uint32_t>(slot);
  *d = (*d & ~mask) | (value & mask);
}

inline void put(Forms& out, const std::string& name, Fn fn, std::vector<Ty> types, Class cls,
                int flops = 0, Shape shape = Shape::plain, uint32_t imm = 0) {
  out[name] = Form{fn, std::move(types), cls, uint16_t(flops), imm, shape};
}

// Rounding modes other than to nearest are the processor's own; fesetround is opaque, so no lane
// moves across it.
template <Fn F, int Mode>
void rounded(Warp& w, const Inst& i, uint32_t mask) {
  fesetround(Mode);
  F(w, i, mask);
  fesetround(FE_TONEAREST);
}

template <Fn F>
void put_rounded(Forms& out, const std::string& base, const std::string& rest,
                 std::vector<Ty> types, Class cls, int flops) {
  put(out, base + ".rn" + rest, F, types, cls, flops);
  put(out, base + ".rz" + rest, rounded<F, FE_TOWARDZERO>, types, cls, flops);
  put(out, base + ".rm" + rest, rounded<F, FE_DOWNWARD>, types, cls, flops);
  put(out, base + ".rp" + rest, rounded<F, FE_UPWARD>, types, cls, flops);
}

}  // namespace
}  // namespace ptx
