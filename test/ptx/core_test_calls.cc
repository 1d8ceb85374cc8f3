// Calls that cannot be expanded in place: recursion and calls by address, by lanes that go apart.
#include "core_test.h"

using namespace test;
using ptx::FaultKind;

namespace {

// f(n) = n < 2 ? n : f(n - 1) + f(n - 2), and a sum down a chain whose every activation has a local
// variable that the next one adds to by its address.
const char* const recursive = R"(
.func (.param .b32 out) fib(.param .b32 in)
{ .reg .b32 %n, %a, %b; .reg .pred %p;
  ld.param.b32 %n, [in]; setp.lt.u32 %p, %n, 2; @%p bra DONE;
  sub.u32 %a, %n, 1; sub.u32 %b, %n, 2;
  { .param .b32 x, y; st.param.b32 [x], %a; call.uni (y), fib, (x); ld.param.b32 %a, [y]; }
  { .param .b32 x, y; st.param.b32 [x], %b; call.uni (y), fib, (x); ld.param.b32 %b, [y]; }
  add.u32 %n, %a, %b;
DONE: st.param.b32 [out], %n; ret; }
.func chain(.param .b32 in, .param .b64 sum)
{ .local .align 8 .b8 mine[4]; .reg .b32 %n, %v; .reg .b64 %s, %m; .reg .pred %p;
  ld.param.b32 %n, [in]; ld.param.b64 %s, [sum]; mov.u64 %m, mine; cvta.local.u64 %m, %m;
  st.u32 [%m], %n; setp.eq.u32 %p, %n, 0; @%p ret;
  sub.u32 %v, %n, 1;
  { .param .b32 x; .param .b64 y; st.param.b32 [x], %v; st.param.b64 [y], %m;
    call.uni chain, (x, y); }
  ld.u32 %v, [%m]; ld.u32 %n, [%s]; add.u32 %n, %n, %v; st.u32 [%s], %n; ret; }
)";

const char* const table = R"(
.func (.param .b32 out) twice(.param .b32 in)
{ .reg .b32 %n; ld.param.b32 %n, [in]; shl.b32 %n, %n, 1; st.param.b32 [out], %n; ret; }
.func (.param .b32 out) less(.param .b32 in)
{ .reg .b32 %n; ld.param.b32 %n, [in]; sub.u32 %n, %n, 7; st.param.b32 [out], %n; ret; }
.func (.param .b32 out) wide(.param .b64 in)
{ .reg .b32 %n; mov.u32 %n, 1; st.param.b32 [out], %n; ret; }
.global .align 8 .u64 targets[3] = {twice, less, wide};
)";

const char* const registers = R"(.reg .b32 %t, %v, %w; .reg .b64 %o, %q, %f; .reg .pred %p;
  ld.param.u64 %o, [p0]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 4; add.u64 %o, %o, %q;
)";

void same(const std::string& name, const std::string& body, const std::string& items,
          const std::function<uint32_t(uint32_t)>& want) {
  for (auto order : {ptx::Order::forward, ptx::Order::reverse}) {
    Buffer out(std::vector<uint32_t>(80, 0));
    auto config = shape(1, 80);
    config.order = order;
    auto r = run(kernel_text(registers + body, items), config, out.address);
    bool right = r.ok();
    const auto got = out.get<uint32_t>();
    for (uint32_t t = 0; t < 80; ++t) right &= got[t] == want(t);
    report(right, name, r.fault.message);
  }
}

const char* const indirect = R"(mul.wide.u32 %q, %v, 8; mov.u64 %f, targets; add.u64 %f, %f, %q;
  ld.global.u64 %f, [%f];
  { .param .b32 x, y; st.param.b32 [x], %t;
    proto: .callprototype (.param .b32 _) _ (.param .b32 _);
    call (y), %f, (x), proto; ld.param.b32 %w, [y]; }
  add.u32 %w, %w, %t; st.global.u32 [%o], %w;)";

}  // namespace

PTX_TEST(calls) {
  same("recursion", R"(rem.u32 %v, %t, 11;
    { .param .b32 x, y; st.param.b32 [x], %v; call.uni (y), fib, (x); ld.param.b32 %w, [y]; }
    add.u32 %w, %w, %t; st.global.u32 [%o], %w;)",
       recursive, [](uint32_t t) {
         uint32_t a = 0, b = 1;
         for (uint32_t k = 0; k < t % 11; ++k) b += a, a = b - a;
         return a + t;
       });
  // Each activation adds its own (n plus what the next one added) to the one before.
  same("addresses of local variables in a recursion", R"(.local .align 4 .b8 sum[4];
    mov.u64 %q, sum; cvta.local.u64 %q, %q; st.u32 [%q], 0; rem.u32 %v, %t, 9;
    { .param .b32 x; .param .b64 y; st.param.b32 [x], %v; st.param.b64 [y], %q;
      call.uni chain, (x, y); }
    ld.u32 %w, [%q]; st.global.u32 [%o], %w;)",
       recursive, [](uint32_t t) { return t % 9 * (t % 9 + 1) / 2; });
  same("calls by address", std::string("and.b32 %v, %t, 1; ") + indirect, table,
       [](uint32_t t) { return t % 2 ? 2 * t - 7 : 3 * t; });
  same("a guarded call by address",
       std::string("and.b32 %v, %t, 1; mov.u32 %w, 5; setp.gt.u32 %p, %t, 40; @%p bra SKIP; ") +
           indirect + " SKIP: @%p st.global.u32 [%o], 9;",
       table, [](uint32_t t) { return t > 40  ? 9
                                      : t % 2 ? 2 * t - 7
                                              : 3 * t; });
}

PTX_TEST(calls_that_fail) {
  Buffer out(std::vector<uint32_t>(80, 0));
  auto go = [&](const char* name, const std::string& body, const std::string& items,
                FaultKind kind) {
    expect_fault(name, kernel_text(registers + body, items), shape(1, 32), kind, out.address);
  };
  go("a function of other parameters", std::string("mov.u32 %v, 2; ") + indirect, table,
     FaultKind::illegal_instruction);
  go("an address of no function",
     std::string("mov.u32 %v, 0; ") +
         std::string(indirect).replace(std::string(indirect).find("ld.global.u64 %f, [%f]"), 22,
                                       "mov.u64 %f, 4096      "),
     table, FaultKind::illegal_instruction);
  const std::string deep = R"({ .param .b32 x; .param .b64 y; st.param.b32 [x], DEPTH;
      st.param.b64 [y], %o; call.uni chain, (x, y); })";
  auto of = [&](const char* depth) {
    return std::string(deep).replace(deep.find("DEPTH"), 5, depth);
  };
  go("a recursion without end", of("100000000"), recursive, FaultKind::out_of_bounds);
  go("a deep recursion", of("200"), recursive, FaultKind::none);
}
