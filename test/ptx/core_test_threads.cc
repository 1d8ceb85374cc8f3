// Races between threads of one block on global memory, and what a warp's accesses count as.
#include "core_test.h"

using namespace test;
using ptx::FaultKind;

namespace {

// %t thread, %l its lane, %a the buffer, %o = %a + 4 t, %n = %a + 4 ((t + 1) % 64).
std::string kernel(const std::string& body) {
  return kernel_text(
      R"(.shared .align 128 .b8 s[16384]; .reg .b64 %o, %n, %q, %a; .reg .b32 %t, %l, %s, %v, %w,
      %x<4>; .reg .pred %p, %e;
    ld.param.u64 %a, [p0]; mov.u32 %t, %tid.x; and.b32 %l, %t, 31; mul.wide.u32 %q, %t, 4;
    add.u64 %o, %a, %q; add.u32 %w, %t, 1; and.b32 %w, %w, 63; mul.wide.u32 %q, %w, 4;
    add.u64 %n, %a, %q; mov.u32 %s, s; )" +
      body);
}

void check(const char* name, const std::string& body, FaultKind kind) {
  for (auto order : {ptx::Order::forward, ptx::Order::reverse}) {
    Buffer words(std::vector<uint32_t>(256, 5));
    auto config = shape(2, 64);
    config.order = order;
    // Each block has words of its own.
    expect_fault(name,
                 kernel("mov.u32 %v, %ctaid.x; mul.wide.u32 %q, %v, 512; add.u64 %a, %a, %q; "
                        "add.u64 %o, %o, %q; add.u64 %n, %n, %q; " +
                        body),
                 config, kind, words.address);
  }
}

}  // namespace

PTX_TEST(races_of_threads) {
  check("reads a neighbour's word", "st.global.u32 [%o], %t; ld.global.u32 %v, [%n];",
        FaultKind::race);
  check("after a barrier", "st.global.u32 [%o], %t; bar.sync 0; ld.global.u32 %v, [%n];",
        FaultKind::none);
  check("reads its own word", "st.global.u32 [%o], %t; ld.global.u32 %v, [%o];", FaultKind::none);
  check("overwrites what a neighbour reads",
        "ld.global.u32 %v, [%n]; add.u32 %v, %v, %t; st.global.u32 [%o], %v;", FaultKind::race);
  check("overwrites it after a barrier",
        "ld.global.u32 %v, [%n]; bar.sync 0; add.u32 %v, %v, %t; st.global.u32 [%o], %v;",
        FaultKind::none);
  check("all write one word", "st.global.u32 [%a], %t;", FaultKind::race);
  check("all write one value", "st.global.u32 [%a], 77;", FaultKind::none);
  check("all add to one word", "red.global.add.u32 [%a], %t;", FaultKind::none);
  check("one reads what all add to",
        "red.global.add.u32 [%a], 1; setp.eq.u32 %p, %t, 3; @%p ld.global.u32 %v, [%a];",
        FaultKind::race);
  check("one reads it after a barrier",
        "red.global.add.u32 [%a], 1; bar.sync 0; setp.eq.u32 %p, %t, 3; @%p ld.global.u32 %v, "
        "[%a];",
        FaultKind::none);
  const std::string swaps = "add.s64 %q, %a, 8; L: add.u32 %w, %v, 1; "
      "atom.global.cas.b32 %x0, [%q], %v, %w; setp.ne.u32 %p, %x0, %v; mov.u32 %v, %x0; @%p bra L;";
  auto seeded = [&](const char* load) { return load + swaps; };
  check("a loop of swaps begins with a plain load", seeded("ld.global.u32 %v, [%a+8]; "),
        FaultKind::none);
  check("a plain load of half of it", seeded("ld.global.u16 %v, [%a+10]; "), FaultKind::race);
  // Lane 0 of each warp writes for its warp.
  const std::string head =
      "sub.u32 %w, %t, %l; mul.wide.u32 %q, %w, 4; add.u64 %q, %a, %q; setp.eq.u32 %p, %l, 0; "
      "@%p st.global.u32 [%q], %w; ";
  check("a lane for its warp", head + "ld.global.u32 %v, [%q];", FaultKind::race);
  check("a lane for its warp, synchronised", head + "bar.warp.sync -1; ld.global.u32 %v, [%q];",
        FaultKind::none);
  check("a lane for another warp, synchronised with its own",
        head +
            "bar.warp.sync -1; xor.b32 %w, %w, 32; mul.wide.u32 %q, %w, 4; add.u64 %q, %a, %q; "
            "ld.global.u32 %v, [%q];",
        FaultKind::race);
  // A lock's holders take turns: right with fences on both sides, wrong without.
  const std::string lock =
      R"(LOOP: atom.global.cas.b32 %v, [%a+256], 5, 1; setp.ne.u32 %p, %v, 5; @%p bra LOOP; FENCE
      ld.global.u32 %w, [%a]; add.u32 %w, %w, 1; st.global.u32 [%a], %w; FENCE
      atom.global.exch.b32 %v, [%a+256], 5;)";
  auto with = [&](const std::string& fence) {
    std::string body = lock;
    for (size_t at; (at = body.find("FENCE")) != std::string::npos;) body.replace(at, 5, fence);
    return body;
  };
  check("a lock with fences", with("membar.gl;"), FaultKind::none);
  check("a lock without fences", with(""), FaultKind::race);
}

