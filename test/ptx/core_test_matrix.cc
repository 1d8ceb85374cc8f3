// Matrix instructions against the manual's layout tables, element by element: a one-hot element of
// A, B or C must reach exactly the elements of D that the tables say.
#include <limits>

#include "core_test.h"

using namespace test;

namespace {

// The tables of "Matrix Fragments for mma": row and column of element i in lane l. group = l / 4, t
// = l % 4.
struct Place {
  int row, column;
};
Place place_a(int bytes, int m, int, int l, int i) {
  const int g = l / 4, t = l % 4;
  if (bytes == 2)
    return {(i % 4) < 2 ? g : g + 8,
            t * 2 + (i & 1) + (i < 4 ? 0 : 8)};  // m16n8k16: rows by (i<2 || 4<=i<6)
  if (bytes == 4 || bytes == 8)
    return {m == 8 ? g : i % 2 ? g + 8 : g, t + 4 * (m == 8 ? i : i / 2)};  // tf32, f64
  return {m == 8        ? g
          : (i / 4) % 2 ? g + 8
                        : g,
          t * 4 + (i & 3) +
              (m == 8  ? 0
               : i < 8 ? 0
                       : 16)};  // s8: rows by (i<4 || 8<=i<12)
}
Place place_b(int bytes, int l, int i) {
  const int g = l / 4, t = l % 4;
  if (bytes == 2) return {t * 2 + (i & 1) + (i < 2 ? 0 : 8), g};
  if (bytes >= 4) return {t + 4 * i, g};
  return {t * 4 + (i & 3) + (i < 4 ? 0 : 16), g};
}
Place place_c(int l, int i) { return {l / 4 + (i < 2 ? 0 : 8), l % 4 * 2 + (i & 1)}; }

struct Shape {
  const char* types;
  int m, k, a_bytes;
  uint64_t one;
  bool c_half;
};

std::string registers(const char* prefix, int count) {
  std::string out;
  for (int k = 0; k < count; ++k) out += std::string(k ? ", " : "") + prefix + std::to_string(k);
  return count > 1 ? "{" + out + "}" : "{" + out + "}";
}

// Lane data: all A registers, then B, then C, 32-bit words in lane order. per: words a register.
std::vector<uint32_t> run_words(const char* types, int m, int k, std::array<int, 3> counts,
                                const std::vector<uint32_t>& in, int per = 1) {
  const auto [a, b, c] = counts;
  const int words = (a + b + c) * per;
  const std::string type = per == 2 ? "b64" : "b32";
  std::string body = ".reg .b64 %i, %o, %q; .reg .b32 %t; .reg ." + type +
                     " %a<16>, %b<16>, %c<16>, %d<16>; ld.param.u64 %i, [p0]; ld.param.u64 %o, "
                     "[p1]; mov.u32 %t, %tid.x;"
                     "mul.wide.u32 %q, %t, " +
                     std::to_string(words * 4) + "; add.u64 %i, %i, %q; mul.wide.u32 %q, %t, " +
                     std::to_string(c * per * 4) + "; add.u64 %o, %o, %q;";
  int at = 0;
  auto loads = [&](const char* name, int count) {
    for (int n = 0; n < count; ++n, at += 4 * per)
      body += "ld.global." + type + " " + name + std::to_string(n) + ", [%i+" + std::to_string(at) +
              "];";
  };
  loads("%a", a), loads("%b", b), loads("%c", c);
  body += "mma.sync.aligned.m" + std::to_string(m) + "n8k" + std::to_string(k) + ".row.col." +
          types + " " + registers("%d", c) + ", " + registers("%a", a) + ", " +
          registers("%b", b) + ", " + registers("%c", c) + ";";
  for (int n = 0; n < c; ++n)
    body += "st.global." + type + " [%o+" + std::to_string(n * 4 * per) + "], %d" +
            std::to_string(n) + ";";
  Buffer source(in), out(size_t(c * per) * 128);
  auto r = run(kernel_text(body), shape(1, 32), source.address, out.address);
  if (!r.ok()) report(false, types, r.fault.message);
  return out.get<uint32_t>();
}

std::vector<uint32_t> run_mma(const Shape& s, const std::vector<uint32_t>& in) {
  const int per = s.a_bytes == 8 ? 2 : 1;
  const int a = s.m * s.k * s.a_bytes / 32 / 4 / per,
            b = std::max(1, 8 * s.k * s.a_bytes / 32 / 4 / per), c = s.c_half ? 2 : s.m * 8 / 32;
  return run_words(s.types, s.m, s.k, {a, b, c}, in, per);
}

struct Matrices {
  const Shape& s;
  int a, b, c, per;
  std::vector<uint32_t> words;
  explicit Matrices(const Shape& shape) : s(shape) {
    per = s.a_bytes == 8 ? 2 : 1;
    a = s.m * s.k * s.a_bytes / 128, b = std::max(per, 8 * s.k * s.a_bytes / 128),
    c = s.c_half ? 2 : s.m * 8 / 32 * per;
    words.assign(size_t(a + b + c) * 32, 0);
  }
  void put(int lane, int base, int element, int bytes, uint64_t bits) {
    memcpy(reinterpret_cast<uint8_t*>(&words[size_t(lane * (a + b + c) + base)]) + element * bytes,
           &bits, size_t(bytes));
  }
};

double element(const std::vector<uint32_t>& d, const Shape& s, int lane, int i) {
  const int c = s.c_half ? 2 : s.m * 8 / 32;
  if (s.a_bytes == 8) {
    double v;
    memcpy(&v, &d[size_t(lane * c + i) * 2], 8);
    return v;
  }
  if (s.c_half) {
    const uint16_t h = uint16_t(d[size_t(lane * 2 + i / 2)] >> (16 * (i & 1)));
    return h == 0 ? 0 : h == 0x3c00 ? 1 : h == 0x4000 ? 2 : -1;
  }
  const uint32_t u = d[size_t(lane * c + i)];
  return s.types[0] == 's' ? double(int32_t(u)) : double(as_f32(u));
}

}  // namespace

