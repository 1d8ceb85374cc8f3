// Addition, subtraction and multiplication with a carry from and to the warp's carry mask.
#pragma once

namespace ptx {
namespace {

// Carry chains. Mode bits: 1 reads the carry, 2 writes it, 4 subtracts. One flag serves both, as in
// hardware: a - b is a + ~b + 1, and the flag its carry, so that addc after sub.cc adds 1 when
// nothing was borrowed. nvcc's division of 128 bits counts on it.
template <class T, int Mode>
inline T carry_step(T a, T b, uint32_t in, uint32_t* out) {
  using W = typename WideOf<T>::type;
  W sum = Mode & 4 ? W(a) + W(T(~b)) + (Mode & 1 ? in : 1) : W(a) + W(b) + (Mode & 1 ? in : 0);
  *out = uint32_t(sum >> (8 * sizeof(T))) & 1;
  return T(sum);
}
template <class T, int Mode>
void add_carry(Warp& w, const Inst& i, uint32_t mask) {
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b);
  uint32_t slot = w.program->extra[i.x], in = *w.reg<uint32_t>(slot), flags = 0;
  T t[32];
  for (int l = 0; l < 32; ++l) {
    uint32_t carry;
    t[l] = carry_step<T, Mode>(a[l], b[l], (in >> l) & 1, &carry);
    flags |= carry << l;
  }
  blend<32>(w.reg<T>(i.d), t, mask);
  if (Mode & 2) set_mask(w, slot, mask, flags);
}
template <class T, int Mode, class Product>
void mad_carry(Warp& w, const Inst& i, uint32_t mask) {
  using U = Unsigned<T>;
  const T *a = w.reg<T>(i.a), *b = w.reg<T>(i.b);
  const U* c = w.reg<U>(i.c);
  uint32_t slot = w.program->extra[i.x], in = *w.reg<uint32_t>(slot), flags = 0;
  U t[32];
  for (int l = 0; l < 32; ++l) {
    uint32_t carry;
    t[l] = carry_step<U, Mode>(U(Product::f(a[l], b[l])), c[l], (in >> l) & 1, &carry);
    flags |= carry << l;
  }
  blend<32>(w.reg<U>(i.d), t, mask);
  if (Mode & 2) set_mask(w, slot, mask, flags);
}

}  // namespace
}  // namespace ptx
