// Every check fires on a planted bug and is silent on the repaired kernel and on a near miss.
#include "core_test.h"

using namespace test;
using ptx::FaultKind;

// One warp or block with %t, %o = p0 + 4 t, %s = address of s[t], s of 256 words.
static std::string block(const std::string& body) {
  return kernel_text(
      R"(.shared .align 16 .b32 s[256]; .reg .b64 %o, %q, %a, %b; .reg .b32 %t, %s, %v, %w, %x<4>;
      .reg .pred %p, %e;
    ld.param.u64 %a, [p0]; ld.param.u64 %b, [p1]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 4;
      add.u64 %o, %a, %q; mov.u32 %s, s; mad.lo.u32 %s, %t, 4, %s; )" +
      body);
}

PTX_TEST(check_bounds) {
  Buffer words(std::vector<uint32_t>(64, 5));
  auto go = [&](const char* name, const std::string& body, FaultKind kind) {
    expect_fault(name, block(body), shape(1, 64), kind, words.address, words.address);
  };
  go("read past the end", "ld.global.u32 %v, [%o+4];", FaultKind::out_of_bounds);
  go("read to the end", "ld.global.u32 %v, [%o];", FaultKind::none);
  go("read before the start", "ld.global.u32 %v, [%o+-4];", FaultKind::out_of_bounds);
  go("write past the end", "st.global.u32 [%o+4], %t;", FaultKind::out_of_bounds);
  go("guarded tail", "setp.lt.u32 %p, %t, 63; @%p ld.global.u32 %v, [%o+4];", FaultKind::none);
  go("atomic past the end", "atom.global.add.u32 %v, [%o+4], 1;", FaultKind::out_of_bounds);
  go("null pointer", "mov.u64 %q, 0; ld.global.u32 %v, [%q];", FaultKind::out_of_bounds);
  go("vector crosses the end",
     "mul.wide.u32 %q, %t, 4; add.u64 %q, %a, %q; ld.global.v2.u32 {%v, %w}, [%a+248]; "
     "ld.global.v4.u32 "
     "{%x0, %x1, %x2, %x3}, [%a+256];",
     FaultKind::out_of_bounds);
  go("misaligned vector", "ld.global.v4.u32 {%x0, %x1, %x2, %x3}, [%a+8];", FaultKind::misaligned);
  go("aligned vector", "ld.global.v4.u32 {%x0, %x1, %x2, %x3}, [%a+16];", FaultKind::none);
  go("misaligned word", "ld.global.u32 %v, [%a+2];", FaultKind::misaligned);
  go("shared out of bounds", "st.shared.u32 [%s+772], %t;", FaultKind::out_of_bounds);
  go("shared in bounds", "st.shared.u32 [%s+768], %t;", FaultKind::none);
  go("shared misaligned", "st.shared.v2.u32 [%s+4], {%t, %t};", FaultKind::misaligned);
  go("store to a parameter", "cvta.param.u64 %q, p0; st.u32 [%q], %t;", FaultKind::out_of_bounds);
  expect_fault(
      "local out of bounds",
      kernel_text(
          ".local .b8 l[16]; .reg .b32 %v; .reg .b64 %a; mov.u64 %a, l; ld.local.u32 %v, [%a+16];"),
      shape(1, 1), FaultKind::out_of_bounds);
  expect_fault("store to constants",
               kernel_text(".reg .b64 %a; mov.u64 %a, c; cvta.const.u64 %a, %a; st.u32 [%a], 1;",
                           ".const .u32 c = 1;"),
               shape(1, 1), FaultKind::out_of_bounds);
  uint64_t gone;
  {
    Buffer short_lived(std::vector<uint32_t>(64, 1));
    gone = short_lived.address;
  }
  expect_fault("use after free", block("ld.global.u32 %v, [%o];"), shape(1, 64), FaultKind::freed,
               gone);
}

