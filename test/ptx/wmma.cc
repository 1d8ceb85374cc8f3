// wmma: load, multiply, store.
// Layout: the manual leaves a fragment's layout open. Here element e of the matrix in row-major
//   order is element e / 32 of lane e % 32, halves and bytes packed in order, so that elementwise
//   work on fragments is right.
#include <algorithm>

#include "ops.h"
#include "shadow.h"
#include "tile.h"

namespace ptx {

namespace {

// Addresses of the 32 elements e = 32 s + lane of a matrix at the access's address.
void element_addresses(Warp& w, const Inst& i, const Access& access, int s, const uint64_t* base,
                       uint64_t* addr) {
  const int columns = int(i.imm >> 8) & 255;
  const bool column_major = (i.imm >> 16) & 1;
  const uint32_t* stride = w.reg<uint32_t>(i.a);
  for (int l = 0; l < 32; ++l) {
    const int e = 32 * s + l, r = e / columns, c = e % columns;
    const uint64_t index = column_major ? uint64_t(c) * stride[l] + uint64_t(r)
                                        : uint64_t(r) * stride[l] + uint64_t(c);
    addr[l] = base[l] + index * access.bytes;
  }
}

uint8_t* element(Warp& w, const uint32_t* slots, int s, int lane, int bytes) {
  const int width = std::max(4, bytes), per = width / bytes;  // of a register; elements it holds
  return w.reg<uint8_t>(slots[s / per]) + lane * width + (s % per) * bytes;
}

void check_uniform(Warp& w, const Inst& i, const uint64_t* base) {
  for (int l = 1; l < 32; ++l)
    if (base[l] != base[0])
      fault(w, i, l, FaultKind::illegal_instruction, "the matrix's address differs between lanes",
            base[l]);
}

template <class T>
void to_matrix(Warp& w, const uint32_t* slots, int count, Ty type, T* out) {
  const int bytes = type == Ty::tf32 ? 4 : type_bytes(type);
  for (int e = 0; e < count; ++e) {
    const uint8_t* at = element(w, slots, e / 32, e % 32, bytes);
    if (type == Ty::f64) {
      memcpy(&out[e], at, sizeof(T));
      continue;
    }
    uint32_t u = 0;
    memcpy(&u, at, size_t(bytes));
    float f;
    memcpy(&f, &u, 4);
    switch (type) {
      case Ty::f16:
        out[e] = T(half_up(uint16_t(u)));
        break;
      case Ty::bf16:
        out[e] = T(brain_up(uint16_t(u)));
        break;
      case Ty::tf32:
        out[e] = T(tf32_up(u));
        break;
      case Ty::s8:
        out[e] = T(int8_t(u));
        break;
      case Ty::u8:
        out[e] = T(uint8_t(u));
        break;
      case Ty::s32:
        out[e] = T(int32_t(u));
        break;
      default:
        out[e] = T(f);
    }
  }
}

template <class T>
void run(Warp& w, const Inst& i, const MmaShape& s) {
  const uint32_t* d = w.program->extra.data() + i.x;
  auto registers = [](int count, Ty type) {
    return type == Ty::f16   ? 8
           : type == Ty::f64 ? count / 32
                             : std::max(1, count * (type == Ty::tf32 ? 4 : type_bytes(type)) / 128);
  };
  const uint32_t* a = d + (s.d == Ty::f16 ? 4 : s.m * s.n / 32);
  const uint32_t* b = a + registers(s.m * s.k, s.a);
  const uint32_t* c = b + registers(s.k * s.n, s.b);
  T ma[512], mb[512], mc[256];
  to_matrix(w, a, s.m * s.k, s.a, ma);
  to_matrix(w, b, s.k * s.n, s.b, mb);
  to_matrix(w, c, s.m * s.n, s.c, mc);
  tile_product(ma, mb, mc, s.m, s.n, s.k, i.imm >> 16);
  for (int e = 0; e < s.m * s.n; ++e) {
    if (s.d == Ty::f16) {
      const uint16_t h = half_down(float(mc[e]));
      memcpy(element(w, d, e / 32, e % 32, 2), &h, 2);
    } else {
      memcpy(element(w, d, e / 32, e % 32, sizeof(T)), &mc[e], sizeof(T));
    }
  }
}

}  // namespace

void wmma_load(Warp& w, const Inst& i, uint32_t mask) {
  const Access& access = w.program->accesses[size_t(i.access)];
  const int count = int(i.imm & 255) * (int(i.imm >> 8) & 255);
  const uint32_t* slots = w.program->extra.data() + i.x;
  uint64_t base[32], addr[32];
  addresses_of(w, access, mask, base);
  check_uniform(w, i, base);
  alignas(32) uint8_t data[32 * 8];
  for (uint32_t k = 0; k < i.extra; ++k)
    memset(w.reg<uint8_t>(slots[k]), 0, access.bytes == 8 ? 256 : 128);
  for (int s = 0; s < count / 32; ++s) {
    element_addresses(w, i, access, s, base, addr);
    read_lanes(w, i, access, addr, mask, access.bytes, data);
    for (int l = 0; l < 32; ++l)
      memcpy(element(w, slots, s, l, access.bytes), data + l * access.bytes, access.bytes);
  }
}

void wmma_store(Warp& w, const Inst& i, uint32_t mask) {
  const Access& access = w.program->accesses[size_t(i.access)];
  const int count = int(i.imm & 255) * (int(i.imm >> 8) & 255);
  const uint32_t* slots = w.program->extra.data() + i.x;
  uint64_t base[32], addr[32];
  addresses_of(w, access, mask, base);
  check_uniform(w, i, base);
  alignas(32) uint8_t data[32 * 8];
  for (int s = 0; s < count / 32; ++s) {
    element_addresses(w, i, access, s, base, addr);
    for (int l = 0; l < 32; ++l)
      memcpy(data + l * access.bytes, element(w, slots, s, l, access.bytes), access.bytes);
    write_lanes(w, i, access, addr, mask, access.bytes, data);
  }
}

void wmma_multiply(Warp& w, const Inst& i, uint32_t) {
  const MmaShape& s = mma_shapes[i.imm & 0xffff];
  if (s.d == Ty::s32)
    run<int32_t>(w, i, s);
  else if (s.d == Ty::f64)
    run<double>(w, i, s);
  else
    run<float>(w, i, s);
}

}  // namespace ptx