PTX_TEST(mma_layouts) {
  const Shape shapes[] = {{"f32.bf16.bf16.f32", 16, 16, 2, 0x3f80, false},
                          {"f32.bf16.bf16.f32", 16, 8, 2, 0x3f80, false},
                          {"f32.f16.f16.f32", 16, 16, 2, 0x3c00, false},
                          {"f32.f16.f16.f32", 16, 8, 2, 0x3c00, false},
                          {"f16.f16.f16.f16", 16, 16, 2, 0x3c00, true},
                          {"f16.f16.f16.f16", 16, 8, 2, 0x3c00, true},
                          {"f32.tf32.tf32.f32", 16, 8, 4, 0x3f800000, false},
                          {"f32.tf32.tf32.f32", 16, 4, 4, 0x3f800000, false},
                          {"s32.s8.s8.s32", 16, 32, 1, 1, false},
                          {"s32.u8.s8.s32", 16, 16, 1, 1, false},
                          {"s32.s8.u8.s32", 8, 16, 1, 1, false},
                          {"f32.e4m3.e4m3.f32", 16, 32, 1, 0x38, false},
                          {"f32.e5m2.e5m2.f32", 16, 32, 1, 0x3c, false},
                          {"f32.e4m3.e4m3.f32", 16, 16, 1, 0x38, false},
                          {"f16.e5m2.e5m2.f16", 16, 32, 1, 0x3c, true},
                          {"f16.e4m3.e4m3.f16", 16, 16, 1, 0x38, true},
                          {"f64.f64.f64.f64", 8, 4, 8, 0x3ff0000000000000, false},
                          {"f64.f64.f64.f64", 16, 16, 8, 0x3ff0000000000000, false}};
  for (auto& s : shapes) {
    const int a_elements = s.m * s.k / 32, b_elements = std::max(1, 8 * s.k / 32),
              c_elements = s.m * 8 / 32;
    bool ok = true;
    // B all ones: a one at A(r, k) fills row r of D. A all ones: a one at B(k, n) fills column n. C
    // passes through.
    for (int which = 0; which < 3 && ok; ++which) {
      const int elements = which == 0 ? a_elements : which == 1 ? b_elements : c_elements;
      for (int hot = 0; hot < 32 * elements && ok; ++hot) {
        const int l = hot % 32, i = hot / 32;
        Matrices x(s);
        const int c_bytes = s.c_half ? 2 : s.a_bytes == 8 ? 8 : 4;
        const uint64_t c_one = s.c_half         ? 0x3c00
                               : s.a_bytes == 8 ? 0x3ff0000000000000
                               : s.types[0] == 's' ? 1
                                                : 0x3f800000;
        if (which == 0) {
          x.put(l, 0, i, s.a_bytes, s.one);
          for (int n = 0; n < 32; ++n)
            for (int e = 0; e < b_elements; ++e) x.put(n, x.a, e, s.a_bytes, s.one);
        } else if (which == 1) {
          x.put(l, x.a, i, s.a_bytes, s.one);
          for (int n = 0; n < 32; ++n)
            for (int e = 0; e < a_elements; ++e) x.put(n, 0, e, s.a_bytes, s.one);
        } else {
          x.put(l, x.a + x.b, i, c_bytes, c_one);
        }
        const auto d = run_mma(s, x.words);
        const Place from = which == 0   ? place_a(s.a_bytes, s.m, s.k, l, i)
                           : which == 1 ? place_b(s.a_bytes, l, i)
                                        : place_c(l, i);
        for (int n = 0; n < 32; ++n) {
          for (int e = 0; e < c_elements; ++e) {
            const Place to = place_c(n, e);
            const bool lit = which == 0   ? to.row == from.row
                             : which == 1 ? to.column == from.column
                                          : n == l && e == i;
            ok &= element(d, s, n, e) == (lit ? 1 : 0);
          }
        }
      }
    }
    // A(r, k) = 1 meets only B(k, n): the k indices of both tables agree.
    for (int k = 0; k < s.k && ok; ++k) {
      Matrices x(s);
      for (int l = 0; l < 32; ++l) {
        for (int i = 0; i < a_elements; ++i)
          if (place_a(s.a_bytes, s.m, s.k, l, i).column == k) x.put(l, 0, i, s.a_bytes, s.one);
        for (int i = 0; i < b_elements; ++i)
          if (place_b(s.a_bytes, l, i).row == k) x.put(l, x.a, i, s.a_bytes, s.one);
      }
      const auto d = run_mma(s, x.words);
      for (int l = 0; l < 32; ++l)
        for (int e = 0; e < c_elements; ++e) ok &= element(d, s, l, e) == 1;
    }
    report(ok,
           std::string("mma m") + std::to_string(s.m) + "n8k" + std::to_string(s.k) + " " + s.types,
           "the layout differs from the manual's table");
  }
}

