// Loads, stores, atomics, address spaces, local and constant memory, asynchronous copies,
// mbarriers.
#include <algorithm>

#include "core_test.h"

using namespace test;
using ptx::FaultKind;

static bool same(const ptx::LaunchResult& r, bool equal, const std::string& name) {
  report(r.ok() && equal, name, r.ok() ? "wrong result" : r.fault.message);
  return r.ok() && equal;
}

// Copies with every type and vector width through every order and hint: 32 lanes move `bytes` each.
PTX_TEST(load_store_forms) {
  const struct {
    const char* op;
    const char* hold;
    int bytes;
    int count;
  } forms[] = {{"u8", "b16", 1, 1},     {"s8", "b32", 1, 1},     {"b8", "b16", 1, 1},
               {"u16", "b16", 2, 1},    {"s16", "b32", 2, 1},    {"b16", "b16", 2, 1},
               {"f16", "b16", 2, 1},    {"u32", "b32", 4, 1},    {"f32", "b32", 4, 1},
               {"u64", "b64", 8, 1},    {"f64", "b64", 8, 1},    {"b128", "b128", 16, 1},
               {"v2.u8", "b16", 1, 2},  {"v4.u8", "b16", 1, 4},  {"v2.u16", "b16", 2, 2},
               {"v4.u16", "b16", 2, 4}, {"v2.f32", "b32", 4, 2}, {"v4.f32", "b32", 4, 4},
               {"v2.u64", "b64", 8, 2}, {"v4.b64", "b64", 8, 4}, {"v8.b32", "b32", 4, 8}};
  const char* loads[] = {"ld.global.",
                         "ld.global.nc.",
                         "ld.global.cs.",
                         "ld.",
                         "ld.volatile.global.",
                         "ld.relaxed.gpu.global.",
                         "ld.acquire.sys.global.",
                         "ld.global.L1::no_allocate.L2::128B.",
                         "ld.global.nc.L1::evict_last.L2::256B.",
                         "ld.weak.global.ca.",
                         "ld.global.lu."};
  const char* stores[] = {"st.global.",
                          "st.",
                          "st.global.cs.",
                          "st.volatile.global.",
                          "st.release.gpu.global.",
                          "st.global.wt.",
                          "st.relaxed.cta.global.",
                          "st.global.L1::no_allocate.",
                          "st.weak.global.cg.",
                          "st.global.wb.",
                          "st.global."};
  for (auto& f : forms) {
    for (size_t k = 0; k < 11; ++k) {
      const size_t bytes = size_t(f.bytes * f.count) * 32;
      std::vector<uint8_t> from(bytes);
      for (size_t i = 0; i < bytes; ++i) from[i] = uint8_t(i * 37 + 11);
      std::string list;
      for (int c = 0; c < f.count; ++c)
        list += std::string(c ? ", " : "") + "%v" + std::to_string(c);
      if (f.count > 1) list = "{" + list + "}";
      const std::string body =
          std::string(".reg .b64 %in, %out, %o; .reg .b32 %t; .reg .") + f.hold +
          " %v<8>;"
          "ld.param.u64 %in, [p0]; ld.param.u64 %out, [p1]; mov.u32 %t, %tid.x; mul.wide.u32 %o, "
          "%t, " +
          std::to_string(f.bytes * f.count) + "; add.u64 %in, %in, %o; add.u64 %out, %out, %o;" +
          loads[k] + f.op + " " + list + ", [%in];" + stores[k] + f.op + " [%out], " + list + ";";
      Buffer in(from), out(bytes);
      auto r = run(kernel_text(body), shape(1, 32), in.address, out.address);
      if (!same(r, r.ok() && out.get<uint8_t>() == from, std::string(loads[k]) + f.op)) return;
    }
  }
}

// Sign and zero extension into wider registers; stores of the low part of wider ones.
PTX_TEST(load_extension) {
  const std::vector<uint8_t> from = {0x80, 0xff, 0xfe, 0x81};
  Buffer in(from), out(40);
  const std::string body =
      R"(.reg .b64 %in, %out, %q; .reg .b32 %r; ld.param.u64 %in, [p0]; ld.param.u64 %out, [p1];
    ld.global.s8 %r, [%in]; st.global.u32 [%out], %r; ld.global.u8 %r, [%in];
      st.global.u32 [%out+4], %r;
    ld.global.s16 %q, [%in+2]; st.global.u64 [%out+8], %q; ld.global.u16 %q, [%in+2];
      st.global.u64 [%out+16], %q;
    ld.global.s32 %q, [%in]; st.global.u64 [%out+24], %q; st.global.u16 [%out+32], %q;
      st.global.u8 [%out+34], %q;)";
  auto r = run(kernel_text(body), shape(1, 1), in.address, out.address);
  auto got = out.get<uint64_t>();
  same(r,
       got[0] == 0x00000080ffffff80u && got[1] == 0xffffffffffff81feu && got[2] == 0x81feu &&
           got[3] == 0xffffffff81feff80u && (got[4] & 0xffffff) == 0x80ff80,
       "extension");
}

