// Warp-wide instructions: shuffles in every mode, votes, matches, reductions, parking of lanes that
// come in another order than their pcs, barriers of a block and their reductions, control flow,
// calls, printf.
#include <algorithm>

#include "core_test.h"

using namespace test;

// Runs `body` for one warp with %t, %v (7t + 3) and stores %r for each lane.
static std::vector<uint32_t> lanes(const std::string& name, const std::string& body,
                                   uint32_t threads = 32) {
  Buffer out(threads * 4);
  const std::string text = R"(.reg .b64 %o, %q; .reg .b32 %t, %v, %r, %s, %u; .reg .pred %p, %x;
    ld.param.u64 %o, [p0]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 4; add.u64 %o, %o, %q;
      mad.lo.u32 %v, %t, 7, 3; mov.u32 %r, 0; )" +
                           body + " st.global.u32 [%o], %r;";
  auto r = run(kernel_text(text), shape(1, threads), out.address);
  if (!r.ok()) report(false, name, r.fault.message);
  return out.get<uint32_t>();
}

static void expect_lanes(const std::string& name, const std::string& body,
                         const std::function<uint32_t(uint32_t)>& f, uint32_t threads = 32) {
  const auto got = lanes(name, body, threads);
  for (uint32_t t = 0; t < threads; ++t) {
    if (got[t] == f(t)) continue;
    return report(false, name,
                  "thread " + std::to_string(t) + ": expected " + std::to_string(f(t)) +
                      ", received " + std::to_string(got[t]));
  }
  report(true, name);
}

PTX_TEST(shuffles) {
  auto value = [](uint32_t t) { return 7 * t + 3; };
  // Width w: the segment mask is 32 - w in bits 8-12; the clamp is 0 for up and 31 for the others.
  for (uint32_t width : {2u, 8u, 16u, 32u}) {
    for (uint32_t by : {0u, 1u, 3u, 16u, 31u}) {
      const uint32_t segment = (32 - width) << 8, base_mask = 32 - width;
      auto go = [&](const char* mode, uint32_t c, auto source) {
        const std::string op = std::string("shfl.sync.") + mode + ".b32";
        expect_lanes(op,
                     op + " %r|%p, %v, " + std::to_string(by) + ", " + std::to_string(c) +
                         ", 0xffffffff; selp.u32 %s, 1000, 0, %p; add.u32 %r, %r, %s;",
                     [&](uint32_t t) {
                       const int j = source(int(t));
                       return j >= 0 ? value(uint32_t(j)) + 1000 : value(t);
                     });
      };
      go("up", segment,
         [&](int t) { return t - int(by) >= int(t & base_mask) ? t - int(by) : -1; });
      go("down", segment | 31, [&](int t) {
        return t + int(by) <= int((t & base_mask) | (31 & ~base_mask)) ? t + int(by) : -1;
      });
      go("bfly", segment | 31, [&](int t) {
        const int j = t ^ int(by);
        return j <= int((t & base_mask) | (31 & ~base_mask)) ? j : -1;
      });
      go("idx", segment | 31, [&](int t) { return int((t & base_mask) | (by & ~base_mask)); });
    }
  }
  // Two halves of a warp that name only themselves, in one instruction and one after the other.
  expect_lanes("shfl of partitions",
               "setp.lt.u32 %p, %t, 16; selp.b32 %s, 0xffff, 0xffff0000, %p; shfl.sync.idx.b32 %r, "
               "%v, 5, 0x101f, %s;",
               [&](uint32_t t) { return value((t & 16) + 5); });
}