// Elements of fp8: sign, exponent and mantissa by the manual's "Alternate floating-point data
// formats", e4m3 with bias 7 and NaN at 0x7f, e5m2 with bias 15 and infinity at 0x7c. Row r of A
// holds a code in column 0 (lane 4g, elements 0 and 4), B ones.
PTX_TEST(mma_fp8_values) {
  auto value = [](int code, int mantissa, int bias) {
    const int e = (code & 127) >> mantissa, m = code & ((1 << mantissa) - 1);
    const double v = e ? std::ldexp(1 + std::ldexp(m, -mantissa), e - bias)
                       : std::ldexp(m, 1 - bias - mantissa);
    return code & 128 ? -v : v;
  };
  for (bool wide : {false, true}) {  // e5m2 times e4m3 ones, and the other way round
    const Shape s = {wide ? "f32.e5m2.e4m3.f32" : "f32.e4m3.e5m2.f32", 16, 16, 1, 0, false};
    int wrong = 0;
    for (int first = 0; first < 256; first += 16) {
      Matrices x(s);
      for (int r = 0; r < 16; ++r) x.put(r % 8 * 4, 0, r / 8 * 4, 1, uint64_t(first + r));
      for (int l = 0; l < 32; ++l)
        for (int e = 0; e < 4; ++e) x.put(l, x.a, e, 1, wide ? 0x38 : 0x3c);
      const auto d = run_mma(s, x.words);
      for (int r = 0; r < 16; ++r) {
        const int code = first + r;
        const double got = element(d, s, r % 8 * 4, r / 8 * 2),
                     infinity = std::numeric_limits<double>::infinity();
        if (wide ? (code & 127) > 124 : (code & 127) == 127)
          wrong += got == got;
        else if (wide && (code & 127) == 124)
          wrong += got != (code & 128 ? -infinity : infinity);
        else
          wrong += got != (wide ? value(code, 2, 15) : value(code, 3, 7));
      }
    }
    report(!wrong, s.types, std::to_string(wrong) + " of 256 codes");
  }
}

