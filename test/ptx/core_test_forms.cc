// Forms that the other tests leave out: every state space with every width, the rest of the
// register instructions that compilers emit, and the SIMD video instructions.
#include <algorithm>

#include "core_test.h"

using namespace test;

namespace {

struct Width {
  const char* type;
  const char* hold;
  int bytes, count;
};
const Width widths[] = {{"u8", "b16", 1, 1},     {"s8", "b16", 1, 1},     {"b8", "b16", 1, 1},
                        {"u16", "b16", 2, 1},    {"s16", "b16", 2, 1},    {"b16", "b16", 2, 1},
                        {"u32", "b32", 4, 1},    {"s32", "b32", 4, 1},    {"b32", "b32", 4, 1},
                        {"f32", "b32", 4, 1},    {"u64", "b64", 8, 1},    {"s64", "b64", 8, 1},
                        {"b64", "b64", 8, 1},    {"f64", "b64", 8, 1},    {"v2.u8", "b16", 1, 2},
                        {"v4.u8", "b16", 1, 4},  {"v2.u16", "b16", 2, 2}, {"v2.b16", "b16", 2, 2},
                        {"v4.u16", "b16", 2, 4}, {"v4.b16", "b16", 2, 4}, {"v2.u32", "b32", 4, 2},
                        {"v2.s32", "b32", 4, 2}, {"v2.b32", "b32", 4, 2}, {"v2.f32", "b32", 4, 2},
                        {"v4.u32", "b32", 4, 4}, {"v4.s32", "b32", 4, 4}, {"v4.b32", "b32", 4, 4},
                        {"v4.f32", "b32", 4, 4}, {"v2.u64", "b64", 8, 2}, {"v2.s64", "b64", 8, 2},
                        {"v2.b64", "b64", 8, 2}, {"v2.f64", "b64", 8, 2}};

std::string values(const Width& f) {
  std::string list;
  for (int c = 0; c < f.count; ++c) list += (c ? ", %v" : "%v") + std::to_string(c);
  return f.count > 1 ? "{" + list + "}" : list;
}

}  // namespace

// Global memory to the space, the registers cleared, and back again: 32 lanes of their own bytes.
PTX_TEST(forms_of_memory) {
  const struct {
    const char* space;
    const char* address;  // of the lane's place in the space
  } spaces[] = {{"shared", "mov.u64 %s, area; mad.wide.u32 %s, %t, 32, %s;"},
                {"shared::cta", "mov.u64 %s, area; mad.wide.u32 %s, %t, 32, %s;"},
                {"local", "mov.u64 %s, stack; add.u64 %s, %s, 32;"},
                {"global", "ld.param.u64 %s, [p2]; mad.wide.u32 %s, %t, 32, %s;"},
                {"", "mov.u64 %s, area; mad.wide.u32 %s, %t, 32, %s; cvta.shared.u64 %s, %s;"}};
  const char* orders[] = {"", "volatile.", "relaxed.cta.", "relaxed.gpu.", "relaxed.sys."};
  const char* hints[] = {"", "cg.", "cs.", "ca."};
  for (auto& f : widths) {
    const std::string v = values(f), t = f.type;
    const size_t bytes = size_t(f.bytes * f.count);
    for (auto& s : spaces) {
      const std::string space = *s.space ? std::string(s.space) + "." : "";
      for (int k = 0; k < 8; ++k) {
        const std::string order = k < 5 ? orders[k] : "", hint = k < 5 ? "" : hints[k - 4];
        if (space[0] == 'l' && k) continue;
        if (k >= 5 && space != "global.") continue;
        // ca is a load's, wb a store's.
        const std::string load = "ld." + order + space + hint + t;
        const std::string store = "st." + order + space + (hint == "ca." ? "wb." : hint) + t;
        std::vector<uint8_t> from(bytes * 32);
        for (size_t i = 0; i < from.size(); ++i) from[i] = uint8_t(i * 29 + 7);
        std::string clear;
        for (int c = 0; c < f.count; ++c)
          clear += std::string("mov.") + f.hold + " %v" + std::to_string(c) + ", 0; ";
        Buffer in(from), out(from.size()), scratch(1024);
        const std::string size = std::to_string(bytes);
        const std::string body =
            std::string(".shared .align 32 .b8 area[1024]; .local .align 32 .b8 stack[96];") +
            ".reg .b64 %in, %out, %s; .reg .b32 %t; .reg ." + f.hold + " %v<4>;" +
            "ld.param.u64 %in, [p0]; ld.param.u64 %out, [p1]; mov.u32 %t, %tid.x;" +
            "mad.wide.u32 %in, %t, " + size + ", %in; mad.wide.u32 %out, %t, " + size + ", %out; " +
            s.address + " ld.global." + t + " " + v + ", [%in]; " + store + " [%s], " + v + "; " +
            clear + load + " " + v + ", [%s]; st.global." + t + " [%out], " + v + ";";
        auto r = run(kernel_text(body), shape(1, 32), in.address, out.address, scratch.address);
        const bool ok = r.ok() && out.get<uint8_t>() == from;
        report(ok, load, r.ok() ? "wrong bytes" : r.fault.message);
        if (!ok) return;
      }
    }
  }
}

