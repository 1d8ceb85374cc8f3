// Clusters: races on the shared memory of another block, the two halves of barrier.cluster.
#include "core_test.h"

using namespace test;
using ptx::FaultKind;

namespace {

// Two blocks of 64 threads. %t thread, %r own rank, %e the other's, %s address of s[t], %o of the
// same word in the other block, %n of its next word, %m of a remote counter; SYNC is both halves.
std::string kernel(std::string body) {
  for (size_t at; (at = body.find("SYNC")) != std::string::npos;)
    body.replace(at, 4, "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;");
  return R"(.version 9.0 .target sm_90 .address_size 64
  .visible .entry k(.param .u64 p0, .param .u64 p1, .param .u64 p2, .param .u32 n)
  .reqnctapercluster 2 { .shared .align 8 .b8 s[256]; .shared .align 8 .b64 bar;
  .reg .b32 %t, %r, %e, %s, %o, %n, %m, %b, %c, %v, %w; .reg .b64 %q; .reg .pred %p, %z;
  mov.u32 %t, %tid.x; mov.u32 %r, %cluster_ctarank; xor.b32 %e, %r, 1; mov.u32 %s, s;
  mapa.shared::cluster.u32 %m, %s, %e; mov.u32 %b, bar; mapa.shared::cluster.u32 %c, %b, %e;
  mad.lo.u32 %s, %t, 4, %s; mapa.shared::cluster.u32 %o, %s, %e; add.u32 %n, %t, 1;
  and.b32 %n, %n, 63; mad.lo.u32 %n, %n, 4, %m; setp.eq.u32 %z, %t, 0; )" +
         body + " ret; }";
}

void check(const char* name, const std::string& body, FaultKind kind) {
  for (auto order : {ptx::Order::forward, ptx::Order::reverse, ptx::Order::random}) {
    auto config = shape(4, 64);
    config.order = order;
    expect_fault(name, kernel(body), config, kind);
  }
}

}  // namespace

PTX_TEST(races_in_clusters) {
  const std::string first = "st.shared.u32 [%s], %t; SYNC ", last = " SYNC";
  const auto race = FaultKind::race, none = FaultKind::none;
  check("reads what the other block overwrites",
        first + "add.u32 %v, %t, 7; st.shared.u32 [%s], %v; ld.shared::cluster.u32 %v, "
                "[%o];" + last,
        race);
  check("the cluster's barrier between",
        first + "add.u32 %v, %t, 7; st.shared.u32 [%s], %v; SYNC ld.shared::cluster.u32 %v, "
                "[%o];" + last,
        none);
  check("a barrier of the block alone",
        first + "add.u32 %v, %t, 7; st.shared.u32 [%s], %v; bar.sync 0; ld.shared::cluster.u32 %v, "
                "[%o];" + last,
        race);
  check("both read", first + "ld.shared.u32 %v, [%s]; ld.shared::cluster.u32 %v, [%o];" + last,
        none);
  check("writes the other's word while it reads its own",
        first + "add.u32 %v, %t, 7; ld.shared.u32 %w, [%s]; st.shared::cluster.u32 [%n], "
                "%v;" + last,
        race);
  check("the barrier between", 
        first + "add.u32 %v, %t, 7; ld.shared.u32 %w, [%s]; SYNC st.shared::cluster.u32 [%n], %v;" +
            last + "ld.shared.u32 %w, [%s];",
        none);
  check("reads its own after the other wrote it",
        first + "add.u32 %v, %t, 7; st.shared::cluster.u32 [%o], %v; ld.shared.u32 %w, [%s];" +
            last,
        race);
  check("several add to the other's counter",
        "@%z st.shared.u32 [%s], 0; SYNC red.shared::cluster.add.u32 [%m], %t; SYNC "
        "mov.u32 %v, s; ld.shared.u32 %w, [%v]; setp.ne.u32 %p, %w, 2016; @%p trap;",
        none);
  check("reads a counter that others add to",
        "@%z st.shared.u32 [%s], 0; SYNC red.shared::cluster.add.u32 [%m], %t; "
        "mov.u32 %v, s; ld.shared.u32 %w, [%v];" + last,
        race);
  // The reader's mbarrier counts the writers of the other block.
  const std::string init = "@%z mbarrier.init.shared.b64 [%b], 64; SYNC ";
  const std::string send = "st.shared::cluster.u32 [%o], %t; "
                           "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%c]; ";
  const std::string wait =
      "L: mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p, [%b], 0; @!%p bra L; ";
  const std::string other = "xor.b32 %v, %s, 128; ld.shared.u32 %w, [%v];";
  check("an mbarrier between", init + send + wait + other + last, none);
  check("no wait at the mbarrier",
        first + init + "add.u32 %t, %t, 1; " + send + other + last, race);
}

// The halves of the barrier may stand apart, with the block's own barrier between them; what is
// done between them is not ordered.
PTX_TEST(cluster_barrier_halves) {
  const std::string arrive = "barrier.cluster.arrive.aligned; ",
                    wait = "barrier.cluster.wait.aligned; ", first = "st.shared.u32 [%s], %t; ";
  check("a block's barrier between the halves",
        first + arrive + "bar.sync 0; " + wait + "ld.shared::cluster.u32 %v, [%o]; SYNC",
        FaultKind::none);
  check("its own reads between the halves",
        first + arrive + "ld.shared.u32 %w, [%s]; bar.sync 0; " + wait +
            "ld.shared::cluster.u32 %v, [%o]; SYNC",
        FaultKind::none);
  check("a write after the arrival",
        first + "SYNC " + arrive + "add.u32 %v, %t, 3; st.shared.u32 [%s], %v; " + wait +
            "ld.shared::cluster.u32 %v, [%o]; SYNC",
        FaultKind::race);
  check("arrives twice", arrive + arrive + wait, FaultKind::barrier_divergence);
  check("waits without arriving", wait, FaultKind::barrier_divergence);
}
