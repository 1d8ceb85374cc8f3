// Forms by which compilers and libraries synchronise, and others that no test runs otherwise.
#include "core_test.h"

using namespace test;

namespace {

const char* const start = R"(.reg .b64 %a, %b, %o, %q, %s; .reg .b32 %t, %v, %w; .reg .pred %p;
  ld.param.u64 %a, [p0]; ld.param.u64 %b, [p1]; cvta.to.global.u64 %a, %a; mov.u32 %t, %tid.x;
  mul.wide.u32 %q, %t, 4; add.u64 %o, %b, %q;
)";

}  // namespace

PTX_TEST(flags_between_blocks) {
  // Block 0 publishes 64 words; block 1 waits for the flag and passes them on. 32 lanes, two each.
  for (const char* type : {"u32", "b32"}) {
    Buffer words(std::vector<uint32_t>(65, 0)), out(std::vector<uint32_t>(64, 0));
    auto config = shape(2, 32);
    config.order = ptx::Order::reverse;
    const auto r = run(kernel_text(std::string(start) + R"(mov.u32 %v, %ctaid.x;
      setp.ne.u32 %p, %v, 0; add.u64 %q, %a, %q; @%p bra READER;
      st.global.u32 [%q], %t; st.global.u32 [%q+128], 7; bar.sync 0;
      setp.ne.u32 %p, %t, 0; @%p bra END; st.release.gpu.b32 [%a+256], 1; bra.uni END;
    READER: ld.acquire.gpu.)" + type +
                                   R"( %v, [%a+256]; setp.eq.u32 %p, %v, 0; @%p bra READER;
      ld.global.u32 %v, [%q]; st.global.u32 [%o], %v; ld.global.u32 %v, [%q+128];
      st.global.u32 [%o+128], %v; END:)"),
                       config, words.address, out.address);
    const auto got = out.get<uint32_t>();
    report(r.ok() && got[31] == 31 && got[63] == 7, std::string("st.release, ld.acquire.") + type,
           r.fault.message);
  }
  // Atomics with an order: 64 lanes add to each.
  Buffer sums(std::vector<uint32_t>(2, 0)), out(std::vector<uint32_t>(64, 0));
  const auto r = run(kernel_text(std::string(start) + "atom.add.release.gpu.u32 %v, [%a], 3; "
                                                      "atom.add.relaxed.gpu.s32 %v, [%a+4], -1;"),
                     shape(2, 32), sums.address, out.address);
  const auto got = sums.get<uint32_t>();
  report(r.ok() && got[0] == 192 && got[1] == uint32_t(-64), "atom.add.release, .relaxed",
         r.fault.message);
}

// One lane exchanges, all 32 lower the other word to the least of 2^40 + 5 - lane.
PTX_TEST(atomics_of_64_bits) {
  Buffer words(std::vector<uint64_t>{7, ~uint64_t(0)}), out(std::vector<uint64_t>(1, 0));
  const auto r = run(kernel_text(std::string(start) + R"(.reg .b64 %x, %y;
      cvt.u64.u32 %x, %t; sub.u64 %x, 0x10000000005, %x; atom.global.min.u64 %y, [%a+8], %x;
      setp.eq.u32 %p, %t, 3; @%p atom.global.exch.b64 %y, [%a], %x; @%p st.global.u64 [%b], %y;)"),
                     shape(1, 32), words.address, out.address);
  const auto got = words.get<uint64_t>();
  report(r.ok() && got[0] == 0x10000000002 && got[1] == 0xFFFFFFFFE6 && out.get<uint64_t>()[0] == 7,
         "atom.global.exch.b64, min.u64", r.fault.message);
}