// 4-bit integers. Layout: A(row, column) of element i in lane 4g + t is row g, or g + 8 for i in
// 8..15 and 24..31, column 8t + i % 8, plus 32 for i >= 16; B(row, column) is row 8t + i % 8, plus
// 32 for i >= 8, column g; m8n8k32 has rows below 8 alone.
PTX_TEST(mma_int4) {
  Random random;
  for (const char* types : {"s32.s4.s4.s32", "s32.u4.s4.s32", "s32.s4.u4.s32", "s32.u4.u4.s32"}) {
    const bool a_signed = types[4] == 's', b_signed = types[7] == 's';
    for (auto [m, k] : {std::pair<int, int>{8, 32}, {16, 32}, {16, 64}}) {
      const int a = m * k / 256, b = k / 32, c = m / 4, words = a + b + c;
      std::vector<uint32_t> in(size_t(words) * 32);
      for (auto& word : in) word = uint32_t(random.next());
      auto nibble = [&](int lane, int base, int i, bool sign) {
        const int v = int(in[size_t(lane * words + base + i / 8)] >> (i % 8 * 4)) & 15;
        return sign && v > 7 ? v - 16 : v;
      };
      std::vector<int> left(size_t(m * k)), right(size_t(k) * 8);
      for (int l = 0; l < 32; ++l) {
        const int g = l / 4, t = l % 4;
        for (int i = 0; i < 8 * a; ++i) {
          const int row = m == 8 || i / 8 % 2 == 0 ? g : g + 8;
          left[size_t(row * k + 8 * t + i % 8 + (i >= 16 ? 32 : 0))] = nibble(l, 0, i, a_signed);
        }
        for (int i = 0; i < 8 * b; ++i)
          right[size_t((8 * t + i % 8 + (i >= 8 ? 32 : 0)) * 8 + g)] = nibble(l, a, i, b_signed);
      }
      const auto d = run_words(types, m, k, {a, b, c}, in);
      int wrong = 0;
      for (int l = 0; l < 32; ++l)
        for (int e = 0; e < c; ++e) {
          const Place at = place_c(l, e);
          uint32_t sum = in[size_t(l * words + a + b + e)];
          for (int x = 0; x < k; ++x)
            sum += uint32_t(left[size_t(at.row * k + x)] * right[size_t(x * 8 + at.column)]);
          wrong += d[size_t(l * c + e)] != sum;
        }
      report(!wrong, "mma m" + std::to_string(m) + "k" + std::to_string(k) + " " + types,
             std::to_string(wrong) + " wrong");
    }
  }
}