PTX_TEST(check_unwritten) {
  Buffer fresh(256), half(256);
  memory().fill(half.address, 0, 1, 128);
  const std::string use = " setp.ne.u32 %p, %v, 0; @%p bra U; U:";
  expect_fault("unwritten global", block("ld.global.u32 %v, [%o];" + use), shape(1, 64),
               FaultKind::uninitialised, fresh.address);
  expect_fault("half written", block("ld.global.u32 %v, [%o];" + use), shape(1, 33),
               FaultKind::uninitialised, half.address);
  expect_fault("the written half", block("ld.global.u32 %v, [%o];" + use), shape(1, 32), FaultKind::none,
               half.address);
  expect_fault("written by the kernel", block("st.global.u32 [%o], %t; ld.global.u32 %v, [%o];" + use),
               shape(1, 64), FaultKind::none, fresh.address);
  // A struct { char; int; } and its copy: padding comes along with the word that it fills.
  Buffer padded(256);
  const std::string fields = "st.global.u8 [%a], %v; st.global.u32 [%a+4], %t; ";
  expect_fault("padding of a struct's copy",
               block("mov.u32 %v, 1; setp.eq.u32 %p, %t, 0; @!%p bra E; " + fields +
                     "ld.global.v2.u32 {%w, %v}, [%a]; st.shared.v2.u32 [%s], {%w, %v}; E:"),
               shape(1, 32), FaultKind::none, padded.address);
  expect_fault("a field that nothing has written",
               block("mov.u32 %v, 1; setp.eq.u32 %p, %t, 0; @!%p bra E; " + fields +
                     "ld.global.v2.u32 {%w, %v}, [%a+8]; E:" + use),
               shape(1, 32), FaultKind::uninitialised, padded.address);
  expect_fault("padding in shared memory",
               block("mov.u32 %v, 1; st.shared.u8 [%s], %v; ld.shared.u32 %v, [%s];"),
               shape(1, 32), FaultKind::none);
  Buffer again(256);
  expect_fault("atomic on unwritten", block("red.global.add.u32 [%a], 1;"), shape(1, 64),
               FaultKind::uninitialised, again.address);
  expect_fault("unwritten shared", block("ld.shared.u32 %v, [%s];" + use), shape(1, 64),
               FaultKind::uninitialised);
  expect_fault("written shared", block("st.shared.u32 [%s], %t; ld.shared.u32 %v, [%s];"),
               shape(1, 64), FaultKind::none);
  expect_fault("shared of the block before",
               block("mov.u32 %v, %ctaid.x; setp.eq.u32 %p, %v, 0; @%p st.shared.u32 [%s], %t; "
                     "ld.shared.u32 %v, [%s];" + use),
               shape(2, 32), FaultKind::uninitialised);
}

// What a register holds before its first write is nobody's promise: NaN, lest a zero hides it.
PTX_TEST(unwritten_registers) {
  Buffer out(std::vector<uint32_t>(4, 5));
  const std::string body =
      ".reg .f32 %f, %g; .reg .b64 %o, %l; .reg .pred %p; ld.param.u64 %o, [p0]; "
      "setp.eq.u64 %p, %o, 0; @%p mov.b64 %l, 0; @%p mov.f32 %g, 0f00000000; "
      "add.f32 %f, %g, 0f3F800000; st.global.f32 [%o], %f; st.global.u64 [%o+8], %l;";
  run(kernel_text(body), shape(1, 1), out.address);
  const auto words = out.get<uint32_t>();
  report(std::isnan(as_f32(words[0])), "a sum with an unwritten register is NaN");
  report(words[2] == ~0u && words[3] == ~0u, "an unwritten register is ones");
}