PTX_TEST(spaces_and_addresses) {
  Buffer out(32 * 8);
  const std::string items =
      ".const .align 4 .u32 table[4] = {10, 20, 30, 40};\n.global .align 8 .u64 pointer = "
      "generic(words)+4;\n"
      ".global .align 4 .u32 words[3] = {7, 8, 9};\n.global .align 4 .f32 real = 0f3F800000;\n";
  const std::string body = R"(
    .local .align 8 .b8 stack[64]; .shared .align 4 .b32 s[64]; .reg .b64 %out, %a, %g, %q;
      .reg .b32 %t, %v, %sum, %i; .reg .pred %p;
    ld.param.u64 %out, [p0]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 8; add.u64 %out, %out, %q;
    and.b32 %i, %t, 3; mul.wide.u32 %q, %i, 4; mov.u64 %a, table; add.u64 %a, %a, %q;
      ld.const.u32 %sum, [%a];
    cvta.const.u64 %g, %a; ld.u32 %v, [%g]; add.u32 %sum, %sum, %v;
    ld.global.u64 %a, [pointer]; ld.u32 %v, [%a]; add.u32 %sum, %sum, %v;
    mov.u64 %a, stack; st.local.u32 [%a+4], %t; st.local.v2.u32 [stack+8], {%t, %sum};
    cvta.local.u64 %g, %a; ld.u32 %v, [%g+4]; add.u32 %sum, %sum, %v; ld.local.u32 %v, [stack+12];
      add.u32 %sum, %sum, %v;
    isspacep.local %p, %g; @!%p mov.u32 %sum, 0; isspacep.global %p, %g; @%p mov.u32 %sum, 0;
    mov.u32 %v, s; mad.lo.u32 %v, %t, 4, %v; st.shared.u32 [%v], %t; bar.sync 0;
    mov.u64 %a, s; cvta.shared.u64 %g, %a; isspacep.shared %p, %g; @!%p mov.u32 %sum, 0;
    mul.wide.u32 %q, %t, 4; sub.u64 %q, %g, %q; ld.u32 %v, [%q+124]; add.u32 %sum, %sum, %v;
    cvta.to.shared.u64 %a, %g; setp.ne.u64 %p, %a, s; @%p mov.u32 %sum, 0;
    mov.b64 %a, p0; cvta.param.u64 %g, %a; ld.u64 %q, [%g]; ld.param.u64 %a, [p0]; setp.ne.u64 %p,
      %a, %q; @%p mov.u32 %sum, 0;
    st.global.u32 [%out], %sum; st.u32 [%out+4], %t;)";
  auto r = run(kernel_text(body, items), shape(1, 32), out.address);
  auto got = out.get<uint32_t>();
  bool ok = true;
  for (uint32_t t = 0; t < 32;
       ++t) {  // twice the table, words[1], t from the stack, all of it again, and lane 31-t's word
    const uint32_t sum = 20 * ((t & 3) + 1) + 8;
    ok &= got[2 * t] == 2 * sum + t + 31 - t && got[2 * t + 1] == t;
  }
  same(r, ok, "spaces");
}