// ldmatrix: lane l of register j gets row j*8 + l/4, elements 2(l%4) and the next; transposed:
// column l/4.
PTX_TEST(matrix_moves) {
  std::vector<uint16_t> from(32 * 8);
  for (size_t k = 0; k < from.size(); ++k) from[k] = uint16_t(k * 5 + 1);
  for (int count : {1, 2, 4}) {
    for (bool transposed : {false, true}) {
      Buffer in(from), out(4 * 32 * 4), back(512);
      const std::string x = ".x" + std::to_string(count), list = registers("%v", count),
                        trans = transposed ? ".trans" : "";
      std::string body =
          R"(.shared .align 16 .b8 s[1024]; .reg .b64 %i, %o, %q, %e; .reg .b32 %t, %d, %v<4>,
      %w<4>; ld.param.u64 %i, [p0]; ld.param.u64 %o, [p1]; ld.param.u64 %e, [p2];
        mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 16; add.u64 %i, %i, %q; add.u64 %o, %o, %q;
      mov.u32 %d, s; mad.lo.u32 %d, %t, 16, %d;
        ld.global.v4.u32 {%w0, %w1, %w2, %w3}, [%i]; st.shared.v4.u32 [%d], {%w0, %w1, %w2, %w3};
      mov.u32 %v0, 0; mov.u32 %v1, 0; mov.u32 %v2, 0; mov.u32 %v3, 0; bar.sync 0;
        ldmatrix.sync.aligned.m8n8)" +
          x + trans + ".shared.b16 " + list +
          ", [%d]; st.global.v4.u32 [%o], {%v0, %v1, %v2, %v3}; bar.sync 0;" +
          "stmatrix.sync.aligned.m8n8" + x + trans + ".shared.b16 [%d+512], " + list +
          "; bar.sync 0; add.u64 %e, %e, %q; mov.u32 %w0, " + std::to_string(8 * count) + R"(;
        { .reg .pred p; setp.ge.u32 p, %t, %w0; @p bra E; ld.shared.v4.u32 {%w0, %w1, %w2, %w3},
      [%d+512]; st.global.v4.u32 [%e], {%w0, %w1, %w2, %w3}; E: })";
      auto r = run(kernel_text(body), shape(1, 32), in.address, out.address, back.address);
      auto got = out.get<uint16_t>();
      bool ok = r.ok();
      for (int j = 0; j < count; ++j)
        for (int l = 0; l < 32; ++l)
          for (int h = 0; h < 2; ++h) {
            const int row = l / 4, column = l % 4 * 2 + h;
            ok &=
                got[size_t((l * 4 + j) * 2 + h)] ==
                from[size_t(transposed ? (j * 8 + column) * 8 + row : (j * 8 + row) * 8 + column)];
          }
      auto again = back.get<uint16_t>();
      for (int k = 0; k < 64 * count; ++k)
        ok &= again[size_t(k)] == from[size_t(k)];  // stmatrix undoes ldmatrix
      report(ok, "ldmatrix stmatrix" + x + trans, r.fault.message);
    }
  }
  Buffer in(from), out(128);
  auto r = run(
      kernel_text(
          R"(.reg .b64 %i, %o, %q; .reg .b32 %t, %v; ld.param.u64 %i, [p0]; ld.param.u64 %o, [p1];
      mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 4; add.u64 %i, %i, %q; add.u64 %o, %o, %q;
    ld.global.u32 %v, [%i]; movmatrix.sync.aligned.m8n8.trans.b16 %v, %v; st.global.u32 [%o],
      %v;)"),
      shape(1, 32), in.address, out.address);
  auto got = out.get<uint16_t>();
  bool ok = r.ok();
  for (int a = 0; a < 8; ++a)
    for (int b = 0; b < 8; ++b) ok &= got[size_t(a * 8 + b)] == from[size_t(b * 8 + a)];
  report(ok, "movmatrix", r.fault.message);
}