PTX_TEST(check_shared_races) {
  auto go = [&](const char* name, const std::string& body, FaultKind kind, uint32_t threads = 64) {
    for (auto order : {ptx::Order::forward, ptx::Order::reverse, ptx::Order::random}) {
      auto config = shape(1, threads);
      config.order = order;
      config.seed = 3;
      expect_fault(name, block(body), config, kind);
    }
  };
  const std::string swap = "xor.b32 %w, %s, 128; ";  // the other warp's word
  const std::string first = "st.shared.u32 [%s], %t; ";
  go("read of another warp's word, barrier",
     first + "bar.sync 0; " + swap + "ld.shared.u32 %v, [%w];", FaultKind::none);
  {
    auto config = shape(1, 64);  // without the barrier: either unwritten or racing, by schedule
    auto r = run(block(first + swap + "ld.shared.u32 %v, [%w]; st.shared.u32 [%s], %v;"), config, 0);
    report(r.fault.kind == FaultKind::race || r.fault.kind == FaultKind::uninitialised,
           "missing barrier", r.fault.message);
  }
  go("missing barrier after initialisation",
     first + "bar.sync 0; add.u32 %v, %t, 1; st.shared.u32 [%s], %v; " + swap +
         "ld.shared.u32 %v, [%w];",
     FaultKind::race);
  go("overwrites what another warp reads",
     first + "bar.sync 0; " + swap +
         "ld.shared.u32 %v, [%w]; add.u32 %v, %v, 1; st.shared.u32 [%s], %v;",
     FaultKind::race);
  go("barrier before the overwriting",
     first + "bar.sync 0; " + swap +
         "ld.shared.u32 %v, [%w]; bar.sync 0; add.u32 %v, %v, 1; st.shared.u32 [%s], %v;",
     FaultKind::none);
  const std::string next = "xor.b32 %w, %s, 4; ";  // the neighbouring lane's word
  go("missing __syncwarp", first + next + "ld.shared.u32 %v, [%w];", FaultKind::race, 32);
  go("__syncwarp", first + "bar.warp.sync -1; " + next + "ld.shared.u32 %v, [%w];", FaultKind::none,
     32);
  go("__syncwarp of the other lanes",
     first + "setp.lt.u32 %p, %t, 16; @%p bra L; bar.warp.sync 0xffff0000; L: " + next +
         "ld.shared.u32 %v, [%w];",
     FaultKind::race, 32);
  go("missing __syncwarp before overwriting",
     first + "bar.warp.sync -1; " + next +
         "ld.shared.u32 %v, [%w]; add.u32 %v, %v, 1; st.shared.u32 [%s], %v;",
     FaultKind::race, 32);
  go("all store one value", "mov.u32 %v, 7; mov.u32 %w, s; st.shared.u32 [%w], %v;",
     FaultKind::none);
  go("all store their own", "mov.u32 %w, s; st.shared.u32 [%w], %t;", FaultKind::race);
  go("atomics do not race",
     "setp.eq.u32 %p, %t, 0; mov.u32 %w, s; mov.u32 %v, 0; @%p st.shared.u32 [%w], %v; bar.sync 0; "
     "atom.shared.add.u32 %v, [%w], 1; bar.sync 0; ld.shared.u32 %v, [%w];",
     FaultKind::none);
  go("read beside atomics",
     "setp.eq.u32 %p, %t, 0; mov.u32 %w, s; mov.u32 %v, 0; @%p st.shared.u32 [%w], %v; bar.sync 0; "
     "atom.shared.add.u32 %v, [%w], 1; ld.shared.u32 %v, [%w];",
     FaultKind::race);
  go("compare and swap loop",
     R"(setp.eq.u32 %p, %t, 0; mov.u32 %w, s; mov.u32 %v, 0; @%p st.shared.u32 [%w], %v;
      bar.sync 0; ld.shared.u32 %v, [%w];
      L: add.u32 %x0, %v, 1; atom.shared.cas.b32 %x1, [%w], %v, %x0; setp.ne.u32 %p, %x1, %v;
      mov.u32 %v, %x1; @%p bra L;)",
     FaultKind::none);
  go("halves of a word",
     R"(.reg .b16 %h; .reg .b32 %y; mov.u32 %y, s; mad.lo.u32 %y, %t, 2, %y; cvt.u16.u32 %h, %t;
      st.shared.u16 [%y], %h; ld.shared.u16 %h, [%y];)",
     FaultKind::none);
  go("a neighbour's half",
     R"(.reg .b16 %h; .reg .b32 %y; mov.u32 %y, s; mad.lo.u32 %y, %t, 2, %y; cvt.u16.u32 %h, %t;
      st.shared.u16 [%y], %h; xor.b32 %y, %y, 2; ld.shared.u16 %h, [%y];)",
     FaultKind::race);
  go("named barrier of two warps", first + "bar.sync 2, 64; " + swap + "ld.shared.u32 %v, [%w];",
     FaultKind::none);
  go("several readers, one writer",
     "mov.u32 %w, s; setp.eq.u32 %p, %t, 0; @%p st.shared.u32 [%w], 1; bar.sync 0; ld.shared.u32 "
     "%v, [%w]; "
     "@%p st.shared.u32 [%w], 2;",
     FaultKind::race);
  go("several readers, barrier, one writer",
     "mov.u32 %w, s; setp.eq.u32 %p, %t, 0; @%p st.shared.u32 [%w], 1; bar.sync 0; ld.shared.u32 "
     "%v, [%w]; "
     "bar.sync 0; @%p st.shared.u32 [%w], 2;",
     FaultKind::none);
  go("flag with a fence",
     R"(setp.ge.u32 %p, %t, 32; mov.u32 %w, s; setp.eq.u32 %e, %t, 0;
      @%e st.shared.u32 [%w+512], 0; bar.sync 0; @%p bra C;
      setp.ne.u32 %p, %t, 0; @%p bra E; st.shared.u32 [%w], 5; fence.acq_rel.cta;
      st.volatile.shared.u32 [%w+512], 1; bra E;
      C: ld.volatile.shared.u32 %v, [%w+512]; setp.eq.u32 %p, %v, 0; @%p bra C; fence.acq_rel.cta;
      ld.shared.u32 %v, [%w]; E:)",
     FaultKind::none);
}