PTX_TEST(atomics) {
  // 4 blocks of 64 threads on words that start at 100; each returns the old value; the final one is
  // known.
  struct Op {
    const char* op;
    const char* type;
    const char* operand;
    int64_t final;
    int bytes;
  };
  const Op ops[] = {{"add", "u32", "2", 100 + 512, 4}, {"add", "s32", "-1", 100 - 256, 4},
                    {"add", "u64", "3", 100 + 768, 8}, {"max", "s32", "%t", 255, 4},
                    {"min", "u32", "%t", 0, 4},        {"or", "b32", "%t", 255, 4},
                    {"and", "b32", "96", 96, 4},       {"xor", "b64", "5", 100, 8},
                    {"inc", "u32", "1000", 356, 4},    {"dec", "u32", "1000", 845, 4},
                    {"exch", "b32", "9", 9, 4}};
  for (auto& o : ops) {
    for (const char* head : {"atom.global.", "red.global.", "atom.", "atom.relaxed.gpu.global.",
                             "atom.acq_rel.sys.global.", "red.release.gpu.global."}) {
      const bool returns = head[0] == 'a';
      if (!returns && (o.op == std::string("exch"))) continue;
      Buffer word(std::vector<int64_t>{100});
      const std::string r64 = o.bytes == 8 ? "%q" : "%r";
      const std::string operand = o.operand[0] == '%' && o.bytes == 8 ? "%q" : o.operand;
      const std::string body =
          ".reg .b64 %a, %q; .reg .b32 %t, %r, %c; ld.param.u64 %a, [p0]; mov.u32 %t, %tid.x; "
          "mov.u32 %c, "
          "%ctaid.x; mad.lo.u32 %t, %c, 64, %t;" +
          std::string(head) + o.op + "." + o.type + " " + (returns ? r64 + ", " : "") + "[%a], " +
          operand + ";";
      auto r = run(kernel_text(body), shape(4, 64), word.address);
      int64_t got = word.get<int64_t>()[0];
      // dec from 100 wraps to 1000 after 101 steps: 1000 - (256 - 101) = 845.
      if (o.bytes == 4) got = int32_t(got);
      same(r, got == o.final,
           std::string(head) + o.op + "." + o.type + " gave " + std::to_string(got));
    }
  }
  // Old values of add are a permutation of 0..255; cas lets one thread win; floats and halves add
  // up.
  Buffer zero(std::vector<uint32_t>(8, 0)), old(256 * 4);
  auto r = run(
      kernel_text(
          R"(.reg .b64 %a, %o, %q; .reg .b32 %t, %r, %c, %z; .reg .b16 %h; ld.param.u64 %a, [p0];
      ld.param.u64 %o, [p1];
    mov.u32 %t, %tid.x; mov.u32 %c, %ctaid.x; mad.lo.u32 %t, %c, 64, %t; mul.wide.u32 %q, %t, 4;
      add.u64 %o, %o, %q;
    atom.global.add.u32 %r, [%a], 1; st.global.u32 [%o], %r;
    add.u32 %t, %t, 1; atom.global.cas.b32 %z, [%a+4], 0, %t;
    atom.global.add.f32 %r, [%a+8], 0f3F000000; red.global.add.noftz.bf16x2 [%a+12], 0x3F804000;
      mov.b16 %h, 0x3C00; atom.global.add.noftz.f16 %h, [%a+16], %h;
    red.global.add.v2.f32 [%a+24], {0f3F800000, 0f40000000};)"),
      shape(4, 64), zero.address, old.address);
  auto olds = old.get<uint32_t>();
  std::sort(olds.begin(), olds.end());
  bool ok = true;
  for (uint32_t k = 0; k < 256; ++k) ok &= olds[k] == k;
  auto end = zero.get<uint32_t>();
  ok &= end[0] == 256 && end[1] >= 1 && end[1] <= 256 && end[2] == f32(128);
  // bfloat16: 1.0 each in the upper half sticks at 256 only after 256 additions; 2.0 each reaches
  // 512 with 256 additions.
  ok &= end[3] == 0x43804400 && end[4] == 0x5c00 && end[6] == f32(256) && end[7] == f32(512);
  same(r, ok, "atomic results");
}

// Each thread copies 16 bytes into shared memory in two groups and reads its neighbour's; short
// sources are zero-filled.
PTX_TEST(async_copies) {
  for (const char* how : {"cp.async.ca.shared.global", "cp.async.cg.shared.global.L2::128B",
                          "cp.async.cg.shared::cta.global"}) {
    std::vector<uint32_t> from(64 * 4);
    for (size_t k = 0; k < from.size(); ++k) from[k] = uint32_t(k * 3 + 1);
    Buffer in(from), out(64 * 16);
    const std::string body =
        std::string(R"(.shared .align 16 .b8 s[2048]; .reg .b64 %a, %o, %q; .reg .b32 %t, %d, %n,
      %v<4>;
      ld.param.u64 %a, [p0]; ld.param.u64 %o, [p1]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 16;
      add.u64 %a, %a, %q; add.u64 %o, %o, %q;
      mov.u32 %d, s; mad.lo.u32 %d, %t, 16, %d; and.b32 %n, %t, 1; mul.lo.u32 %n, %n, 8;
      add.u32 %n, %n, 8;)") +
        how + " [%d], [%a], 16, %n;" + R"(
      cp.async.commit_group; )" +
        how + R"( [%d+1024], [%a], 16; cp.async.commit_group;
      cp.async.wait_group 1; bar.sync 0; xor.b32 %n, %d, 16; ld.shared.v4.u32 {%v0, %v1, %v2,
      %v3}, [%n]; st.global.v4.u32 [%o], {%v0, %v1, %v2, %v3}; cp.async.wait_all;)";
    auto r = run(kernel_text(body), shape(1, 64), in.address, out.address);
    auto got = out.get<uint32_t>();
    bool ok = true;
    for (uint32_t t = 0; t < 64; ++t)
      for (uint32_t k = 0; k < 4; ++k) {
        const uint32_t other = t ^ 1;
        ok &= got[t * 4 + k] == (k < (other & 1 ? 4u : 2u) ? from[other * 4 + k] : 0);
      }
    same(r, ok, how);
  }
}