// One warp. The counts follow from the addresses: sectors are the 32-byte ones touched by a
// request, shared memory delivers 32 banks of 4 bytes a wavefront, accesses of 8 and 16 bytes go by
// half and quarter warps.
PTX_TEST(counts_of_a_warp) {
  Buffer words(std::vector<uint32_t>(8192, 5));
  struct Want {
    uint64_t requests, bytes, sectors, wavefronts, ideal;
  };
  auto go = [&](const char* name, const std::string& body, bool writes, Want want) {
    const auto c = run(kernel(body), shape(1, 32), words.address).counters;
    const auto& g = writes ? c.global_write : c.global_read;
    const bool right = g.requests == want.requests && g.bytes == want.bytes &&
                       g.sectors == want.sectors && c.shared_wavefronts == want.wavefronts &&
                       c.shared_ideal_wavefronts == want.ideal;
    report(right, name,
           std::to_string(g.requests) + " requests, " + std::to_string(g.bytes) + " bytes, " +
               std::to_string(g.sectors) + " sectors, " + std::to_string(c.shared_wavefronts) +
               " wavefronts, ideally " + std::to_string(c.shared_ideal_wavefronts));
  };
  const std::string by16 = "mul.wide.u32 %q, %t, 16; add.u64 %q, %a, %q; ",
                    shared16 = "mad.lo.u32 %s, %t, 16, %s; ",
                    row128 = "mad.lo.u32 %s, %t, 128, %s; ", v4 = "{%x0, %x1, %x2, %x3}";
  go("coalesced", "ld.global.u32 %v, [%o];", false, {1, 128, 4, 0, 0});
  go("off by a word", "ld.global.u32 %v, [%o+4];", false, {1, 128, 5, 0, 0});
  go("broadcast", "ld.global.u32 %v, [%a];", false, {1, 128, 1, 0, 0});
  go("a word a sector", "mul.wide.u32 %q, %t, 32; add.u64 %q, %a, %q; ld.global.u32 %v, [%q];",
     false, {1, 128, 32, 0, 0});
  go("16 bytes a lane, stored", by16 + "st.global.v4.u32 [%q], {%t, %t, %t, %t};", true,
     {1, 512, 16, 0, 0});
  go("half of the lanes", "setp.lt.u32 %p, %t, 16; @%p ld.global.u32 %v, [%o];", false,
     {1, 64, 2, 0, 0});
  go("an atomic is read", "atom.global.add.u32 %v, [%o], 1;", false, {1, 128, 4, 0, 0});
  go("an atomic is written", "atom.global.add.u32 %v, [%o], 1;", true, {1, 128, 4, 0, 0});
  // cp.async: 32 x 16 bytes, four quarter warps of shared memory.
  const std::string wait = " cp.async.wait_all;";
  go("cp.async", by16 + shared16 + "cp.async.cg.shared.global [%s], [%q], 16;" + wait, false,
     {1, 512, 16, 4, 4});
  go("cp.async of odd sizes: lane l asks for l % 4 * 4 bytes",
     by16 + shared16 +
         "and.b32 %w, %t, 3; shl.b32 %w, %w, 2; cp.async.cg.shared.global [%s], [%q], 16, %w;" +
         wait,
     false, {1, 192, 16, 4, 4});
  go("cp.async of nothing", by16 + shared16 + "cp.async.cg.shared.global [%s], [%q], 16, 0;" + wait,
     false, {0, 0, 0, 4, 4});
  go("cp.async to one bank group: rows of 128 bytes",
     by16 + row128 + "cp.async.cg.shared.global [%s], [%q], 16;" + wait, false,
     {1, 512, 16, 32, 4});
  const std::string fill =  // what is read below has been written: 4 quarter warps
      "mov.u32 %x0, 0; mov.u32 %x1, 0; mov.u32 %x2, 0; mov.u32 %x3, 0; st.shared.v4.u32 [%s], " +
      v4 + "; bar.sync 0; ";
  go("ld.shared.v4", shared16 + fill + "ld.shared.v4.u32 " + v4 + ", [%s];", false,
     {0, 0, 0, 8, 8});
  go("ld.shared.v2",
     shared16 + fill +
         "mov.u32 %s, s; mad.lo.u32 %s, %t, 8, %s; ld.shared.v2.u32 {%x0, %x1}, [%s];",
     false, {0, 0, 0, 6, 6});
  go("ld.shared, broadcast", shared16 + fill + "mov.u32 %s, s; ld.shared.u32 %x0, [%s];", false,
     {0, 0, 0, 5, 5});
  go("ld.shared, every second word",
     shared16 + fill + "mov.u32 %s, s; mad.lo.u32 %s, %t, 8, %s; ld.shared.u32 %x0, [%s];", false,
     {0, 0, 0, 6, 5});
  go("ldmatrix, rows together",
     shared16 + fill + "ldmatrix.sync.aligned.m8n8.x4.shared.b16 " + v4 + ", [%s];", false,
     {0, 0, 0, 8, 8});
  // Eight rows 128 bytes apart lie in the same four banks: eight wavefronts a matrix.
  go("ldmatrix, rows of 128 bytes",
     row128 + fill + "ldmatrix.sync.aligned.m8n8.x4.shared.b16 " + v4 + ", [%s];", false,
     {0, 0, 0, 64, 8});
  go("ldmatrix.x1", shared16 + fill + "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%x0}, [%s];",
     false, {0, 0, 0, 5, 5});
}
