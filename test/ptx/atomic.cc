// atom and red. Lanes take their turns in lane order; blocks on other host threads are kept apart
// by the processor's own atomic instructions, through a compare-and-swap loop on 16, 32 or 64 bits.
#include <algorithm>
#include <cmath>

#include "ops.h"
#include "shadow.h"

namespace ptx {

namespace {

float half_up(uint16_t h, Ty type) {
  uint32_t u;
  float f;
  if (type == Ty::bf16) {
    u = uint32_t(h) << 16;
    memcpy(&f, &u, 4);
    return f;
  }
  const int e = (h >> 10) & 31, m = h & 1023;
  f = e == 31 ? (m ? NAN : INFINITY)
      : e     ? std::ldexp(float(1024 + m), e - 25)
              : std::ldexp(float(m), -24);
  return h & 0x8000 ? -f : f;
}

// Rounds to nearest even with `bits` of mantissa and least exponent `least`, by scaling to
// integers.
uint16_t half_down(float f, Ty type) {
  if (f != f) return 0x7fff;
  uint32_t u;
  memcpy(&u, &f, 4);
  if (type == Ty::bf16) return uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  const uint16_t sign = uint16_t(u >> 16) & 0x8000;
  const double a = std::fabs(double(f));
  if (a >= 65520) return sign | 0x7c00;
  int e = a == 0 ? -14 : std::max(-14, std::ilogb(a));
  const int units = int(std::nearbyint(std::ldexp(a, 10 - e)));
  return uint16_t(sign | (units + ((e + 14) << 10)));
}

uint16_t half_apply(uint16_t a, uint16_t b, Ty type, uint32_t op) {
  const float x = half_up(a, type), y = half_up(b, type);
  if (op == op_add) return half_down(x + y, type);
  const float r = x != x ? y : y != y ? x : op == op_min ? std::min(x, y) : std::max(x, y);
  return half_down(r, type);
}

template <class T>
T integer_apply(T a, T b, T c, uint32_t op) {
  using U = std::make_unsigned_t<T>;
  switch (op) {
    case op_add:
      return T(U(a) + U(b));
    case op_and:
      return a & b;
    case op_or:
      return a | b;
    case op_xor:
      return a ^ b;
    case op_exch:
      return b;
    case op_cas:
      return a == b ? c : a;
    case op_inc:
      return U(a) >= U(b) ? T(0) : T(U(a) + 1);
    case op_dec:
      return a == 0 || U(a) > U(b) ? b : T(U(a) - 1);
    case op_min:
      return std::min(a, b);
    default:
      return std::max(a, b);
  }
}

template <class T>
T from_bits(uint64_t bits) {
  T value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
uint64_t to_bits(T value) {
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  return bits;
}

uint64_t apply(uint64_t a, uint64_t b, uint64_t c, Ty type, uint32_t op) {
  switch (type) {
    case Ty::f32: {
      float sum = from_bits<float>(a) + from_bits<float>(b);
      return sum != sum ? 0x7fffffff : to_bits(sum);
    }
    case Ty::f64:
      return to_bits(from_bits<double>(a) + from_bits<double>(b));
    case Ty::f16:
    case Ty::bf16:
      return half_apply(uint16_t(a), uint16_t(b), type, op);
    case Ty::f16x2:
    case Ty::bf16x2: {
      Ty one = type == Ty::f16x2 ? Ty::f16 : Ty::bf16;
      return uint64_t(half_apply(uint16_t(a >> 16), uint16_t(b >> 16), one, op)) << 16 |
             half_apply(uint16_t(a), uint16_t(b), one, op);
    }
    case Ty::s32:
      return to_bits(integer_apply(int32_t(a), int32_t(b), int32_t(c), op));
    case Ty::s64:
      return to_bits(integer_apply(int64_t(a), int64_t(b), int64_t(c), op));
    default:
      break;
  }
  switch (type_bytes(type)) {
    case 2:
      return to_bits(integer_apply(uint16_t(a), uint16_t(b), uint16_t(c), op));
    case 4:
      return to_bits(integer_apply(uint32_t(a), uint32_t(b), uint32_t(c), op));
    default:
      return integer_apply(uint64_t(a), uint64_t(b), uint64_t(c), op);
  }
}

template <class T>
uint64_t update(Block& block, void* at, uint64_t b, uint64_t c, Ty type, uint32_t op) {
  T* p = static_cast<T*>(at);
  T old = __atomic_load_n(p, __ATOMIC_RELAXED), made;
  do {
    made = T(apply(old, b, c, type, op));
  } while (!__atomic_compare_exchange_n(p, &old, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  block.progress += made != old;
  return old;
}

uint64_t read_slot(Warp& w, uint32_t slot, int l, int bytes) {
  return bytes == 2   ? w.reg<uint16_t>(slot)[l]
         : bytes == 4 ? w.reg<uint32_t>(slot)[l]
                      : w.reg<uint64_t>(slot)[l];
}
void write_slot(Warp& w, uint32_t slot, int l, int bytes, uint64_t value) {
  if (bytes == 2)
    w.reg<uint16_t>(slot)[l] = uint16_t(value);
  else if (bytes == 4)
    w.reg<uint32_t>(slot)[l] = uint32_t(value);
  else
    w.reg<uint64_t>(slot)[l] = value;
}

}  // namespace

static void atomic_lanes(Warp& w, const Inst& i, const Access& access, const uint64_t* given,
                         uint32_t mask) {
  uint64_t addr[32];
  memcpy(addr, given, sizeof addr);
  const Space space = resolve_space(w, i, access.space, addr, mask);
  bool mixed = space == Space::generic;
  if (space == Space::shared)
    for (uint32_t m = mask; m; m &= m - 1)
      mixed |= (addr[first_lane(m)] ^ addr[first_lane(mask)]) >> cluster_shift != 0;
  if (mixed) {
    for (uint32_t m = mask; m; m &= m - 1) atomic_lanes(w, i, access, given, m & -m);
    return;
  }
  const uint32_t bytes = uint32_t(access.bytes) * access.count;
  uint8_t* base = nullptr;
  if (space == Space::global) {
    if (access.release && w.program->uses_fences) global_release(w);
    check_global(w, i, access, addr, mask, bytes, Touch::atomic, nullptr);
  } else if (space == Space::shared) {
    Block& block = shared_place(w, i, addr, mask, bytes).block;
    if (full_checks(w)) shared_atomic(w, i, block, addr, mask, bytes);
    base = block.shared.data();
    if (w.program->uses_fences) {
      for (uint32_t m = mask; m; m &= m - 1) {
        auto& clock = block.released[addr[first_lane(m)]];
        if (access.acquire) learn(w, clock);
        if (access.release) publish(w, clock);
      }
      tick(block);
    }
  } else {
    fault(w, i, first_lane(mask), FaultKind::invalid_address_space,
          "atomics work on global and shared memory");
  }
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    uint8_t* at = base ? base + addr[l] : reinterpret_cast<uint8_t*>(addr[l]);
    for (uint32_t k = 0; k < access.count; ++k, at += access.bytes) {
      const uint32_t source = i.extra ? w.program->extra[i.x + access.count + k] : i.a;
      const uint32_t target = i.extra ? w.program->extra[i.x + k] : i.d;
      const uint64_t b = read_slot(w, source, l, access.bytes);
      const uint64_t c = i.b == no_slot ? 0 : read_slot(w, i.b, l, access.bytes);
      Block& block = *w.block;
      uint64_t old = access.bytes == 2   ? update<uint16_t>(block, at, b, c, access.type, i.imm)
                     : access.bytes == 4 ? update<uint32_t>(block, at, b, c, access.type, i.imm)
                                         : update<uint64_t>(block, at, b, c, access.type, i.imm);
      if (target != no_slot) write_slot(w, target, l, access.bytes, old);
    }
  }
  if (access.acquire && space == Space::global && w.program->uses_fences) global_acquire(w);
}

void atomic(Warp& w, const Inst& i, uint32_t mask) {
  const Access& access = w.program->accesses[size_t(i.access)];
  uint64_t addr[32];
  addresses_of(w, access, mask, addr);
  w.worker->tally.atomics += uint64_t(__builtin_popcount(mask));
  atomic_lanes(w, i, access, addr, mask);
}

}  // namespace ptx