PTX_TEST(votes) {
  const std::string odd = "and.b32 %s, %t, 1; setp.ne.u32 %p, %s, 0; ";
  expect_lanes("vote.ballot", odd + "vote.sync.ballot.b32 %r, %p, -1;",
               [](uint32_t) { return 0xaaaaaaaau; });
  expect_lanes("vote.ballot negated", odd + "vote.sync.ballot.b32 %r, !%p, -1;",
               [](uint32_t) { return 0x55555555u; });
  expect_lanes("vote.all", odd + "vote.sync.all.pred %x, %p, -1; selp.u32 %r, 1, 2, %x;",
               [](uint32_t) { return 2u; });
  expect_lanes("vote.any", odd + "vote.sync.any.pred %x, %p, -1; selp.u32 %r, 1, 2, %x;",
               [](uint32_t) { return 1u; });
  expect_lanes("vote.uni",
               odd + "setp.ge.u32 %p, %t, 0; vote.sync.uni.pred %x, %p, -1; selp.u32 %r, 1, 2, %x;",
               [](uint32_t) { return 1u; });
  expect_lanes("vote in a branch", odd + "@!%p bra L; vote.sync.ballot.b32 %r, %p, 0xaaaaaaaa; L:",
               [](uint32_t t) { return t & 1 ? 0xaaaaaaaau : 0; });
  expect_lanes("match.any", "and.b32 %s, %t, 3; match.any.sync.b32 %r, %s, -1;",
               [](uint32_t t) { return 0x11111111u << (t & 3); });
  expect_lanes("match.any.b64",
               "shr.u32 %s, %t, 4; mov.b64 %q, {%s, %s}; match.any.sync.b64 %r, %q, -1;",
               [](uint32_t t) { return t < 16 ? 0xffffu : 0xffff0000u; });
  expect_lanes("match.all", "mov.u32 %s, 9; match.all.sync.b32 %r|%p, %s, -1; @!%p mov.u32 %r, 1;",
               [](uint32_t) { return ~0u; });
  expect_lanes("match.all fails", "match.all.sync.b32 %r|%p, %t, -1; @%p mov.u32 %r, 1;",
               [](uint32_t) { return 0u; });
  expect_lanes("activemask", odd + "activemask.b32 %r; @%p bra L; activemask.b32 %r; L:",
               [](uint32_t t) { return t & 1 ? ~0u : 0x55555555u; });
  expect_lanes("elect",
               "setp.lt.u32 %p, %t, 4; @%p bra L; elect.sync %r|%p, 0xfffffff0; @!%p bra L; "
               "add.u32 %r, %r, 100; L:",
               [](uint32_t t) { return t < 4    ? 0
                                       : t == 4 ? 104u
                                                : 4u; });
}

PTX_TEST(reductions) {
  const struct {
    const char* op;
    uint32_t want;
  } ops[] = {{"add.u32", 7 * 496 + 96},
             {"add.s32", 7 * 496 + 96},
             {"min.u32", 3},
             {"max.u32", 220},
             {"and.b32", 0},
             {"or.b32", 255},
             {"xor.b32", 0}};
  uint32_t all = ~0u, any = 0, odd = 0;
  for (uint32_t t = 0; t < 32; ++t) all &= 7 * t + 3, any |= 7 * t + 3, odd ^= 7 * t + 3;
  for (auto& o : ops) {
    const uint32_t want = o.op[0] == 'a' && o.op[1] == 'n' ? all
                          : o.op[0] == 'o'                 ? any
                          : o.op[0] == 'x'                 ? odd
                                                           : o.want;
    const std::string op = std::string("redux.sync.") + o.op;
    expect_lanes(op, op + " %r, %v, -1;", [&](uint32_t) { return want; });
  }
  expect_lanes("redux.sync.min.s32", "sub.s32 %v, %t, 10; redux.sync.min.s32 %r, %v, -1;",
               [](uint32_t) { return uint32_t(-10); });
  expect_lanes("redux.sync.max.f32", "cvt.rn.f32.u32 %v, %t; redux.sync.max.f32 %r, %v, -1;",
               [](uint32_t) { return uint32_t(f32(31)); });
}