PTX_TEST(copies_that_arrive) {
  // 32 arrivals and the copies of as many lanes complete the barrier; then a neighbour's word may
  // be read. cp.async.mbarrier.arrive raises the count that it lowers once its copies have landed.
  Buffer words(std::vector<uint32_t>(32, 0)), out(std::vector<uint32_t>(32, 0));
  std::vector<uint32_t> in(32);
  for (uint32_t k = 0; k < 32; ++k) in[k] = 100 + k;
  memory().write(words.address, in.data(), 128);
  const std::string copy = R"(.shared .align 8 .b64 bar; .shared .align 16 .b8 s[128]; .reg .b64 %e;
    .reg .b32 %d, %n, %r;
    setp.eq.u32 %p, %t, 0; mov.u32 %r, bar; @%p mbarrier.init.shared.b64 [%r], 32;
    bar.sync 0; mov.u32 %d, s; mad.lo.u32 %d, %t, 4, %d; add.u64 %q, %a, %q;
    cp.async.ca.shared.global [%d], [%q], 4; cp.async.mbarrier.arrive.shared.b64 [%r];
    mbarrier.arrive.shared::cta.b64 %e, [%r];
    WAIT: mbarrier.try_wait.shared.b64 %p, [%r], %e; @!%p bra WAIT;
    xor.b32 %n, %t, 1; mov.u32 %d, s; mad.lo.u32 %d, %n, 4, %d; ld.shared.u32 %v, [%d];
    st.global.u32 [%o], %v;)";
  const auto r =
      run(kernel_text(std::string(start) + copy), shape(1, 32), words.address, out.address);
  bool right = r.ok();
  const auto got = out.get<uint32_t>();
  for (uint32_t k = 0; k < 32; ++k) right &= got[k] == 100 + (k ^ 1);
  report(right, "cp.async.mbarrier.arrive", r.fault.message);
}

PTX_TEST(forms_of_libraries) {
  expect("shr.b32 is logical", "shr.b32 %d, %a, %b;", 32, integers(4),
         [](uint64_t a, uint64_t b, uint64_t) {
           const uint64_t by = uint32_t(b);
           return by > 31 ? 0 : uint64_t(uint32_t(a) >> by);
         });
  // .ftz: a subnormal float32 becomes a zero of its sign, as operand and as result.
  std::vector<Operands> numbers;
  for (auto& set : floats())
    if (!std::isnan(as_f32(set[0]))) numbers.push_back(set);
  expect("cvt.ftz.f64.f32", "cvt.ftz.f64.f32 %qd, %a;", 64, numbers,
         [](uint64_t a, uint64_t, uint64_t) {
           const float x = as_f32(a);
           return f64(std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0, double(x)) : x);
         });
  expect("cvt.rn.ftz.f32.f64", "cvt.rn.ftz.f32.f64 %d, %qa;", 32, doubles(),
         [](uint64_t a, uint64_t, uint64_t) {
           const float x = float(as_f64(a));
           if (std::isnan(x)) return uint64_t(0x7fffffff);
           return f32(std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.f, x) : x);
         });
  std::vector<Operands> angles;  // the manual bounds the error within [-pi, pi] by 2^-20.5
  for (int k = -100; k <= 100; ++k) angles.push_back({f32(float(k) * 0.0314f), 0, 0});
  expect_near("cos.approx.ftz.f32", "cos.approx.ftz.f32 %d, %a;", angles, 0, 7e-7,
              [](float x, float) { return std::cos(double(x)); });
  Buffer in(std::vector<uint32_t>(1, 0x3f803f80)), out(std::vector<uint32_t>(32, 0));
  // 32 times (1, 2) added to (1, 1); the largest of the lanes' t - 40.
  const auto r = run(kernel_text(std::string(start) +
                                 "atom.add.noftz.bf16x2 %v, [%a], 0x40003f80; sub.s32 %w, %t, 40; "
                                 "redux.sync.max.s32 %w, %w, -1; st.global.u32 [%o], %w;"),
                     shape(1, 32), in.address, out.address);
  report(r.ok() && in.get<uint32_t>()[0] == 0x42824204 && out.get<uint32_t>()[5] == uint32_t(-9),
         "atom.add.noftz.bf16x2, redux.sync.max.s32", r.fault.message);
}

