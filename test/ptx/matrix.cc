// ldmatrix, stmatrix, movmatrix and mma.
// Layout: a register of a fragment is an 8-row tile, 16 bytes a row: lane 4g+t holds row g, bytes
//   4t..4t+3.
// So 32 lanes of a register are the tile in row-major order. A takes such tiles for rows 0-7, rows
// 8-15, then the next columns; B is the same with the roles of row and column exchanged; C and D
// hold columns 2t and 2t+1 of rows g and g+8.
// Numbers: products of halves are exact in float32; sums round to float32, k ascending. Hardware
//   sums in another order.
#include <algorithm>
#include <cmath>

#include "ops.h"
#include "shadow.h"
#include "tile.h"

namespace ptx {

static void row_addresses(Warp& w, const Inst& i, uint64_t* addr, uint32_t rows) {
  const Access& access = w.program->accesses[size_t(i.access)];
  addresses_of(w, access, rows, addr);
}

void load_matrix(Warp& w, const Inst& i, uint32_t) {
  const Access& access = w.program->accesses[size_t(i.access)];
  const uint32_t count = i.imm & 255, rows = count == 4 ? all_lanes : (1u << (8 * count)) - 1;
  uint64_t addr[32];
  alignas(32) uint16_t data[32][8];
  row_addresses(w, i, addr, rows);
  read_lanes(w, i, access, addr, rows, 16, reinterpret_cast<uint8_t*>(data));
  for (uint32_t k = 0; k < count; ++k) {
    uint16_t* d = w.reg<uint16_t>(w.program->extra[i.x + k]);
    if (!(i.imm & 256)) {
      memcpy(d, data[8 * k], 128);
      continue;
    }
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 8; ++c) d[r * 8 + c] = data[8 * k + uint32_t(c)][r];
  }
}

void store_matrix(Warp& w, const Inst& i, uint32_t) {
  const Access& access = w.program->accesses[size_t(i.access)];
  const uint32_t count = i.imm & 255, rows = count == 4 ? all_lanes : (1u << (8 * count)) - 1;
  uint64_t addr[32];
  alignas(32) uint16_t data[32][8];
  row_addresses(w, i, addr, rows);
  for (uint32_t k = 0; k < count; ++k) {
    const uint16_t* a = w.reg<uint16_t>(w.program->extra[i.x + k]);
    for (int r = 0; r < 8; ++r)
      for (int c = 0; c < 8; ++c)
        data[8 * k + uint32_t(r)][c] = i.imm & 256 ? a[c * 8 + r] : a[r * 8 + c];
  }
  write_lanes(w, i, access, addr, rows, 16, reinterpret_cast<const uint8_t*>(data));
}

void move_matrix(Warp& w, const Inst& i, uint32_t) {
  uint16_t t[64];
  memcpy(t, w.reg<uint16_t>(i.a), sizeof t);
  uint16_t* d = w.reg<uint16_t>(i.d);
  for (int r = 0; r < 8; ++r)
    for (int c = 0; c < 8; ++c) d[r * 8 + c] = t[c * 8 + r];
}

