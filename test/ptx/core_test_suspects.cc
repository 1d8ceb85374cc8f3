// Reads of what nobody wrote: nothing is said while the value is thrown away, and the launch ends as
// soon as it matters.
#include "core_test.h"

using namespace test;
using ptx::FaultKind;

namespace {

// One warp. %v is read from shared memory of which the first eight words are written: it is suspect
// in lanes 8 to 31. %k says which lanes those are, %p that %v is not zero. %o is a place for each.
std::string kernel(const std::string& body) {
  return kernel_text(R"(.shared .align 16 .b32 s[64]; .reg .b64 %o, %q; .reg .b32 %t, %s, %v, %w;
      .reg .pred %k, %p, %q1, %r;
    ld.param.u64 %o, [p0]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 4; add.u64 %o, %o, %q;
    mov.u32 %s, s; mad.lo.u32 %s, %t, 4, %s; setp.lt.u32 %k, %t, 8; @%k st.shared.u32 [%s], %t;
    bar.warp.sync -1; ld.shared.u32 %v, [%s]; setp.ne.u32 %p, %v, 0; mov.u32 %w, 7; )" +
                     body);
}

void go(const char* name, const std::string& body, FaultKind kind) {
  Buffer out(std::vector<uint32_t>(32, 0));
  for (const auto order : {ptx::Order::forward, ptx::Order::random}) {
    auto config = shape(1, 32);
    config.order = order;
    expect_fault(name, kernel(body), config, kind, out.address);
  }
}
void silent(const char* name, const std::string& body) { go(name, body, FaultKind::none); }
void loud(const char* name, const std::string& body) {
  go(name, body, FaultKind::uninitialised);
}

}  // namespace

PTX_TEST(suspects_thrown_away) {
  silent("never used", "");
  silent("overwritten", "mov.u32 %v, 1; st.global.u32 [%o], %v;");
  silent("overwritten by a load", "ld.global.u32 %v, [%o]; st.global.u32 [%o], %v;");
  silent("used by those that have it", "@%k st.global.u32 [%o], %v;");
  silent("computed with", "add.u32 %w, %v, 1; @%k st.global.u32 [%o], %w;");
  silent("not chosen", "selp.u32 %v, %v, %w, %k; st.global.u32 [%o], %v;");
  silent("not chosen, the other way",
         "not.pred %r, %k; selp.u32 %v, %w, %v, %r; st.global.u32 [%o], %v;");
  silent("and of false", "and.pred %r, %p, %k; @%r st.global.u32 [%o], %w;");
  silent("or of true", "not.pred %q1, %k; or.pred %r, %q1, %p; @%r st.global.u32 [%o], %w;");
  silent("a comparison joined with false",
         "setp.gt.and.u32 %r, %v, 3, %k; @%r st.global.u32 [%o], %w;");
  silent("false joined with a comparison",
         "setp.lt.and.u32 %r, %t, 8, %p; @%r st.global.u32 [%o], %w;");
  silent("true joined with a comparison",
         "setp.ge.or.u32 %r, %t, 8, %p; @%r st.global.u32 [%o], %w;");
  silent("shuffled from those that have it",
         "shfl.sync.idx.b32 %w, %v, 5, 31, -1; st.global.u32 [%o], %w;");
  silent("a sum of the first eight",
         "shfl.sync.down.b32 %w, %v, 4, 31, -1; add.u32 %v, %v, %w; setp.eq.u32 %r, %t, 0; "
         "@%r st.global.u32 [%o], %v;");
  silent("of two words, the written one",
         "setp.eq.u32 %r, %t, 0; @!%r exit; { .reg .b32 %x<2>; st.shared.u32 [%s+128], %t; "
         "ld.shared.v2.u32 {%x0, %x1}, [%s+128]; st.global.u32 [%o], %x0; }");
}

// Rows of eight halves, rows 0 to 5 written. ldmatrix brings them as A of m16n8k8 (both bands the
// same), or as B of which they are the columns; D's first two registers have row g of lane 4 g + t,
// columns 2 t and 2 t + 1.
static std::string tile(const std::string& load, const std::string& product,
                        const std::string& body) {
  return R"({ .reg .b32 %m, %n; .reg .f32 %d<4>; .reg .b32 %h<4>; mov.u32 %m, s;
    setp.lt.u32 %r, %t, 24; @%r st.shared.u32 [%s], 0; bar.warp.sync -1;
    and.b32 %n, %t, 7; mad.lo.u32 %n, %n, 16, %m; mov.b32 %w, 0; )" +
         load + " mma.sync.aligned.m16n8k8.row.col." + product + body + "; }";
}