// wmma: D = A B + C for all layouts, through memory, since the fragments themselves are opaque.
PTX_TEST(wmma_products) {
  struct Kind {
    const char* shape;
    int m, n, k;
    const char* type;
    int bytes;
    const char* ab;
    int a, b;
  };
  const Kind kinds[] = {{"m16n16k16", 16, 16, 16, "f16", 2, "", 8, 8},
                        {"m16n16k16", 16, 16, 16, "bf16", 2, ".bf16.bf16", 4, 4},
                        {"m8n32k16", 8, 32, 16, "f16", 2, "", 8, 8},
                        {"m32n8k16", 32, 8, 16, "bf16", 2, ".bf16.bf16", 8, 2},
                        {"m16n16k8", 16, 16, 8, "tf32", 4, ".tf32.tf32", 4, 4}};
  for (auto& kind : kinds) {
    for (int layout = 0; layout < 8; ++layout) {
      const bool a_col = layout & 1, b_col = layout & 2, c_col = layout & 4;
      std::vector<uint8_t> a(size_t(kind.m * kind.k * kind.bytes)),
          b(size_t(kind.k * kind.n * kind.bytes));
      std::vector<float> c(256), want(256);
      auto put = [&](std::vector<uint8_t>& to, int at, int v) {
        uint32_t bits = uint32_t(f32(float(v)));
        if (kind.type[0] == 'b') bits >>= 16;
        if (kind.type[0] == 'f')
          bits = v == 0 ? 0
                        : uint32_t(((bits >> 31) << 15) | ((((bits >> 23) & 255) - 112) << 10) |
                                   ((bits >> 13) & 1023));
        memcpy(&to[size_t(at * kind.bytes)], &bits, size_t(kind.bytes));
      };
      auto value_a = [](int r, int k) { return (r * 3 + k * 5) % 7 - 3; };
      auto value_b = [](int k, int n) { return (k * 2 + n * 3) % 5 - 2; };
      for (int r = 0; r < kind.m; ++r)
        for (int k = 0; k < kind.k; ++k)
          put(a, a_col ? k * kind.m + r : r * kind.k + k, value_a(r, k));
      for (int k = 0; k < kind.k; ++k)
        for (int n = 0; n < kind.n; ++n)
          put(b, b_col ? n * kind.k + k : k * kind.n + n, value_b(k, n));
      for (int r = 0; r < kind.m; ++r)
        for (int n = 0; n < kind.n; ++n) {
          const int at = c_col ? n * kind.m + r : r * kind.n + n;
          c[size_t(at)] = float(r - n);
          float sum = c[size_t(at)];
          for (int k = 0; k < kind.k; ++k) sum += float(value_a(r, k) * value_b(k, n));
          want[size_t(at)] = sum;
        }
      auto name = [](bool col) { return col ? std::string("col") : std::string("row"); };
      const std::string sh = kind.shape, t = kind.type;
      const std::string ab = kind.ab;
      std::string body =
          ".reg .b64 %a, %b, %c; .reg .b32 %x<8>, %y<8>, %z<8>; ld.param.u64 %a, [p0]; "
          "ld.param.u64 %b, "
          "[p1]; ld.param.u64 %c, [p2];"
          "wmma.load.a.sync.aligned." +
          name(a_col) + "." + sh + ".global." + t + " " + registers("%x", kind.a) + ", [%a], " +
          std::to_string(a_col ? kind.m : kind.k) +
          ";"
          "wmma.load.b.sync.aligned." +
          name(b_col) + "." + sh + "." + t + " " + registers("%y", kind.b) + ", [%b], " +
          std::to_string(b_col ? kind.k : kind.n) +
          ";"
          "wmma.load.c.sync.aligned." +
          name(c_col) + "." + sh + ".global.f32 " + registers("%z", 8) +
          ", [%c];"
          "wmma.mma.sync.aligned." +
          name(a_col) + "." + name(b_col) + "." + sh + ".f32" + ab + ".f32 " + registers("%z", 8) +
          ", " + registers("%x", kind.a) + ", " + registers("%y", kind.b) + ", " +
          registers("%z", 8) + "; wmma.store.d.sync.aligned." + name(c_col) + "." + sh +
          ".global.f32 [%c], " + registers("%z", 8) + ";";
      Buffer da(a), db(b), dc(c);
      auto r = run(kernel_text(body), shape(1, 32), da.address, db.address, dc.address);
      report(r.ok() && dc.get<float>() == want,
             "wmma " + sh + " " + t + " " + std::to_string(layout),
             r.ok() ? "wrong product" : r.fault.message);
    }
  }
}