namespace {

// A fragment's registers to a row-major matrix of T. Rows: of A and C the row, of B the column.
template <class T, class Raw, class Up>
void gather(Warp& w, const uint32_t* slots, int rows, int columns, T* out, Up up) {
  constexpr int per = std::max(1, int(4 / sizeof(Raw)));
  const int bands = rows / 8, registers = rows * columns / 32 / per;
  for (int k = 0; k < registers; ++k) {
    const Raw* from = w.reg<Raw>(slots[k]);
    const int row = 8 * (k % bands), column = 4 * per * (k / bands);
    for (int g = 0; g < 8; ++g)
      for (int e = 0; e < 4 * per; ++e)
        out[(row + g) * columns + column + e] = up(from[g * 4 * per + e]);
  }
}

template <class T>
void gather_nibbles(Warp& w, const uint32_t* slots, int rows, int columns, bool sign, T* out) {
  const int bands = rows / 8;
  for (int k = 0; k < rows * columns / 256; ++k) {
    const uint8_t* from = w.reg<uint8_t>(slots[k]);
    const int row = 8 * (k % bands), column = 32 * (k / bands);
    for (int g = 0; g < 8; ++g)
      for (int e = 0; e < 32; ++e) {
        const int v = from[g * 16 + e / 2] >> (e % 2 * 4) & 15;
        out[(row + g) * columns + column + e] = T(sign && v > 7 ? v - 16 : v);
      }
  }
}

template <class T>
void gather_as(Warp& w, const uint32_t* slots, int rows, int columns, Ty type, T* out) {
  switch (type) {
    case Ty::bf16:
      gather<T, uint16_t>(w, slots, rows, columns, out, [](uint16_t h) { return T(brain_up(h)); });
      break;
    case Ty::f16:
      gather<T, uint16_t>(w, slots, rows, columns, out, [](uint16_t h) { return T(half_up(h)); });
      break;
    case Ty::tf32:
      gather<T, uint32_t>(w, slots, rows, columns, out, [](uint32_t u) { return T(tf32_up(u)); });
      break;
    case Ty::s8:
      gather<T, int8_t>(w, slots, rows, columns, out, [](int8_t v) { return T(v); });
      break;
    case Ty::u8:
      gather<T, uint8_t>(w, slots, rows, columns, out, [](uint8_t v) { return T(v); });
      break;
    case Ty::e4m3:
      gather<T, uint8_t>(w, slots, rows, columns, out, [](uint8_t v) { return T(e4m3_up(v)); });
      break;
    case Ty::e5m2:
      gather<T, uint8_t>(w, slots, rows, columns, out, [](uint8_t v) { return T(e5m2_up(v)); });
      break;
    case Ty::s4:
    case Ty::u4:
      gather_nibbles<T>(w, slots, rows, columns, type == Ty::s4, out);
      break;
    default:
      gather<T, double>(w, slots, rows, columns, out, [](double v) { return T(v); });
  }
}

// C and D: 32-bit elements, two columns a lane; halves are packed in pairs of columns.
template <class T>
void accumulators(Warp& w, const uint32_t* slots, int m, Ty type, T* c, bool store) {
  for (int g = 0; g < m; ++g) {
    for (int t = 0; t < 4; ++t) {
      const int lane = (g % 8) * 4 + t;
      for (int e = 0; e < 2; ++e) {
        T& value = c[g * 8 + 2 * t + e];
        if (type == Ty::f16) {
          uint16_t& h = w.reg<uint16_t>(slots[g / 8])[lane * 2 + e];
          if (store)
            h = half_down(float(value));
          else
            value = T(half_up(h));
        } else {
          T& r = w.reg<T>(slots[(g / 8) * 2 + e])[lane];
          if (store)
            r = value;
          else
            value = r;
        }
      }
    }
  }
}

}  // namespace

template <class T>
static void multiply(Warp& w, const Inst& i, const MmaShape& s) {
  const uint32_t* slots = w.program->extra.data() + i.x;
  const int per_a = std::max(1, 32 / element_bits(s.a));
  const int d_count = s.d == Ty::f16 ? 2 : s.m * 8 / 32;
  const int a_count = s.m * s.k / 32 / per_a, b_count = std::max(1, s.k * 8 / 32 / per_a);
  alignas(64) T a[16 * 64], bt[8 * 64], b[64 * 8], c[16 * 8];
  gather_as<T>(w, slots + d_count, s.m, s.k, s.a, a);
  gather_as<T>(w, slots + d_count + a_count, 8, s.k, s.b, bt);
  for (int k = 0; k < s.k; ++k)
    for (int n = 0; n < 8; ++n) b[k * 8 + n] = bt[n * s.k + k];
  accumulators<T>(w, slots + d_count + a_count + b_count, s.m, s.c, c, false);
  tile_product(a, b, c, s.m, 8, s.k, i.imm >> 16);
  accumulators<T>(w, slots, s.m, s.d, c, true);
}

void multiply_matrix(Warp& w, const Inst& i, uint32_t) {
  const MmaShape& s = mma_shapes[i.imm & 0xffff];
  if (s.d == Ty::s32)
    multiply<int32_t>(w, i, s);
  else if (s.d == Ty::f64)
    multiply<double>(w, i, s);
  else
    multiply<float>(w, i, s);
}

}  // namespace ptx
