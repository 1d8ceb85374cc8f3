// Packed and narrow conversions (x2, tf32, fp8, cvt.pack), moves and the packing of registers.
#pragma once

namespace ptx {
namespace {

template <class H>
void convert_pair(Warp& w, const Inst& i, uint32_t mask) {
  const float *a = w.reg<float>(i.a), *b = w.reg<float>(i.b);
  uint32_t t[32];
  for (int l = 0; l < 32; ++l)
    t[l] = uint32_t(Store<Half<H>>::f(double(a[l]), i.imm)) << 16 |
           Store<Half<H>>::f(double(b[l]), i.imm);
  blend<32>(w.reg<uint32_t>(i.d), t, mask);
}

// tf32 keeps 10 bits of mantissa; the rest of the register is zero here (the manual leaves it
// open).
void convert_tf32(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t* a = w.reg<uint32_t>(i.a);
  uint32_t t[32];
  PTX_LANES(32) {
    uint32_t u = a[l], mode = i.imm & mode_bits;
    uint32_t r = mode == mode_a ? u + 0x1000u : mode == mode_n ? u + 0xfffu + ((u >> 13) & 1) : u;
    bool special = (u & 0x7f800000u) == 0x7f800000u, nan = (u & 0x7fffffffu) > 0x7f800000u;
    r = (special ? u : r) & 0xffffe000u;
    if (i.imm & cvt_finite && (r & 0x7fffffffu) == 0x7f800000u && !nan)
      r = (r & 0x80000000u) | 0x7f7fe000u;
    if (i.imm & cvt_relu && r >> 31) r = 0;
    t[l] = nan ? 0x7fffffffu : r;
  }
  blend<32>(w.reg<uint32_t>(i.d), t, mask);
}

// fp8: e4m3 has no infinity and NaN 0x7f, e5m2 is the upper byte of a float16. Rounding to nearest
// even, .satfinite.
struct E4M3 {
  static constexpr int mantissa = 3, least = -6, bias = 7;
  static constexpr double top = 448;
  static float up(uint8_t b) {
    if ((b & 0x7f) == 0x7f) return bits_as<float>(0x7fffffffu);
    int e = (b >> 3) & 15, m = b & 7;
    float v = e ? __builtin_ldexpf(float(8 + m), e - 10) : __builtin_ldexpf(float(m), -9);
    return b & 0x80 ? -v : v;
  }
};
struct E5M2 {
  static constexpr int mantissa = 2, least = -14, bias = 15;
  static constexpr double top = 57344;
  static float up(uint8_t b) { return up_f16(uint16_t(b << 8)); }
};
template <class E>
inline uint8_t down8(double v, bool relu) {
  if (v != v) return 0x7f;
  if (relu && !(v > 0)) v = 0;
  uint8_t sign = bits_as<uint64_t>(v) >> 63 ? 0x80 : 0;
  double m = __builtin_fabs(v);
  if (m >= E::top) m = E::top;
  int e = m == 0 ? E::least : __builtin_ilogb(m);
  if (e < E::least) e = E::least;
  double units = __builtin_rint(__builtin_ldexp(m, E::mantissa - e));  // up to 2^(mantissa+1)
  int code = int(units) + ((e + E::bias - 1) << E::mantissa);
  if (units == 0) code = 0;
  return uint8_t(sign | code);
}
template <class E>
void single_to_fp8(Warp& w, const Inst& i, uint32_t mask) {
  const float *a = w.reg<float>(i.a), *b = w.reg<float>(i.b);
  uint16_t t[32];
  for (int l = 0; l < 32; ++l)
    t[l] = uint16_t(down8<E>(a[l], i.imm & cvt_relu) << 8 | down8<E>(b[l], i.imm & cvt_relu));
  blend<32>(w.reg<uint16_t>(i.d), t, mask);
}
template <class E>
void half_to_fp8(Warp& w, const Inst& i, uint32_t mask) {
  const uint16_t* a = w.reg<uint16_t>(i.a);
  uint16_t t[32];
  for (int l = 0; l < 32; ++l)
    t[l] = uint16_t(down8<E>(up_f16(a[2 * l + 1]), i.imm & cvt_relu) << 8 |
                    down8<E>(up_f16(a[2 * l]), i.imm & cvt_relu));
  blend<32>(w.reg<uint16_t>(i.d), t, mask);
}
template <class E>
void fp8_to_half(Warp& w, const Inst& i, uint32_t mask) {
  const uint16_t* a = w.reg<uint16_t>(i.a);
  uint32_t t[32];
  for (int l = 0; l < 32; ++l) {
    float high = E::up(uint8_t(a[l] >> 8)), low = E::up(uint8_t(a[l]));
    if (i.imm & cvt_relu)
      high = high > 0 || high != high ? high : 0.f, low = low > 0 || low != low ? low : 0.f;
    t[l] = uint32_t(down_f16(high)) << 16 | down_f16(low);
  }
  blend<32>(w.reg<uint32_t>(i.d), t, mask);
}

template <class T>
inline uint32_t clamp_int(int32_t v) {
  using L = std::numeric_limits<T>;
  int64_t x = v;
  return uint32_t(Unsigned<T>(T(x < L::min() ? L::min() : x > L::max() ? L::max() : x)));
}
template <class T>
struct Pack16 {
  static inline uint32_t f(int32_t a, int32_t b) { return clamp_int<T>(a) << 16 | clamp_int<T>(b); }
};
template <class T>
struct Pack8 {
  static inline uint32_t f(int32_t a, int32_t b, uint32_t c) {
    return c << 16 | clamp_int<T>(a) << 8 | clamp_int<T>(b);
  }
};

struct Copy {
  template <class T>
  static inline T f(T a) {
    return a;
  }
};
struct Wide128 {
  uint64_t low, high;
};

// Packs extra registers of T into one of R, first one lowest, and back. A slot of no_slot is not
// written.
template <class R, class T>
void pack(Warp& w, const Inst& i, uint32_t mask) {
  constexpr int count = int(sizeof(R) / sizeof(T));
  T t[32 * count];
  for (int k = 0; k < count; ++k) {
    const T* a = w.reg<T>(w.program->extra[i.x + uint32_t(k)]);
    for (int l = 0; l < 32; ++l) t[l * count + k] = a[l];
  }
  blend<32 * count>(w.reg<T>(i.d), t, mask);
}
template <class R, class T>
void unpack(Warp& w, const Inst& i, uint32_t mask) {
  constexpr int count = int(sizeof(R) / sizeof(T));
  const T* a = w.reg<T>(i.a);
  for (int k = 0; k < count; ++k) {
    uint32_t slot = w.program->extra[i.x + uint32_t(k)];
    if (slot == no_slot) continue;
    T t[32];
    for (int l = 0; l < 32; ++l) t[l] = a[l * count + k];
    blend<32>(w.reg<T>(slot), t, mask);
  }
}

void put_pack(Forms& out) {
  const Class c = Class::conversion, m = Class::move;
  const Ty b = Ty::b32, f = Ty::f32;
  for (uint32_t k = 0; k < 4; ++k) {
    const std::string mid = std::string(k & 1 ? ".relu" : "") + (k & 2 ? ".satfinite" : "");
    const uint32_t bits = (k & 1 ? cvt_relu : 0) | (k & 2 ? cvt_finite : 0);
    auto add = [&](const char* mode, uint32_t mode_value, const char* end, Fn fn,
                   std::vector<Ty> types) {
      put(out, std::string("cvt") + mode + mid + end, fn, std::move(types), c, 0, Shape::plain,
          bits | mode_value);
    };
    for (auto& mode : {ModeName{".rn", mode_n}, ModeName{".rz", mode_z}}) {
      add(mode.name, mode.bits, ".f16x2.f32", convert_pair<F16>, {b, f, f});
      add(mode.name, mode.bits, ".bf16x2.f32", convert_pair<BF16>, {b, f, f});
      add(mode.name, mode.bits, ".tf32.f32", convert_tf32, {b, f});
      if (!k) continue;
      add(mode.name, mode.bits, ".f16.f32", convert<Half<F16>, Single>, {Ty::f16, f});
      add(mode.name, mode.bits, ".bf16.f32", convert<Half<BF16>, Single>, {Ty::bf16, f});
    }
    if (!(k & 1)) add(".rna", mode_a, ".tf32.f32", convert_tf32, {b, f});
  }
  for (uint32_t relu = 0; relu < 2; ++relu) {
    const std::string r = relu ? ".relu" : "";
    auto add = [&](const std::string& name, Fn fn, std::vector<Ty> types) {
      put(out, name, fn, std::move(types), c, 0, Shape::plain, relu ? cvt_relu : 0);
    };
    add("cvt.rn.satfinite" + r + ".e4m3x2.f32", single_to_fp8<E4M3>, {Ty::b16, f, f});
    add("cvt.rn.satfinite" + r + ".e5m2x2.f32", single_to_fp8<E5M2>, {Ty::b16, f, f});
    add("cvt.rn.satfinite" + r + ".e4m3x2.f16x2", half_to_fp8<E4M3>, {Ty::b16, b});
    add("cvt.rn.satfinite" + r + ".e5m2x2.f16x2", half_to_fp8<E5M2>, {Ty::b16, b});
    add("cvt.rn" + r + ".f16x2.e4m3x2", fp8_to_half<E4M3>, {b, Ty::b16});
    add("cvt.rn" + r + ".f16x2.e5m2x2", fp8_to_half<E5M2>, {b, Ty::b16});
  }
  const Ty s = Ty::s32;
  put(out, "cvt.pack.sat.u16.s32", binary<uint32_t, int32_t, int32_t, Pack16<uint16_t>>,
      {Ty::u32, s, s}, c);
  put(out, "cvt.pack.sat.s16.s32", binary<uint32_t, int32_t, int32_t, Pack16<int16_t>>,
      {Ty::u32, s, s}, c);
  put(out, "cvt.pack.sat.u8.s32.b32", ternary<uint32_t, int32_t, int32_t, uint32_t, Pack8<uint8_t>>,
      {Ty::u32, s, s, b}, c);
  put(out, "cvt.pack.sat.s8.s32.b32", ternary<uint32_t, int32_t, int32_t, uint32_t, Pack8<int8_t>>,
      {Ty::u32, s, s, b}, c);
  struct Bits {
    const char* suffix;
    Ty type;
  };
  for (Bits t : {Bits{".b16", Ty::b16},
                 {".u16", Ty::u16},
                 {".s16", Ty::s16},
                 {".f16", Ty::f16},
                 {".bf16", Ty::bf16}})
    put(out, std::string("mov") + t.suffix, unary<uint16_t, uint16_t, Copy>, {t.type, t.type}, m);
  for (Bits t : {Bits{".b32", Ty::b32},
                 {".u32", Ty::u32},
                 {".s32", Ty::s32},
                 {".f32", Ty::f32},
                 {".f16x2", Ty::f16x2},
                 {".bf16x2", Ty::bf16x2}})
    put(out, std::string("mov") + t.suffix, unary<uint32_t, uint32_t, Copy>, {t.type, t.type}, m);
  for (Bits t : {Bits{".b64", Ty::b64}, {".u64", Ty::u64}, {".s64", Ty::s64}, {".f64", Ty::f64}})
    put(out, std::string("mov") + t.suffix, unary<uint64_t, uint64_t, Copy>, {t.type, t.type}, m);
  put(out, "mov.b128", unary<Wide128, Wide128, Copy>, {Ty::b128, Ty::b128}, m);
  put(out, "%pack.32.16", pack<uint32_t, uint16_t>, {b}, m);
  put(out, "%pack.64.16", pack<uint64_t, uint16_t>, {Ty::b64}, m);
  put(out, "%pack.64.32", pack<uint64_t, uint32_t>, {Ty::b64}, m);
  put(out, "%pack.128.64", pack<Wide128, uint64_t>, {Ty::b128}, m);
  put(out, "%pack.128.32", pack<Wide128, uint32_t>, {Ty::b128}, m);
  put(out, "%unpack.32.16", unpack<uint32_t, uint16_t>, {b}, m);
  put(out, "%unpack.64.16", unpack<uint64_t, uint16_t>, {Ty::b64}, m);
  put(out, "%unpack.64.32", unpack<uint64_t, uint32_t>, {Ty::b64}, m);
  put(out, "%unpack.128.64", unpack<Wide128, uint64_t>, {Ty::b128}, m);
  put(out, "%unpack.128.32", unpack<Wide128, uint32_t>, {Ty::b128}, m);
}

void put_conversions(Forms& out) {
  put_convert_to<Int<uint8_t, uint16_t>>(out, ".u8", Ty::u8);
  put_convert_to<Int<int8_t, int16_t>>(out, ".s8", Ty::s8);
  put_convert_to<Int<uint16_t, uint16_t>>(out, ".u16", Ty::u16);
  put_convert_to<Int<int16_t, int16_t>>(out, ".s16", Ty::s16);
  put_convert_to<Int<uint32_t, uint32_t>>(out, ".u32", Ty::u32);
  put_convert_to<Int<int32_t, int32_t>>(out, ".s32", Ty::s32);
  put_convert_to<Int<uint64_t, uint64_t>>(out, ".u64", Ty::u64);
  put_convert_to<Int<int64_t, int64_t>>(out, ".s64", Ty::s64);
  put_convert_to<Half<F16>>(out, ".f16", Ty::f16);
  put_convert_to<Half<BF16>>(out, ".bf16", Ty::bf16);
  put_convert_to<Single>(out, ".f32", Ty::f32);
  put_convert_to<Double>(out, ".f64", Ty::f64);
  put_pack(out);
  put_fast(out);
}

}  // namespace
}  // namespace ptx