PTX_TEST(parking) {
  // Lanes reach one shfl from two sides; those with the higher pc arrive first. Nothing must be
  // lost, nobody blamed.
  expect_lanes("lanes from behind", R"(setp.lt.u32 %p, %t, 16; @%p bra LOW; mov.u32 %v, 500;
      bra MEET;
    BACK: mov.u32 %v, 600; bra MEET; LOW: add.u32 %s, %t, 1; bra BACK; MEET:
      shfl.sync.bfly.b32 %r, %v, 16, 31, -1;)",
               [](uint32_t t) { return t < 16 ? 500u : 600u; });
  // __syncwarp() in both arms of a branch: corresponding barriers need not be one instruction.
  expect_lanes(
      "bar.warp.sync in two arms",
      "setp.lt.u32 %p, %t, 7; @%p bra A; bar.warp.sync -1; mov.u32 %r, 1; bra B; A: bar.warp.sync "
      "-1; mov.u32 %r, 2; B:",
      [](uint32_t t) { return t < 7 ? 2u : 1u; });
  // A lock taken by one lane at a time: the holder sits at a higher pc than the spinning lanes.
  Buffer word(std::vector<uint32_t>{0, 0});
  auto r = run(kernel_text(R"(.reg .b64 %a; .reg .b32 %r, %v; .reg .pred %p; ld.param.u64 %a, [p0];
    L: atom.global.acquire.gpu.cas.b32 %r, [%a], 0, 1; setp.ne.u32 %p, %r, 0; @%p bra L;
    ld.volatile.global.u32 %v, [%a+4]; add.u32 %v, %v, 1; st.volatile.global.u32 [%a+4], %v;
      atom.global.release.gpu.exch.b32 %r, [%a], 0;)"),
               shape(3, 64), word.address);
  report(r.ok() && word.get<uint32_t>()[1] == 192, "spin lock", r.fault.message);
}

PTX_TEST(block_barriers) {
  const std::string odd = "and.b32 %s, %t, 1; setp.ne.u32 %p, %s, 0; ";
  expect_lanes(
      "bar.red.popc", odd + "bar.red.popc.u32 %r, 0, %p;", [](uint32_t) { return 48u; }, 96);
  expect_lanes(
      "bar.red.or", "setp.eq.u32 %p, %t, 77; bar.red.or.pred %x, 0, %p; selp.u32 %r, 5, 6, %x;",
      [](uint32_t) { return 5u; }, 96);
  expect_lanes(
      "bar.red.and",
      "setp.ne.u32 %p, %t, 77; barrier.cta.red.and.pred %x, 1, %p; selp.u32 %r, 5, 6, %x;",
      [](uint32_t) { return 6u; }, 96);
  // Warp 0 produces, warp 1 consumes, warp 2 takes no part: arrive and sync with a count of 64.
  expect_lanes(
      "bar.arrive",
      R"(.shared .align 4 .b32 s[32]; shr.u32 %u, %t, 5; and.b32 %s, %t, 31; shl.b32 %s, %s, 2;
      mov.u32 %v, s; add.u32 %v, %v, %s;
    setp.eq.u32 %p, %u, 0; @!%p bra C; st.shared.u32 [%v], %t; bar.arrive 3, 64; bra E; C:
      setp.ne.u32 %p, %u, 1; @%p bra E; bar.sync 3, 64; ld.shared.u32 %r, [%v]; E:)",
      [](uint32_t t) { return t / 32 == 1 ? t - 32 : 0; }, 96);
  expect_lanes(
      "barrier.sync in two places",
      R"(setp.lt.u32 %p, %t, 20; @%p bra A; barrier.sync 0; mov.u32 %r, 1; bra B; A:
      barrier.sync 0; mov.u32 %r, 2; B:)",
      [](uint32_t t) { return t < 20 ? 2u : 1u; }, 64);
}

