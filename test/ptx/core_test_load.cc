// What a module is refused for, with its line; and that no damaged text does worse than being
// refused.
#include <algorithm>

#include "core_test.h"

using namespace test;

static void refused(const std::string& name, const std::string& body, int line,
                    const std::string& word, bool unsupported = true) {
  Loaded l = load(kernel_text("\n" + body));  // the body is line 8
  report(!l.module && l.error.line == line && l.error.message.find(word) != std::string::npos &&
             l.error.unsupported == unsupported,
         name,
         l.module ? "loaded" : "line " + std::to_string(l.error.line) + ": " + l.error.message);
}

PTX_TEST(refusals) {
  const std::string r = ".reg .b32 %r<4>; .reg .b64 %q; .reg .b16 %h; .reg .pred %p; ";
  refused("unknown instruction", r + "\nfrobnicate.u32 %r0, %r1;", 9, "frobnicate.u32");
  refused("unknown modifier", r + "\n\nadd.wobble.u32 %r0, %r1, %r2;", 10, "add.wobble.u32");
  refused("unknown modifier of a load", r + "ld.global.u32.wobble %r0, [%q];", 8, "wobble");
  refused("unknown shape",
          r + "mma.sync.aligned.m16n8k99.row.col.f32.f16.f16.f32 {%r0}, {%r0}, {%r0}, {%r0};", 8,
          "m16n8k99");
  refused("rounding that cvt lacks", r + "cvt.rn.s32.f32 %r0, %r1;", 8, "cvt.rn.s32.f32");
  refused("wgmma", r + "wgmma.fence.sync.aligned;", 8, "wgmma");
  refused("unknown special register", r + "mov.u32 %r0, %wobble;", 8, "%wobble");
  refused("texture", r + "tex.2d.v4.f32.s32 {%r0}, [%q, {%r0}];", 8, "tex");
  refused("an indirect call of registers", r + "call (%r0), %q, (%r1), proto;", 8, "call", false);
  refused("a call of the kernel itself", "call k, ();", 8, "kernel", false);
  refused("an unknown function", r + "call nobody;", 8, "nobody");
  refused("undeclared register", r + "add.u32 %r0, %r1, nobody;", 8, "nobody", false);
  refused("width", r + "add.u32 %r0, %r1, %q;", 8, "64 bits", false);
  refused("narrow destination", r + "add.u64 %r0, %q, %q;", 8, "32 bits", false);
  refused("predicate as value", r + "add.u32 %r0, %r1, %p;", 8, "predicate", false);
  refused("missing operand", r + "add.u32 %r0, %r1;", 8, "operand", false);
  refused("unknown label", r + "bra NOWHERE;", 8, "NOWHERE", false);
  refused("missing semicolon", r + "add.u32 %r0, %r1, %r2\nadd.u32 %r0, %r1, %r2;", 9, "expected",
          false);
  refused("unsupported atomic", r + "atom.global.add.s64 %q, [%q], %q;", 8, "atom.global.add.s64");
  Loaded none = load("");
  report(!none.module, "empty text");
  Loaded newer = load(kernel_text("", "", "sm_130"));
  report(!newer.module && newer.error.message.find("sm_130") != std::string::npos,
         "a target beyond the device", newer.error.message);
}

// Truncation at every byte, deletions, insertions and replacements at random: an error or a module,
// never a crash.
PTX_TEST(damaged_text) {
  const std::string text = kernel_text(
      R"(.shared .align 4 .b8 s[64]; .local .b8 l[8]; .reg .b32 %r<9>; .reg .b64 %q<3>;
      .reg .pred %p; .reg .f32 %f<4>;
    ld.param.u64 %q0, [p0]; { .reg .b32 x; mov.u32 x, %tid.x; shl.b32 %r0, x, 2; } @%p bra L;
      ld.global.v2.u32 {%r1, _}, [%q0+8]; L: setp.lt.and.f32 %p|_, %f0, 0f3F800000, !%p;
    T: .branchtargets L, M; brx.idx %r0, T; M: mov.b64 {%r1, %r2}, %q0; fma.rn.f32 %f1, %f2, 1.5,
      %f3; shfl.sync.bfly.b32 %r1|%p, %r2, 1, 31, -1; bar.sync 0;)",
      ".global .align 8 .u64 g[2] = {generic(h)+4, 7};\n.global .u32 h = 0x10;\n.func (.param .b32 "
      "o) "
      "f(.param .b32 i) { .reg .b32 %r; ld.param.b32 %r, [i]; st.param.b32 [o], %r; ret; }");
  report(load(text).module != nullptr, "the undamaged text", load(text).error.message);
  size_t loaded = 0, tried = 0;
  for (size_t n = 0; n < text.size(); n += 3)
    loaded += load(text.substr(0, n)).module != nullptr, ++tried;
  Random random;
  const std::string alphabet = "%.,;[]{}()<>=+-!|@:_$0179afxU \n\"/*";
  for (int k = 0; k < 3000; ++k, ++tried) {
    std::string copy = text;
    for (uint64_t n = random.next() % 4 + 1; n--;) {
      const size_t at = random.next() % copy.size();
      const uint64_t kind = random.next() % 4;
      if (kind == 0)
        copy.erase(at, random.next() % 20 + 1);
      else if (kind == 1)
        copy.insert(at, 1, alphabet[random.next() % alphabet.size()]);
      else if (kind == 2)
        copy[at] = char(random.next());
      else
        copy.insert(at, copy.substr(random.next() % copy.size(), random.next() % 30));
      if (copy.empty()) copy = " ";
    }
    loaded += load(copy).module != nullptr;
  }
  report(loaded < tried, "damaged texts", "all were taken");
}
