// Kernels in PTX text, for tests that need no compiler.
#pragma once
#include "driver_client.h"

namespace driver_test {

using namespace client;

// add(p, value, n): p[i] += value. scale(p, factor, n): p[i] *= factor, in unsigned arithmetic; the two do
// not commute. reach(p, n): thread i reads p[i] with no bounds test. stop(): trap. tile(p): dynamic shared
// memory, p[i] = i reversed. pair(p, a, b): p[0] = a (8 bytes), p[8] = b (4 bytes), for argument layout.
inline const char* const kernels = R"(
.version 7.0
.target sm_75
.address_size 64
.global .align 4 .u32 counter = 7;
.global .align 8 .b8 table[24];
.extern .shared .align 4 .b8 dynamic[];
.visible .entry add(.param .u64 p, .param .u32 value, .param .u32 n)
{
  .reg .pred %p<2>; .reg .b32 %r<8>; .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [p]; ld.param.u32 %r1, [value]; ld.param.u32 %r2, [n];
  mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x;
  mad.lo.s32 %r6, %r3, %r4, %r5;
  setp.ge.u32 %p1, %r6, %r2;
  @%p1 bra DONE;
  cvta.to.global.u64 %rd2, %rd1;
  mul.wide.u32 %rd3, %r6, 4;
  add.s64 %rd4, %rd2, %rd3;
  ld.global.u32 %r7, [%rd4];
  add.s32 %r7, %r7, %r1;
  st.global.u32 [%rd4], %r7;
DONE:
  ret;
}
.visible .entry scale(.param .u64 p, .param .u32 factor, .param .u32 n)
{
  .reg .pred %p<2>; .reg .b32 %r<8>; .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [p]; ld.param.u32 %r1, [factor]; ld.param.u32 %r2, [n];
  mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x;
  mad.lo.s32 %r6, %r3, %r4, %r5;
  setp.ge.u32 %p1, %r6, %r2;
  @%p1 bra DONE;
  cvta.to.global.u64 %rd2, %rd1;
  mul.wide.u32 %rd3, %r6, 4;
  add.s64 %rd4, %rd2, %rd3;
  ld.global.u32 %r7, [%rd4];
  mul.lo.s32 %r7, %r7, %r1;
  st.global.u32 [%rd4], %r7;
DONE:
  ret;
}
.visible .entry reach(.param .u64 p, .param .u64 out)
{
  .reg .b32 %r<4>; .reg .b64 %rd<7>;
  ld.param.u64 %rd1, [p]; ld.param.u64 %rd5, [out];
  mov.u32 %r1, %tid.x;
  mul.wide.u32 %rd3, %r1, 4;
  cvta.to.global.u64 %rd2, %rd1;
  add.s64 %rd4, %rd2, %rd3;
  ld.global.u32 %r2, [%rd4];
  cvta.to.global.u64 %rd6, %rd5;
  add.s64 %rd6, %rd6, %rd3;
  st.global.u32 [%rd6], %r2;
  ret;
}
.visible .entry stop()
{
  trap;
  ret;
}
.visible .entry tile(.param .u64 p)
{
  .reg .b32 %r<8>; .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [p];
  mov.u32 %r1, %tid.x; mov.u32 %r2, %ntid.x;
  mov.u32 %r3, dynamic;
  shl.b32 %r4, %r1, 2;
  add.s32 %r4, %r3, %r4;
  st.shared.u32 [%r4], %r1;
  bar.sync 0;
  sub.s32 %r5, %r2, %r1;
  sub.s32 %r5, %r5, 1;
  shl.b32 %r5, %r5, 2;
  add.s32 %r5, %r3, %r5;
  ld.shared.u32 %r6, [%r5];
  cvta.to.global.u64 %rd2, %rd1;
  mul.wide.u32 %rd3, %r1, 4;
  add.s64 %rd4, %rd2, %rd3;
  st.global.u32 [%rd4], %r6;
  ret;
}
.visible .entry pair(.param .u64 p, .param .u8 a, .param .f64 b)
{
  .reg .b16 %h<2>; .reg .f64 %fd<2>; .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [p]; ld.param.u8 %h1, [a]; ld.param.f64 %fd1, [b];
  cvta.to.global.u64 %rd2, %rd1;
  st.global.u8 [%rd2], %h1;
  st.global.f64 [%rd2+8], %fd1;
  ret;
}
)";

inline CUmodule load(const char* text = kernels) {
  CUmodule module = nullptr;
  OK(CU(cuModuleLoadData)(&module, text));
  return module;
}

}  // namespace driver_test