PTX_TEST(suspects_in_matrices) {
  const std::string plain = "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%m}, [%n];",
                    turned = "ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%m}, [%n];",
                    a = "f32.f16.f16.f32 {%d0, %d1, %d2, %d3}, {%m, %w}, {%w}, {0f00000000, "
                        "0f00000000, 0f00000000, 0f00000000}; ",
                    b = "f32.f16.f16.f32 {%d0, %d1, %d2, %d3}, {%w, %w}, {%m}, {0f00000000, "
                        "0f00000000, 0f00000000, 0f00000000}; ",
                    half = "f16.f16.f16.f16 {%h0, %h1}, {%m, %w}, {%w}, {%w, %w}; ";
  const std::string low = "setp.lt.u32 %r, %t, 24; @%r ", all = "setp.lt.u32 %r, %t, 28; @%r ",
                    first = "and.b32 %w, %t, 3; setp.lt.u32 %r, %w, 3; @%r ";
  silent("rows of A that are written", tile(plain, a, low + "st.global.f32 [%o], %d0"));
  loud("a row of A that is not", tile(plain, a, all + "st.global.f32 [%o], %d1"));
  silent("rows of A's other band", tile(plain, a, "st.global.f32 [%o], %d2"));
  silent("rows of halves", tile(plain, half, low + "st.global.u32 [%o], %h0"));
  loud("a row of halves that is not", tile(plain, half, all + "st.global.u32 [%o], %h0"));
  silent("columns of B that are written", tile(plain, b, first + "st.global.f32 [%o], %d3"));
  loud("a column of B that is not", tile(plain, b, "st.global.f32 [%o], %d3"));
  loud("sums over what is not written", tile(turned, a, low + "st.global.f32 [%o], %d0"));
}

PTX_TEST(suspects_that_matter) {
  loud("stored", "st.global.u32 [%o], %v;");
  loud("stored in shared memory", "st.shared.u32 [%s], %v;");
  loud("one of several", "and.b32 %s, %s, -8; st.shared.v2.u32 [%s], {%w, %v};");
  loud("of two words, the other",
       "setp.eq.u32 %r, %t, 0; @!%r exit; { .reg .b32 %x<2>; st.shared.u32 [%s+128], %t; "
       "ld.shared.v2.u32 {%x0, %x1}, [%s+128]; st.global.u32 [%o], %x1; }");
  loud("computed with and stored", "mad.lo.u32 %w, %v, 0, 1; st.global.u32 [%o], %w;");
  loud("a branch", "@%p bra E; E:");
  loud("a guard", "@%p st.global.u32 [%o], %w;");
  loud("an address", "and.b32 %v, %v, 0; cvt.u64.u32 %q, %v; add.u64 %o, %o, %q; "
                     "ld.global.u32 %w, [%o];");
  loud("an atomic", "red.global.add.u32 [%o], %v;");
  loud("a vote", "vote.sync.any.pred %r, %p, -1;");
  loud("chosen", "not.pred %r, %k; selp.u32 %v, %v, %w, %r; st.global.u32 [%o], %v;");
  loud("chosen by it", "selp.u32 %w, 1, 2, %p; st.global.u32 [%o], %w;");
  loud("and of true", "not.pred %q1, %k; and.pred %r, %p, %q1; @%r st.global.u32 [%o], %w;");
  loud("or of false", "or.pred %r, %p, %k; @%r st.global.u32 [%o], %w;");
  loud("a comparison joined with true",
       "not.pred %q1, %k; setp.gt.and.u32 %r, %v, 3, %q1; @%r st.global.u32 [%o], %w;");
  loud("shuffled to others",
       "shfl.sync.down.b32 %w, %v, 1, 31, -1; @%k st.global.u32 [%o], %w;");
  loud("a lane to shuffle from", "shfl.sync.idx.b32 %w, %t, %v, 31, -1;");
}