PTX_TEST(wmma_columns_of_halves) {
  // B by columns: element (k, n) at 16 n + k. A is the identity, so that D = B.
  std::vector<uint16_t> a(256, 0), b(256);
  for (int k = 0; k < 16; ++k) a[size_t(17 * k)] = 0x3c00;
  for (int k = 0; k < 256; ++k) b[size_t(k)] = uint16_t(0x3c00 + k);
  Buffer left(a), right(b), out(std::vector<float>(256, 0));
  std::string lists[2], zeros, sums;
  for (int k = 0; k < 8; ++k) {
    const std::string n = std::to_string(k), comma = k ? ", " : "";
    lists[0] += comma + "%x" + n;
    lists[1] += comma + "%y" + n;
    sums += comma + "%z" + n;
    zeros += "mov.b32 %z" + n + ", 0; ";
  }
  const auto r = run(
      kernel_text(".reg .b64 %a, %b, %o; .reg .b32 %x<8>, %y<8>, %z<8>; ld.param.u64 %a, [p0]; "
                  "ld.param.u64 %b, [p1]; ld.param.u64 %o, [p2]; " +
                  zeros + "wmma.load.a.sync.aligned.row.m16n16k16.global.f16 {" + lists[0] +
                  "}, [%a]; wmma.load.b.sync.aligned.col.m16n16k16.global.f16 {" + lists[1] +
                  "}, [%b]; wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 {" + sums + "}, {" +
                  lists[0] + "}, {" + lists[1] + "}, {" + sums +
                  "}; wmma.store.d.sync.aligned.row.m16n16k16.global.f32 [%o], {" + sums + "};"),
      shape(1, 32), left.address, right.address, out.address);
  bool same = r.ok();
  const auto got = out.get<float>();
  for (int k = 0; k < 16; ++k)
    for (int n = 0; n < 16; ++n)  // 0x3c00 + m is 1 + m / 1024
      same &= got[size_t(16 * k + n)] == 1 + float(16 * n + k) / 1024;
  report(same, "wmma.load.b.col.f16", r.fault.message);
}

PTX_TEST(wmma_of_doubles) {
  // 8 x 4 by 4 x 8 of small whole numbers: exact.
  std::vector<double> a(32), b(32);
  for (int k = 0; k < 32; ++k) a[size_t(k)] = k - 11, b[size_t(k)] = 5 - k % 7;
  Buffer left(a), right(b), out(std::vector<double>(64, 0));
  const auto r = run(kernel_text(R"(.reg .b64 %a, %b, %o, %x, %y, %z<2>; ld.param.u64 %a, [p0];
      ld.param.u64 %b, [p1]; ld.param.u64 %o, [p2]; mov.b64 %z0, 0; mov.b64 %z1, 0;
      wmma.load.a.sync.aligned.row.m8n8k4.global.f64 {%x}, [%a];
      wmma.load.b.sync.aligned.row.m8n8k4.global.f64 {%y}, [%b];
      wmma.mma.sync.aligned.row.row.m8n8k4.f64.f64.f64.f64.rn {%z0, %z1}, {%x}, {%y}, {%z0, %z1};
      wmma.store.d.sync.aligned.row.m8n8k4.global.f64 [%o], {%z0, %z1};)"),
                     shape(1, 32), left.address, right.address, out.address);
  bool same = r.ok();
  const auto got = out.get<double>();
  for (int m = 0; m < 8; ++m)
    for (int n = 0; n < 8; ++n) {
      double sum = 0;
      for (int k = 0; k < 4; ++k) sum += a[size_t(4 * m + k)] * b[size_t(8 * k + n)];
      same &= got[size_t(8 * m + n)] == sum;
    }
  report(same, "wmma of doubles", r.fault.message);
}