// Parameters of every width, by name, with offsets, and through an address.
PTX_TEST(forms_of_parameters) {
  const std::string head = ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(";
  for (auto& f : widths) {
    const size_t bytes = size_t(f.bytes * f.count);
    const std::string v = values(f), t = f.type;
    const std::string text =
        head + ".param .u64 out, .param .align 16 .b8 p[64]) { .reg .b64 %out, %a; .reg ." +
        f.hold + " %v<4>; ld.param.u64 %out, [out]; ld.param." + t + " " + v +
        ", [p+32]; st.global." + t + " [%out], " + v + "; mov.b64 %a, p; ld.param." + t + " " + v +
        ", [%a+16]; st.global." + t + " [%out+32], " + v + "; ret; }";
    Loaded l = load(text);
    if (!l.module) {
      report(false, "ld.param." + t, l.error.message);
      continue;
    }
    Buffer out(64);
    std::vector<uint8_t> block(64);
    for (size_t i = 0; i < block.size(); ++i) block[i] = uint8_t(200 - i);
    uint64_t address = out.address;
    void* arguments[] = {&address, block.data()};
    auto r = ptx::launch(*l.module->kernel("k"), shape(1, 1), memory(), device(), arguments);
    auto got = out.get<uint8_t>();
    report(r.ok() && !memcmp(&got[0], &block[32], bytes) && !memcmp(&got[32], &block[16], bytes),
           "ld.param." + t, r.fault.message);
  }
}

PTX_TEST(forms_of_logic_and_moves) {
  const auto w = integers(4, 300), h = integers(2, 300), q = integers(8, 300);
  auto two = [](uint64_t a, uint64_t b, char op) {
    return op == 'a' ? a & b : op == 'o' ? a | b : a ^ b;
  };
  for (const char* op : {"and", "or", "xor"}) {
    const char key = op[0];
    auto f = [=](uint64_t a, uint64_t b, uint64_t) { return two(a, b, key); };
    expect(op, std::string(op) + ".b16 %hd, %ha, %hb;", 16, h, f);
    expect(op, std::string(op) + ".b32 %d, %a, %b;", 32, w, f);
    expect(op, std::string(op) + ".b64 %qd, %qa, %qb;", 64, q, f);
  }
  expect("not.b16", "not.b16 %hd, %ha;", 16, h, [](uint64_t a, uint64_t, uint64_t) { return ~a; });
  expect("not.b64", "not.b64 %qd, %qa;", 64, q, [](uint64_t a, uint64_t, uint64_t) { return ~a; });
  expect("neg.s32", "neg.s32 %d, %a;", 32, w, [](uint64_t a, uint64_t, uint64_t) { return 0 - a; });
  expect("neg.s16", "neg.s16 %hd, %ha;", 16, h,
         [](uint64_t a, uint64_t, uint64_t) { return 0 - a; });
  expect("brev.b64", "brev.b64 %qd, %qa; brev.b64 %qd, %qd;", 64, q,
         [](uint64_t a, uint64_t, uint64_t) { return a; });
  expect("bfi.b64", "bfi.b64 %qd, %qa, %qb, 20, 32;", 64, q, [](uint64_t a, uint64_t b, uint64_t) {
    const uint64_t mask = uint64_t(0xffffffff) << 20;
    return (b & ~mask) | ((a << 20) & mask);
  });
  for (const char* t : {"u", "s"})
    expect("bfind.shiftamt", std::string("bfind.shiftamt.") + t + "32 %d, %a;", 32, w,
           [t](uint64_t a, uint64_t, uint64_t) {
             const uint32_t v = *t == 's' && a >> 31 ? ~uint32_t(a) : uint32_t(a);
             return v ? uint64_t(__builtin_clz(v)) : ~uint64_t(0);
           });
  // fns: the c-th set bit from bit b on, counted by hand.
  expect("fns.b32", "{ .reg .b32 x; and.b32 x, %b, 31; fns.b32 %d, %a, x, 2; }", 32, w,
         [](uint64_t a, uint64_t b, uint64_t) {
           int left = 2;
           for (int k = int(b & 31); k < 32; ++k)
             if ((a >> k) & 1 && --left == 0) return uint64_t(k);
           return ~uint64_t(0);
         });
  const struct {
    const char* type;
    const char* reg;
    int width;
  } moves[] = {{"b16", "%h", 16}, {"u16", "%h", 16}, {"s16", "%h", 16}, {"b32", "%", 32},
               {"u32", "%", 32},  {"s32", "%", 32},  {"f32", "%", 32},  {"b64", "%q", 64},
               {"u64", "%q", 64}, {"s64", "%q", 64}, {"f64", "%q", 64}};
  for (auto& m : moves) {
    const std::string r = m.reg, t = m.type;
    expect("mov." + t, "mov." + t + " " + r + "d, " + r + "a;", m.width, q,
           [](uint64_t a, uint64_t, uint64_t) { return a; });
    expect("selp." + t, "selp." + t + " " + r + "d, " + r + "a, " + r + "b, !%pa;", m.width, q,
           [](uint64_t a, uint64_t b, uint64_t) { return a & 1 ? b : a; });
    if (t[0] != 'b') continue;
    expect(
        "setp.eq." + t, "setp.eq." + t + " %pd, " + r + "a, " + r + "b;", 1, q,
        [&](uint64_t a, uint64_t b, uint64_t) { return uint64_t(!((a ^ b) << (64 - m.width))); });
    expect("setp.ne." + t, "setp.ne." + t + " %pd, " + r + "a, " + r + "b;", 1, q,
           [&](uint64_t a, uint64_t b, uint64_t) {
             return uint64_t(((a ^ b) << (64 - m.width)) != 0);
           });
  }
  expect("mov.pred", "mov.pred %pd, %pa;", 1, w,
         [](uint64_t a, uint64_t, uint64_t) { return a & 1; });
  expect("mov.b128",
         "{ .reg .b128 x, y; mov.b128 x, {%qa, %qb}; mov.b128 y, x; mov.b128 {_, %qd}, y; }", 64, q,
         [](uint64_t, uint64_t b, uint64_t) { return b; });
}

PTX_TEST(forms_of_floats) {
  const auto f = floats(500), d = doubles(300), w = integers(4, 300), h = integers(2, 300);
  auto flush = [](float v) {
    return std::fpclassify(v) == FP_SUBNORMAL ? std::copysign(0.f, v) : v;
  };
  expect("neg.f32", "neg.f32 %d, %a;", 32, f,
         [](uint64_t a, uint64_t, uint64_t) { return a ^ 0x80000000; });
  expect("abs.ftz.f32", "abs.ftz.f32 %d, %a;", 32, f,
         [&](uint64_t a, uint64_t, uint64_t) { return f32(std::fabs(flush(as_f32(a)))); });
  const struct {
    const char* op;
    double (*f)(double, double);
  } plain[] = {{"add.f64", [](double a, double b) { return a + b; }},
               {"sub.f64", [](double a, double b) { return a - b; }},
               {"mul.f64", [](double a, double b) { return a * b; }}};
  for (auto& p : plain)
    expect(p.op,
           std::string("{ .reg .pred x; ") + p.op +
               " %qd, %qa, %qb; setp.nan.f64 x, %qd, %qd; @x mov.b64 %qd, 1; }",
           64, d, [&](uint64_t a, uint64_t b, uint64_t) {
             const double r = p.f(as_f64(a), as_f64(b));
             return r != r ? uint64_t(1) : f64(r);
           });
  expect("neg.f64", "neg.f64 %qd, %qa;", 64, d,
         [](uint64_t a, uint64_t, uint64_t) { return a ^ uint64_t(1) << 63; });
  expect("abs.f64", "abs.f64 %qd, %qa;", 64, d,
         [](uint64_t a, uint64_t, uint64_t) { return a & ~(uint64_t(1) << 63); });
  // With .ftz a subnormal operand is zero before anything else happens.
  auto approximate = [&](const std::string& op, double (*g)(double), double ulps, double absolute) {
    expect_near(op, op + " %d, %a;", f, ulps, absolute, [&](float a, float) {
      const double r = g(double(flush(a)));
      return std::fabs(r) < 1.18e-38 ? 0.0 : r;
    });
  };
  approximate(
      "rcp.approx.ftz.f32", [](double a) { return 1 / a; }, 1, 1.2e-38);
  approximate(
      "rsqrt.approx.ftz.f32", [](double a) { return 1 / std::sqrt(a); }, 1.1, 0);
  approximate(
      "sqrt.approx.ftz.f32", [](double a) { return std::sqrt(a); }, 1.1, 0);
  approximate(
      "lg2.approx.ftz.f32", [](double a) { return a < 0 ? NAN : std::log2(a); }, 1, 2.4e-7);
  expect_near("sin.approx.ftz.f32", "sin.approx.ftz.f32 %d, %a;",
              {{f32(1), 0, 0}, {f32(-2), 0, 0}, {1, 0, 0}}, 0, 5e-7,
              [](float a, float) { return std::sin(double(a)); });
  expect_near("div.approx.ftz.f32", "div.approx.ftz.f32 %d, %a, %b;",
              {{f32(1), f32(3), 0}, {f32(-2), f32(0.1f), 0}, {f32(1), f32(-0.f), 0}}, 2, 0,
              [](float a, float b) { return double(a) / double(b); });
  expect("cvt.rn.f32.s16", "cvt.rn.f32.s16 %d, %ha;", 32, h,
         [](uint64_t a, uint64_t, uint64_t) { return f32(int16_t(a)); });
  expect("cvt.rn.f32.u16", "cvt.rn.f32.u16 %d, %ha;", 32, h,
         [](uint64_t a, uint64_t, uint64_t) { return f32(uint16_t(a)); });
  expect("cvt.rn.f32.u8", "cvt.rn.f32.u8 %d, %ha;", 32, h,
         [](uint64_t a, uint64_t, uint64_t) { return f32(uint8_t(a)); });
  expect("cvt.rn.f64.s64", "cvt.rn.f64.s64 %qd, %qa;", 64, integers(8, 300),
         [](uint64_t a, uint64_t, uint64_t) { return f64(double(int64_t(a))); });
  expect("cvt.rzi.ftz.s32.f32", "cvt.rzi.ftz.s32.f32 %d, %a;", 32, f,
         [](uint64_t a, uint64_t, uint64_t) -> uint64_t {
           const double v = as_f32(a);
           return v != v ? 0
                         : uint64_t(int64_t(
                               std::min(2147483647.0, std::max(-2147483648.0, std::trunc(v)))));
         });
  expect("cvt.rzi.s32.f16", "cvt.rzi.s32.f16 %d, %ha;", 32,
         {{0x4900, 0, 0}, {0xc500, 0, 0}, {0x7c00, 0, 0}, {0x7e00, 0, 0}},
         [](uint64_t a, uint64_t, uint64_t) -> uint64_t {  // 10, -5, infinity, NaN
           return a == 0x4900 ? 10 : a == 0xc500 ? uint64_t(-5) : a == 0x7c00 ? 0x7fffffff : 0;
         });
}

// The elements of a and b taken one by one in plain code.
PTX_TEST(forms_of_video) {
  const auto w = integers(4, 400);
  for (int count : {2, 4}) {
    const int width = 32 / count;
    auto element = [width](uint64_t v, int k, bool sign) {
      const int64_t x = int64_t(v >> (k * width) & ((1u << width) - 1));
      return sign && x >> (width - 1) ? x - (int64_t(1) << width) : x;
    };
    auto each = [&](const std::string& op, bool sign, bool adds, int64_t (*f)(int64_t, int64_t)) {
      expect(op, op + " %d, %a, %b, %c;", 32, w, [=](uint64_t a, uint64_t b, uint64_t c) {
        uint64_t packed = 0, sum = c;
        for (int k = 0; k < count; ++k) {
          const int64_t r = f(element(a, k, sign), element(b, k, sign));
          packed |= (uint64_t(r) & ((1u << width) - 1)) << (k * width);
          sum += uint64_t(r);
        }
        return adds ? sum : packed;
      });
    };
    const std::string n = std::to_string(count);
    each("vadd" + n + ".s32.s32.s32", true, false, [](int64_t a, int64_t b) { return a + b; });
    each("vsub" + n + ".u32.u32.u32", false, false, [](int64_t a, int64_t b) { return a - b; });
    each("vabsdiff" + n + ".u32.u32.u32", false, false,
         [](int64_t a, int64_t b) { return a < b ? b - a : a - b; });
    each("vabsdiff" + n + ".u32.s32.s32.add", true, true,
         [](int64_t a, int64_t b) { return a < b ? b - a : a - b; });
    each("vmin" + n + ".s32.s32.s32", true, false,
         [](int64_t a, int64_t b) { return std::min(a, b); });
    each("vmax" + n + ".u32.u32.u32", false, false,
         [](int64_t a, int64_t b) { return std::max(a, b); });
    each("vset" + n + ".u32.u32.lt", false, false,
         [](int64_t a, int64_t b) { return int64_t(a < b); });
    each("vset" + n + ".s32.s32.ge.add", true, true,
         [](int64_t a, int64_t b) { return int64_t(a >= b); });
  }
}

// The rest of the atomics, on global and shared memory.
PTX_TEST(forms_of_atomics) {
  struct Op {
    const char* form;
    const char* operands;
    uint32_t final;
  };
  // 32 lanes on a word that starts at 40; %t is the lane.
  const Op ops[] = {{"add.u32", "3", 136},     {"min.s32", "-7", uint32_t(-7)},
                    {"max.u32", "%t", 40},     {"xor.b32", "1", 40},
                    {"or.b32", "%t", 63},      {"and.b32", "8", 8},
                    {"cas.b32", "40, 77", 77}, {"exch.b32", "5", 5},
                    {"inc.u32", "50", 21},     {"dec.u32", "100", 8}};
  for (const char* head : {"atom.", "atom.shared.", "atom.global.", "atom.acquire.cta.global.",
                           "atom.relaxed.cta.", "atom.acq_rel.cta."}) {
    for (auto& o : ops) {
      const bool shared = std::string(head).find("shared") != std::string::npos;
      Buffer word(std::vector<uint32_t>{40});
      // Operations that depend on order still end where all orders do: inc past 50 wraps once.
      const std::string body =
          ".shared .align 4 .b32 s; .reg .b64 %p, %q; .reg .b32 %t, %r, %z; .reg .pred %x; "
          "ld.param.u64 %p, [p0]; mov.u32 %t, %tid.x; mov.u32 %z, s;"
          "setp.eq.u32 %x, %t, 0; @%x st.shared.u32 [%z], 40; bar.sync 0; " +
          std::string(head) + o.form + " %r, [" + (shared ? "%z" : "%p") + "], " + o.operands +
          "; bar.sync 0;" +
          (shared ? "@%x ld.shared.u32 %r, [%z]; @%x st.global.u32 [%p], %r;" : "");
      auto r = run(kernel_text(body), shape(1, 32), word.address);
      const uint32_t got = word.get<uint32_t>()[0];
      report(r.ok() && got == o.final, std::string(head) + o.form,
             r.ok() ? "ended at " + std::to_string(got) : r.fault.message);
    }
  }
  Buffer sum(std::vector<float>{1, 2});
  auto r = run(kernel_text(R"(.shared .align 4 .b32 s; .reg .b64 %p; .reg .b32 %t, %r, %z;
      .reg .pred %x;
    ld.param.u64 %p, [p0]; mov.u32 %t, %tid.x; mov.u32 %z, s; setp.eq.u32 %x, %t, 0;
    @%x st.shared.f32 [%z], 0f3F800000; bar.sync 0; atom.shared.add.f32 %r, [%z], 0f40000000;
    red.shared.add.f32 [%z], 0f3F000000; bar.sync 0;
    @%x ld.shared.f32 %r, [%z]; @%x st.global.f32 [%p], %r;
      nanosleep.u32 20;)"),
               shape(1, 32), sum.address);
  report(r.ok() && sum.get<float>()[0] == 81, "atom.shared.add.f32", r.fault.message);
}
