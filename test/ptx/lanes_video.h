// SIMD video instructions on the four bytes or two halves of a register: vadd, vsub, vavrg,
// vabsdiff, vmin, vmax, vset. The whole register takes part: byte masks and selectors are refused.
#pragma once

namespace ptx {
namespace {

enum VideoOp { video_add, video_sub, video_avrg, video_absdiff, video_min, video_max, video_ops };
constexpr const char* video_names[] = {"vadd", "vsub", "vavrg", "vabsdiff", "vmin", "vmax"};

// Elements widen by their own sign, the result is cut, or clamped to the destination's range by
// .sat. With .add the elements' sum is added to c; otherwise every element replaces c's.
template <int Count, int Op>
struct Video {
  static constexpr int width = 32 / Count;
  static inline int32_t element(uint32_t v, int k, bool sign) {
    const uint32_t x = v >> (k * width) & ((1u << width) - 1);
    return sign ? int32_t(x << (32 - width)) >> (32 - width) : int32_t(x);
  }
  static inline int32_t apply(int32_t a, int32_t b) {
    switch (Op) {
      case video_add:
        return a + b;
      case video_sub:
        return a - b;
      case video_avrg:
        return (a + b + (a + b >= 0)) >> 1;
      case video_absdiff:
        return a < b ? b - a : a - b;
      case video_min:
        return a < b ? a : b;
      default:
        return a < b ? b : a;
    }
  }
  // imm: 1 signed destination, 2 signed a, 4 signed b, 8 .sat, 16 .add
  static void run(Warp& w, const Inst& i, uint32_t mask) {
    const uint32_t *a = w.reg<uint32_t>(i.a), *b = w.reg<uint32_t>(i.b), *c = w.reg<uint32_t>(i.c);
    uint32_t t[32];
    for (int l = 0; l < 32; ++l) {
      uint32_t packed = 0, sum = c[l];
      for (int k = 0; k < Count; ++k) {
        int32_t r = apply(element(a[l], k, i.imm & 2), element(b[l], k, i.imm & 4));
        if (i.imm & 8) {
          const int32_t low = i.imm & 1 ? -(1 << (width - 1)) : 0;
          const int32_t high = i.imm & 1 ? (1 << (width - 1)) - 1 : (1 << width) - 1;
          r = r < low ? low : r > high ? high : r;
        }
        packed |= (uint32_t(r) & ((1u << width) - 1)) << (k * width);
        sum += uint32_t(r);
      }
      t[l] = i.imm & 16 ? sum : packed;
    }
    blend<32>(w.reg<uint32_t>(i.d), t, mask);
  }
};

// vset: 1 or 0 by comparison; with .add the count of those that hold is added to c.
template <int Count, class Op>
void video_set(Warp& w, const Inst& i, uint32_t mask) {
  using V = Video<Count, video_add>;
  const uint32_t *a = w.reg<uint32_t>(i.a), *b = w.reg<uint32_t>(i.b), *c = w.reg<uint32_t>(i.c);
  uint32_t t[32];
  for (int l = 0; l < 32; ++l) {
    uint32_t packed = 0, sum = c[l];
    for (int k = 0; k < Count; ++k) {
      const uint32_t r = Op::f(V::element(a[l], k, i.imm & 2), V::element(b[l], k, i.imm & 4));
      packed |= r << (k * V::width);
      sum += r;
    }
    t[l] = i.imm & 16 ? sum : packed;
  }
  blend<32>(w.reg<uint32_t>(i.d), t, mask);
}

template <int Count, int Op>
void put_video_op(Forms& out) {
  const Ty u = Ty::u32;
  for (uint32_t bits = 0; bits < 32; ++bits) {
    if ((bits & 24) == 24) continue;
    auto type = [&](uint32_t bit) { return bits & bit ? ".s32" : ".u32"; };
    const std::string name = std::string(video_names[Op]) + std::to_string(Count) + type(1) +
                             type(2) + type(4) +
                             (bits & 8    ? ".sat"
                              : bits & 16 ? ".add"
                                          : "");
    put(out, name, Video<Count, Op>::run, {u, u, u, u}, Class::integer, 0, Shape::plain, bits);
  }
}

template <int Count>
void put_video_set(Forms& out) {
  const Ty u = Ty::u32;
  const std::pair<const char*, Fn> tests[] = {
      {".eq", video_set<Count, CEq>}, {".ne", video_set<Count, CNeu>},
      {".lt", video_set<Count, CLt>}, {".le", video_set<Count, CLe>},
      {".gt", video_set<Count, CGt>}, {".ge", video_set<Count, CGe>}};
  for (auto& test : tests) {
    for (uint32_t bits : {0u, 2u, 4u, 6u, 16u, 18u, 20u, 22u}) {
      const std::string name = "vset" + std::to_string(Count) + (bits & 2 ? ".s32" : ".u32") +
                               (bits & 4 ? ".s32" : ".u32") + test.first +
                               (bits & 16 ? ".add" : "");
      put(out, name, test.second, {u, u, u, u}, Class::integer, 0, Shape::plain, bits);
    }
  }
}

template <int Count>
void put_video_width(Forms& out) {
  put_video_op<Count, video_add>(out);
  put_video_op<Count, video_sub>(out);
  put_video_op<Count, video_avrg>(out);
  put_video_op<Count, video_absdiff>(out);
  put_video_op<Count, video_min>(out);
  put_video_op<Count, video_max>(out);
  put_video_set<Count>(out);
}

void put_video(Forms& out) {
  put_video_width<2>(out);
  put_video_width<4>(out);
}

}  // namespace
}  // namespace ptx