PTX_TEST(check_global_races) {
  auto go = [&](const char* name, const std::string& body, FaultKind kind, int threads = 1) {
    for (auto order : {ptx::Order::forward, ptx::Order::reverse}) {
      Buffer words(std::vector<uint32_t>(256, 5));
      auto config = shape(4, 32);
      config.order = order;
      config.threads = threads;
      expect_fault(
          name,
          block(
              "mov.u32 %w, %ctaid.x; mul.wide.u32 %q, %w, 128; add.u64 %q, %o, %q; mad.lo.u32 %v, "
              "%w, 100, %t;" +
              body),
          config, kind, words.address);
    }
  };
  go("blocks write their own words", "st.global.u32 [%q], %v;", FaultKind::none, 2);
  go("blocks write the same words", "st.global.u32 [%o], %v;", FaultKind::race);
  go("blocks write the same values", "st.global.u32 [%o], %t;", FaultKind::none);
  go("blocks add to the same words", "red.global.add.u32 [%o], %v;", FaultKind::none, 2);
  go("write beside atomics",
     "setp.eq.u32 %p, %w, 1; @%p st.global.u32 [%o], %v; @!%p red.global.add.u32 [%o], %v;",
     FaultKind::race);
  go("reads what another block writes",
     "setp.eq.u32 %p, %w, 1; @%p st.global.u32 [%o], %v; @!%p ld.global.u32 %x0, [%o];",
     FaultKind::race);
  go("all read the same", "ld.global.u32 %x0, [%o]; st.global.u32 [%q+512], %x0;", FaultKind::none);
  go("in place", "ld.global.u32 %x0, [%q]; add.u32 %x0, %x0, 1; st.global.u32 [%q], %x0;",
     FaultKind::none, 2);
  go("in place beside a neighbour", "ld.global.u32 %x0, [%q+4]; st.global.u32 [%q], %v;",
     FaultKind::race);
  // The last block to arrive reads what all others wrote: right with fences, wrong without.
  const std::string last =
      R"(st.global.u32 [%q], %v; FENCE bar.sync 0; mov.u32 %x1, s; setp.eq.u32 %p, %t, 0;
      @!%p bra W; atom.global.add.u32 %x0, [%a+960], 1; st.shared.u32 [%x1], %x0;
      W: bar.sync 0; ld.shared.u32 %x0, [%x1]; setp.ne.u32 %p, %x0, 8; @%p bra E;
      FENCE ld.global.u32 %v, [%o]; ld.global.u32 %v, [%o+128]; E:)";
  auto with = [&](const std::string& fence) {
    std::string body = last;
    for (size_t at; (at = body.find("FENCE")) != std::string::npos;) body.replace(at, 5, fence);
    return body;
  };
  go("last block with fences", with("membar.gl;"), FaultKind::none);
  go("last block without fences", with(""), FaultKind::race);
  // It may overwrite what they have read, though: their reads were over when they signalled.
  const std::string turn =
      R"(ld.global.u32 %x2, [%o]; bar.sync 0; setp.eq.u32 %p, %t, 0; mov.u32 %x1, s;
      @!%p bra W; SIGNAL st.shared.u32 [%x1], %x0;
      W: bar.sync 0; ld.shared.u32 %x0, [%x1]; setp.ne.u32 %p, %x0, 8; @%p bra E;
      st.global.u32 [%o], %v; E:)";
  auto by = [&](const std::string& signal) {
    std::string body = turn;
    return body.replace(body.find("SIGNAL"), 6, signal);
  };
  go("the last block overwrites what all have read",
     by("atom.relaxed.gpu.global.add.u32 %x0, [%a+960], 1;"), FaultKind::none);
  go("a block overwrites what all have read", by("add.u32 %x0, %w, 5;"), FaultKind::race);
}