// Two warps hand a value over through an mbarrier, by state and by parity; then a bulk copy
// completes on one.
PTX_TEST(mbarriers) {
  Buffer out(64 * 4);
  const std::string by_state =
      R"(.shared .align 8 .b64 bar; .shared .align 4 .b32 s[64]; .reg .b64 %o, %q, %st;
      .reg .b32 %t, %d, %v; .reg .pred %p;
    ld.param.u64 %o, [p0]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 4; add.u64 %o, %o, %q;
      setp.eq.u32 %p, %t, 0; mov.u32 %d, bar;
    @%p mbarrier.init.shared::cta.b64 [%d], 64; bar.sync 0; mov.u32 %v, s; mad.lo.u32 %v, %t, 4,
      %v; st.shared.u32 [%v], %t;
    mbarrier.arrive.shared.b64 %st, [%d]; L: WAIT @!%p bra L; mov.u32 %v, s; mad.lo.u32 %v,
      %t, -4, %v; ld.shared.u32 %v, [%v+252]; st.global.u32 [%o], %v;)";
  for (std::string wait : {"mbarrier.test_wait.shared.b64 %p, [%d], %st;",
                           "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p, [%d], 0;"}) {
    std::string body = by_state;
    body.replace(body.find("WAIT"), 4, wait);
    for (auto order : {ptx::Order::forward, ptx::Order::reverse, ptx::Order::random}) {
      auto config = shape(1, 64);
      config.order = order;
      auto r = run(kernel_text(body), config, out.address);
      auto got = out.get<uint32_t>();
      bool ok = true;
      for (uint32_t t = 0; t < 64; ++t) ok &= got[t] == 63 - t;
      same(r, ok, wait);
    }
  }
  std::vector<uint32_t> from(64);
  for (uint32_t k = 0; k < 64; ++k) from[k] = k * k;
  Buffer in(from);
  const std::string bulk =
      R"(.shared .align 8 .b64 bar; .shared .align 16 .b8 s[256]; .reg .b64 %o, %q, %a;
      .reg .b32 %t, %d, %v; .reg .pred %p, %w;
    ld.param.u64 %o, [p0]; ld.param.u64 %a, [p1]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 4;
      add.u64 %o, %o, %q; setp.eq.u32 %p, %t, 0; mov.u32 %d, bar; mov.u32 %v, s;
    @%p mbarrier.init.shared::cta.b64 [%d], 1; fence.proxy.async.shared::cta; bar.sync 0;
      @!%p bra L;
    mbarrier.arrive.expect_tx.shared::cta.b64 _, [%d], 256;
      cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%v], [%a], 256, [%d];
    L: mbarrier.try_wait.parity.shared::cta.b64 %w, [%d], 0; @!%w bra L; mad.lo.u32 %v, %t, 4, %v;
      ld.shared.u32 %v, [%v]; st.global.u32 [%o], %v;)";
  auto r = run(kernel_text(bulk), shape(1, 64), out.address, in.address);
  same(r, out.get<uint32_t>() == from, "bulk copy");
}

// Threads of a cluster read each other's shared memory.
PTX_TEST(clusters) {
  Buffer out(4 * 32 * 4);
  const std::string text =
      ".version 9.0\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 p0, .param "
      ".u64 p1, "
      ".param .u64 p2, .param .u32 n) .reqnctapercluster 2 {"
      R"(
    .shared .align 4 .b32 s[32]; .reg .b64 %o, %q; .reg .b32 %t, %d, %v, %r, %c; ld.param.u64 %o,
      [p0]; mov.u32 %t, %tid.x; mov.u32 %c, %ctaid.x; mad.lo.u32 %v, %c, 32, %t;
    mul.wide.u32 %q, %v, 4; add.u64 %o, %o, %q; mov.u32 %d, s; mad.lo.u32 %d, %t, 4, %d;
      st.shared.u32 [%d], %v; barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;
    mov.u32 %r, %cluster_ctarank; xor.b32 %r, %r, 1; mapa.shared::cluster.u32 %v, %d, %r;
      ld.shared::cluster.u32 %v, [%v]; st.global.u32 [%o], %v;
    barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned; ret; })";
  auto r = run(text, shape(4, 32), out.address);
  auto got = out.get<uint32_t>();
  bool ok = true;
  for (uint32_t k = 0; k < 128; ++k) ok &= got[k] == (k ^ 32);
  same(r, ok, "distributed shared memory");
}
