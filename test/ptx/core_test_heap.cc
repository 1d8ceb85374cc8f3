// What kernels get from the system: memory of malloc, and the shared memory reserved for it.
#include "core_test.h"

using namespace test;
using ptx::FaultKind;

namespace {

const char* const heap = R"(.extern .func (.param .b64 out) malloc(.param .b64 in);
.extern .func free(.param .b64 in);
)";

// %t thread, %o = p0 + 8 t; MALLOC bytes into %a, FREE %a.
std::string kernel(std::string body) {
  auto replace = [&](const std::string& word, const std::string& by) {
    for (size_t at; (at = body.find(word)) != std::string::npos;) body.replace(at, word.size(), by);
  };
  replace("MALLOC", R"({ .param .b64 x, y; st.param.b64 [x], %n; call.uni (y), malloc, (x);
    ld.param.b64 %a, [y]; })");
  replace("FREE", "{ .param .b64 x; st.param.b64 [x], %a; call.uni free, (x); }");
  return kernel_text(R"(.reg .b64 %o, %q, %a, %n; .reg .b32 %t, %v; .reg .pred %p;
    ld.param.u64 %o, [p0]; mov.u32 %t, %tid.x; mul.wide.u32 %q, %t, 8; add.u64 %o, %o, %q;
    mov.u64 %n, 64; )" + body,
                     heap);
}

}  // namespace

PTX_TEST(heap_of_kernels) {
  Buffer out(std::vector<uint64_t>(64, 0));
  auto go = [&](const char* name, const std::string& body, FaultKind kind) {
    expect_fault(name, kernel(body), shape(1, 64), kind, out.address);
  };
  go("malloc, use, free", "MALLOC st.u32 [%a+60], %t; ld.u32 %v, [%a+60]; FREE", FaultKind::none);
  go("past the end", "MALLOC st.u32 [%a+64], %t;", FaultKind::out_of_bounds);
  go("read before any write", "MALLOC ld.u32 %v, [%a]; st.u32 [%a], %v;", FaultKind::uninitialised);
  go("use after free", "MALLOC st.u32 [%a], %t; FREE ld.u32 %v, [%a];", FaultKind::freed);
  go("free twice", "MALLOC FREE FREE", FaultKind::freed);
  go("free of null", "mov.u64 %a, 0; FREE", FaultKind::none);
  go("free of other memory", "mov.u64 %a, %o; FREE", FaultKind::out_of_bounds);
  go("free inside", "MALLOC add.u64 %a, %a, 16; FREE", FaultKind::out_of_bounds);
  // More is asked than fits: null, and nothing else is wrong. What was freed fits again.
  go("null when the heap is full",
     "mov.u64 %n, 0x100000000; MALLOC setp.ne.u64 %p, %a, 0; @%p trap;", FaultKind::none);
  go("freed memory is handed out again",
     R"(mov.u64 %n, 100000; mov.u32 %v, 0;
     L: MALLOC setp.eq.u64 %p, %a, 0; @%p trap; st.u32 [%a], %t; FREE
     add.u32 %v, %v, 1; setp.lt.u32 %p, %v, 20; @%p bra L;)",
     FaultKind::none);
}

// One kernel's memory is another's to read and free; the host may not free it.
PTX_TEST(heap_between_launches) {
  Buffer out(std::vector<uint64_t>(64, 0));
  auto made = run(kernel("MALLOC st.u32 [%a], %t; st.global.u64 [%o], %a;"), shape(1, 64),
                  out.address);
  const auto addresses = out.get<uint64_t>();
  report(made.ok() && !memory().release(addresses[5]), "the host does not free it",
         made.fault.message);
  auto read = run(kernel(R"(ld.global.u64 %a, [%o]; ld.u32 %v, [%a]; setp.ne.u32 %p, %v, %t;
    @%p trap; FREE)"),
                  shape(1, 64), out.address);
  report(read.ok(), "a later launch reads and frees it", read.fault.message);
}

// 1 KB behind what the kernel has, zero at first; the manual: %reserved_smem_offset_*. It does not
// count in %total_smem_size: 20 bytes of static memory, dynamic memory from 32 on.
PTX_TEST(reserved_shared_memory) {
  Buffer out(std::vector<uint32_t>(4, 0));
  auto r = run(kernel_text(R"(.shared .align 4 .b8 s[20]; .reg .b64 %o; .reg .b32 %a, %b, %c, %d;
    ld.param.u64 %o, [p0]; mov.u32 %a, %reserved_smem_offset_1; ld.shared.u32 %b, [%a+32];
    red.shared.add.u32 [%a], 7; red.shared.add.u32 [%a], %b;
    mov.u32 %b, %reserved_smem_offset_end; st.shared.u32 [%b+-4], 8; ld.shared.u32 %c, [%a];
    mov.u32 %d, %total_smem_size; st.global.v4.u32 [%o], {%a, %b, %c, %d};)"),
               shape(1, 1, 100), out.address);
  const auto got = out.get<uint32_t>();
  report(r.ok() && got[0] >= 132 && got[1] == got[0] + 1024 && got[2] == 7 && got[3] == 132,
         "reserved shared memory", r.fault.message);
  expect_fault("past the reserved part",
               kernel_text(R"(.reg .b32 %b; mov.u32 %b, %reserved_smem_offset_end;
    st.shared.u32 [%b], 8;)"),
               shape(1, 1), FaultKind::out_of_bounds);
}