PTX_TEST(control_flow) {
  expect_lanes("loops of different lengths",
               "mov.u32 %s, 0; L: setp.ge.u32 %p, %s, %t; @%p bra E; add.u32 %r, %r, %s; add.u32 "
               "%s, %s, 1; bra L; E:",
               [](uint32_t t) { return t * (t - 1) / 2; });
  expect_lanes("brx.idx",
               "and.b32 %s, %t, 3; T: .branchtargets A, B, C, B; brx.idx %s, T; A: mov.u32 %r, 10; "
               "bra E; B: "
               "mov.u32 %r, 20; bra E; C: mov.u32 %r, 30; E:",
               [](uint32_t t) {
                 const uint32_t w[] = {10, 20, 30, 20};
                 return w[t & 3];
               });
  expect_lanes("nested scopes",
               "{ .reg .b32 %r; mov.u32 %r, 5; { .reg .b32 a; add.u32 a, %r, 1; mov.u32 %s, a; L: "
               "} } mov.u32 %r, %s;",
               [](uint32_t) { return 6u; });
  expect_lanes(
      "special registers",
      "mov.u32 %r, %laneid; mov.u32 %s, %warpid; mad.lo.u32 %r, %s, 100, %r; mov.u32 %s, "
      "%lanemask_lt; "
      "popc.b32 %s, %s; mad.lo.u32 %r, %s, 1000, %r; mov.u32 %s, %ntid.x; mad.lo.u32 %r, %s, "
      "100000, %r;",
      [](uint32_t t) { return t % 32 + t / 32 * 100 + t % 32 * 1000 + 6400000; }, 64);
}

PTX_TEST(calls_and_print) {
  const std::string items = R"(
    .extern .func (.param .b32 retval) vprintf (.param .b64 a, .param .b64 b);
    .global .align 1 .b8 format[20] =
      {116, 61, 37, 100, 32, 120, 61, 37, 46, 50, 102, 32, 37, 115, 10};
    .global .align 1 .b8 word[4] = {104, 105, 33};
    .func (.param .b32 result) twice (.param .b32 x) { .reg .b32 %a; .reg .pred %p;
      ld.param.u32 %a, [x]; setp.gt.u32 %p, %a, 10; @%p bra BIG; add.u32 %a, %a, %a;
      st.param.b32 [result], %a; ret; BIG: mov.u32 %a, 99; st.param.b32 [result], %a; ret; }
    .func (.reg .b32 %y) more (.reg .b32 %x) { add.u32 %y, %x, 1; ret; }
  )";
  Buffer out(32 * 4);
  const std::string body =
      R"(.local .align 8 .b8 args[24]; .reg .b64 %o, %q, %f; .reg .b32 %t, %r; .reg .pred %p;
      ld.param.u64 %o, [p0]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 4; add.u64 %o, %o, %q;
    { .param .b32 p; st.param.b32 [p], %t; .param .b32 back; call.uni (back), twice, (p);
      ld.param.b32 %r, [back]; }
    call (%r), more, (%r); setp.lt.u32 %p, %t, 3; { .param .b32 p; st.param.b32 [p], %r;
      .param .b32 back; @%p call (back), twice, (p); @%p ld.param.b32 %r, [back]; }
    st.global.u32 [%o], %r; setp.ne.u32 %p, %t, 4; @%p bra E;
    st.local.u32 [args], %t; mov.b64 %q, 0d3FF8000000000000; st.local.u64 [args+8], %q;
      mov.u64 %q, word; cvta.global.u64 %q, %q; st.local.u64 [args+16], %q;
    { .param .b64 a; .param .b64 b; .param .b32 n; mov.u64 %f, format; cvta.global.u64 %f, %f;
      st.param.b64 [a], %f; mov.u64 %q, args; cvta.local.u64 %q, %q; st.param.b64 [b], %q;
      call.uni (n), vprintf, (a, b); }
    E:)";
  std::string printed;
  auto config = shape(1, 32);
  config.print = [&](const char* text, size_t n) { printed.append(text, n); };
  auto r = run(kernel_text(body, items), config, out.address);
  auto got = out.get<uint32_t>();
  bool ok = r.ok();
  for (uint32_t t = 0; t < 32; ++t) {
    auto twice = [](uint32_t x) { return x > 10 ? 99 : 2 * x; };
    uint32_t want = twice(t) + 1;
    if (t < 3) want = twice(want);
    ok &= got[t] == want;
  }
  report(ok, "calls", r.fault.message);
  report(printed == "t=4 x=1.50 hi!\n", "vprintf", printed);
}