PTX_TEST(check_barriers_and_lanes) {
  auto go = [&](const char* name, const std::string& body, FaultKind kind, uint32_t threads = 64) {
    expect_fault(name, block(body), shape(1, threads), kind);
  };
  go("barrier in a divergent branch",
     "setp.lt.u32 %p, %t, 20; @!%p bra L; bar.sync 0; L: add.u32 %v, %t, 1;",
     FaultKind::barrier_divergence);
  go("barrier skipped by a warp",
     "setp.lt.u32 %p, %t, 32; @!%p bra L; bar.sync 0; L: add.u32 %v, %t, 1;",
     FaultKind::barrier_divergence);
  go("early exit of part of a warp",
     "setp.lt.u32 %p, %t, 20; @!%p bra L; bar.sync 0; L:", FaultKind::barrier_divergence);
  go("early exit of a whole warp",
     "setp.lt.u32 %p, %t, 32; @!%p bra L; bar.sync 0; add.u32 %v, %t, 1; L:", FaultKind::none);
  go("barrier of all", "setp.lt.u32 %p, %t, 20; @!%p bra L; add.u32 %v, %t, 1; L: bar.sync 0;",
     FaultKind::none);
  go("different barriers",
     "setp.lt.u32 %p, %t, 32; @%p bra L; bar.sync 1; bra E; L: bar.sync 0; E: bar.sync 2;",
     FaultKind::barrier_divergence);
  go("count too large", "bar.sync 0, 128;", FaultKind::barrier_divergence);
  go("shuffle from an absent lane",
     "setp.lt.u32 %p, %t, 20; @!%p bra L; shfl.sync.down.b32 %v, %t, 1, 31, 0xfffff; L:",
     FaultKind::absent_lane, 32);
  go("shuffle within its lanes",
     "setp.lt.u32 %p, %t, 20; @!%p bra L; shfl.sync.idx.b32 %v, %t, 1, 31, 0xfffff; L:",
     FaultKind::none, 32);
  go("shuffle not naming oneself", "shfl.sync.idx.b32 %v, %t, 1, 31, 0xffff;",
     FaultKind::absent_lane, 32);
  go("shuffle whose lanes wait elsewhere",
     "setp.lt.u32 %p, %t, 20; @!%p bra L; shfl.sync.idx.b32 %v, %t, 1, 31, -1; bra E; L: "
     "vote.sync.ballot.b32 %v, %p, -1; E:",
     FaultKind::absent_lane, 32);
  go("exited lanes that nobody reads",
     "setp.lt.u32 %p, %t, 20; @!%p bra L; shfl.sync.idx.b32 %v, %t, 1, 31, -1; L:", FaultKind::none,
     32);
  go("mma without all lanes",
     "setp.lt.u32 %p, %t, 20; @!%p bra L; movmatrix.sync.aligned.m8n8.trans.b16 %v, %t; L:",
     FaultKind::absent_lane, 32);
  auto endless = shape(1, 32);
  endless.watchdog = 1000000;
  expect_fault("watchdog", kernel_text("L: bra L;"), endless, FaultKind::watchdog);
  go("trap", "setp.eq.u32 %p, %t, 5; @%p trap;", FaultKind::trap);
}

PTX_TEST(check_async) {
  Buffer words(std::vector<uint32_t>(256, 5));
  const std::string head = "cp.async.ca.shared.global [%s], [%o], 4; ";
  auto go = [&](const char* name, const std::string& body, FaultKind kind, uint32_t threads = 32) {
    expect_fault(name, block(body), shape(1, threads), kind, words.address);
  };
  go("read after the wait",
     head + "cp.async.commit_group; cp.async.wait_group 0; ld.shared.u32 %v, [%s];",
     FaultKind::none);
  go("read before the wait", head + "cp.async.commit_group; ld.shared.u32 %v, [%s];",
     FaultKind::async_unwaited);
  go("the wait allows one group",
     head + "cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %v, [%s];",
     FaultKind::async_unwaited);
  go("missing commit", head + "cp.async.wait_group 0; ld.shared.u32 %v, [%s];",
     FaultKind::async_unwaited);
  go("wait_all needs no commit", head + "cp.async.wait_all; ld.shared.u32 %v, [%s];",
     FaultKind::none);
  go("an older group may be read",
     head +
         "cp.async.commit_group; cp.async.ca.shared.global [%s+256], [%o], 4; "
         "cp.async.commit_group; "
         "cp.async.wait_group 1; ld.shared.u32 %v, [%s];",
     FaultKind::none);
  go("another warp's copy without a barrier",
     head + "cp.async.wait_all; xor.b32 %w, %s, 128; ld.shared.u32 %v, [%w]; st.global.u32 [%o], %v;",
     FaultKind::uninitialised, 64);
  go("another warp's copy after a barrier",
     head + "cp.async.wait_all; bar.sync 0; xor.b32 %w, %s, 128; ld.shared.u32 %v, [%w];",
     FaultKind::none, 64);
  go("copy over what others read",
     "st.shared.u32 [%s], 1; bar.sync 0; xor.b32 %w, %s, 128; ld.shared.u32 %v, [%w]; " + head +
         "cp.async.wait_all;",
     FaultKind::race, 64);
  go("misaligned copy", "cp.async.cg.shared.global [%s], [%o], 16;", FaultKind::misaligned);
}

PTX_TEST(check_launch_limits) {
  auto go = [&](const char* name, const std::string& text, const ptx::LaunchConfig& config,
                FaultKind kind) { expect_fault(name, text, config, kind); };
  const std::string plain = kernel_text("");
  go("1025 threads", plain, shape(1, 1025), FaultKind::invalid_launch);
  go("1024 threads", plain, shape(1, 1024), FaultKind::none);
  go("no blocks", plain, shape(0, 32), FaultKind::invalid_launch);
  go("too much shared memory", plain, shape(1, 32, 170000), FaultKind::invalid_launch);
  go("much shared memory", plain, shape(1, 32, 163840), FaultKind::none);
  const std::string bounds =
      ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p0, .param "
      ".u64 p1, "
      ".param .u64 p2, .param .u32 n) .maxntid 128 { ret; }";
  go("launch bounds", bounds, shape(1, 256), FaultKind::invalid_launch);
  go("within launch bounds", bounds, shape(1, 128), FaultKind::none);
}

// Counters whose values can be counted by hand.
PTX_TEST(counters) {
  Buffer words(std::vector<uint32_t>(4096, 1));
  auto counted = [&](const std::string& body, uint32_t blocks = 1) {
    return run(block(body), shape(blocks, 32), words.address).counters;
  };
  auto equal = [&](const char* name, uint64_t got, uint64_t want) {
    report(got == want, name,
           "expected " + std::to_string(want) + ", received " + std::to_string(got));
  };
  auto c = counted("ld.global.u32 %v, [%o]; st.global.u32 [%o], %v;");
  equal("coalesced sectors", c.global_read.sectors, 4);
  equal("coalesced bytes", c.global_read.bytes, 128);
  equal("unique bytes written", c.global_write.unique_bytes, 128);
  c = counted("mul.wide.u32 %q, %t, 128; add.u64 %q, %a, %q; ld.global.u32 %v, [%q];");
  equal("strided sectors", c.global_read.sectors, 32);
  c = counted("ld.global.u32 %v, [%a]; ld.global.u32 %v, [%a];");
  equal("broadcast sectors", c.global_read.sectors, 2);
  equal("broadcast unique bytes", c.global_read.unique_bytes, 4);
  c = counted("st.shared.u32 [%s], %t;");
  equal("conflict-free wavefronts", c.shared_wavefronts, 1);
  c = counted(
      "mov.u32 %w, s; and.b32 %x0, %t, 7; mad.lo.u32 %w, %x0, 128, %w; st.shared.u32 [%w], 3;");
  equal("stride of 32 words, 8 of them", c.shared_wavefronts, 8);
  c = counted(
      "mov.u32 %w, s; and.b32 %x0, %t, 15; mad.lo.u32 %w, %x0, 8, %w; st.shared.u32 [%w], 3;");
  equal("stride of two words", c.shared_wavefronts, 1);
  c = counted(
      "mov.u32 %w, s; and.b32 %x0, %t, 7; mad.lo.u32 %w, %x0, 16, %w; st.shared.v4.u32 [%w], {3, "
      "3, 3, 3};");
  equal("16 bytes a lane", c.shared_wavefronts, 4);
  c = counted(
      "setp.lt.u32 %p, %t, 8; @%p bra L; add.f32 %v, %t, %t; L: fma.rn.f32 %v, %t, %t, %t;");
  equal("flops", c.float32_flops, 24 + 64);
  equal("divergent branches", c.divergent_branches, 1);
  c = counted("max.f32 %v, %t, %t; ex2.approx.f32 %v, %v; neg.f32 %v, %v;");
  equal("no flops", c.float32_flops, 0);
  c = counted("bar.sync 0; bar.sync 0;", 3);
  equal("barriers", c.barriers, 6);
  equal("barrier class", c.warp_instructions[size_t(ptx::Class::barrier)], 6);
}
