// The core's tests: prints "N passed, N failed".
#include "core_test.h"
#include "fatbin.h"

#include <cstdlib>
#include <fstream>
#include <set>

namespace test {

int passed = 0, failed = 0;

void report(bool ok, const std::string& name, const std::string& detail) {
  ++(ok ? passed : failed);
  if (!ok) std::printf("FAIL %s: %s\n", name.c_str(), detail.c_str());
}

std::vector<Case>& cases() {
  static std::vector<Case> list;
  return list;
}

ptx::Memory& memory() {
  static ptx::Memory made(size_t(4) << 30);
  return made;
}

ptx::DeviceProfile device(int major, int minor) {
  ptx::DeviceProfile profile;
  profile.major = major;
  profile.minor = minor;
  return profile;
}

template <class Corners, class Draw>
static std::vector<Operands> cross(const Corners& corners, int count, Draw draw) {
  std::vector<Operands> out;
  for (size_t i = 0; i < corners.size(); ++i)
    for (size_t j = 0; j < corners.size(); ++j)
      out.push_back({corners[i], corners[j], corners[(i * 7 + j * 3) % corners.size()]});
  for (int k = 0; k < count; ++k) out.push_back({draw(), draw(), draw()});
  return out;
}

std::vector<Operands> integers(int bytes, int count) {
  const uint64_t top = uint64_t(1) << (8 * bytes - 1),
                 all = bytes == 8 ? ~uint64_t(0) : (uint64_t(1) << (8 * bytes)) - 1;
  const std::vector<uint64_t> corners = {0,
                                         1,
                                         2,
                                         3,
                                         7,
                                         8,
                                         15,
                                         16,
                                         31,
                                         32,
                                         33,
                                         63,
                                         64,
                                         100,
                                         255,
                                         256,
                                         top - 1,
                                         top,
                                         top + 1,
                                         all,
                                         all - 1,
                                         all - 7,
                                         0x5a5a5a5a5a5a5a5a & all};
  Random random;
  return cross(corners, count,
               [&] { return random.next() >> (random.next() % uint64_t(8 * bytes)) & all; });
}

std::vector<Operands> floats(int count) {
  std::vector<uint64_t> corners;
  for (float v : {0.f, 1.f, -1.f, 0.5f, 1.5f, 2.5f, -2.5f, 3.f, 1e-38f, 1e-45f, 5e-39f, 3.4e38f,
                  1e10f, -7.25f, INFINITY, 0.1f, 16777217.f})
    corners.push_back(f32(v)), corners.push_back(f32(-v));
  corners.push_back(0x7fc00000), corners.push_back(0xffc12345), corners.push_back(0x7f800001);
  Random random;
  return cross(corners, count, [&]() -> uint64_t {
    const uint64_t r = random.next();
    if (r & 1) return uint32_t(r >> 20);
    return f32(float(int32_t(r >> 30)) * 1e-8f);
  });
}

std::vector<Operands> doubles(int count) {
  std::vector<uint64_t> corners;
  for (double v :
       {0.0, 1.0, 0.5, 2.5, 1e-308, 5e-324, 1.7e308, 1e19, 4294967296.5, double(INFINITY), 0.1})
    corners.push_back(f64(v)), corners.push_back(f64(-v));
  corners.push_back(0x7ff8000000000000);
  Random random;
  return cross(corners, count, [&]() -> uint64_t {
    const uint64_t r = random.next();
    return r & 1 ? r * 0x9E3779B97F4A7C15u : f64(double(int64_t(r)) * 1e-12);
  });
}

std::string kernel_text(const std::string& body, const std::string& items,
                        const std::string& target) {
  return ".version 9.0\n.target " + target + "\n.address_size 64\n" + items +
         "\n.visible .entry k(.param .u64 p0, .param .u64 p1, .param .u64 p2, .param .u32 n)\n{\n" +
         body + "\nret;\n}\n";
}

static std::set<std::string> tested_forms;

// PTX_DUMP names a folder that gets every module the tests load, for an assembler to judge.
static void dump(const std::string& text) {
  static const char* const folder = std::getenv("PTX_DUMP");
  if (!folder) return;
  const std::string name = std::to_string(std::hash<std::string>()(text));
  std::ofstream(std::string(folder) + "/" + name + ".ptx") << text;
}

Loaded load(const std::string& text) {
  Loaded out;
  out.module = ptx::Module::load(text.data(), text.size(), memory(), device(), &out.error);
  if (!out.module) return out;
  tested_forms.insert(out.module->forms().begin(), out.module->forms().end());
  dump(text);
  return out;
}

Buffer::Buffer(size_t size) : address(memory().allocate(size)), bytes(size) {}

ptx::LaunchConfig shape(uint32_t grid, uint32_t block, size_t dynamic) {
  ptx::LaunchConfig config;
  config.grid[0] = grid;
  config.block[0] = block;
  config.dynamic_shared = dynamic;
  config.watchdog = uint64_t(1) << 30;
  return config;
}

ptx::LaunchResult run(const std::string& text, const ptx::LaunchConfig& config, uint64_t p0,
                      uint64_t p1, uint64_t p2, uint32_t n) {
  Loaded loaded = load(text);
  if (!loaded.module) {
    ptx::LaunchResult result;
    result.fault.kind = ptx::FaultKind::invalid_launch;
    result.fault.message = loaded.error.message;
    return result;
  }
  ptx::Kernel* kernel = loaded.module->kernel("k");
  if (kernel) kernel->max_dynamic_shared = 163840;
  void* arguments[] = {&p0, &p1, &p2, &n};
  return ptx::launch(*kernel, config, memory(), device(), arguments);
}

std::vector<uint64_t> evaluate(const std::string& statements, int width,
                               const std::vector<Operands>& sets) {
  const std::string result = width == 16   ? "cvt.u64.u16 %qd, %hd;"
                             : width == 32 ? "cvt.u64.u32 %qd, %d;"
                             : width == 1  ? "selp.u64 %qd, 1, 0, %pd;"
                                           : "";
  const std::string body = R"(
    .reg .b64 %qa, %qb, %qc, %qd, %qin, %qout, %qt; .reg .b32 %a, %b, %c, %d, %t, %cta, %nt, %one,
      %count;
    .reg .b16 %ha, %hb, %hc, %hd; .reg .pred %pa, %pd, %pend, %podd;
    ld.param.u64 %qin, [p0]; ld.param.u64 %qout, [p1]; ld.param.u32 %count, [n];
    mov.u32 %t, %tid.x; mov.u32 %cta, %ctaid.x; mov.u32 %nt, %ntid.x; mad.lo.u32 %t, %cta, %nt, %t;
    setp.ge.u32 %pend, %t, %count; @%pend bra END;
    mul.wide.u32 %qt, %t, 24; add.u64 %qin, %qin, %qt; mul.wide.u32 %qt, %t, 16; add.u64 %qout,
      %qout, %qt;
    ld.global.u64 %qa, [%qin]; ld.global.u64 %qb, [%qin+8]; ld.global.u64 %qc, [%qin+16];
    cvt.u32.u64 %a, %qa; cvt.u32.u64 %b, %qb; cvt.u32.u64 %c, %qc;
    cvt.u16.u64 %ha, %qa; cvt.u16.u64 %hb, %qb; cvt.u16.u64 %hc, %qc;
    and.b32 %one, %a, 1; setp.ne.u32 %pa, %one, 0;
    mov.u64 %qd, 0; mov.u32 %d, 0; mov.b16 %hd, 0; setp.ne.u32 %pd, 0, 0;
    { )" + statements + R"( }
    )" + result + R"( st.global.u64 [%qout], %qd;
    mov.u64 %qd, 0; mov.u32 %d, 0; mov.b16 %hd, 0; setp.ne.u32 %pd, 0, 0;
    and.b32 %one, %t, 1; setp.ne.u32 %podd, %one, 0; @%podd bra ODD;
    { )" + statements + R"( }
    bra JOIN;
    ODD: { )" + statements +
                           R"( }
    JOIN: )" + result + R"( st.global.u64 [%qout+8], %qd;
    END: )";
  Buffer in(sets), out(sets.size() * 16);
  auto config = shape(uint32_t((sets.size() + 127) / 128), 128);
  auto outcome = run(kernel_text(body), config, in.address, out.address, 0, uint32_t(sets.size()));
  std::vector<uint64_t> both = out.get<uint64_t>(), full(sets.size());
  bool same = true;
  for (size_t k = 0; k < sets.size(); ++k)
    full[k] = both[2 * k], same &= both[2 * k] == both[2 * k + 1];
  if (!outcome.ok())
    report(false, statements, outcome.fault.message);
  else if (!same)
    report(false, statements, "half of the lanes gives other results than all of them");
  return full;
}

static std::string hex(uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

void expect(const std::string& name, const std::string& statements, int width,
            const std::vector<Operands>& sets, const Expected& expected) {
  const std::vector<uint64_t> got = evaluate(statements, width, sets);
  const uint64_t mask = width == 64 ? ~uint64_t(0) : width == 1 ? 1 : (uint64_t(1) << width) - 1;
  for (size_t k = 0; k < sets.size(); ++k) {
    const uint64_t want = expected(sets[k][0], sets[k][1], sets[k][2]) & mask;
    if (want == got[k]) continue;
    report(false, name,
           "of " + hex(sets[k][0]) + " " + hex(sets[k][1]) + " " + hex(sets[k][2]) + " expected " +
               hex(want) + ", received " + hex(got[k]));
    return;
  }
  report(true, name);
}

void expect_near(const std::string& name, const std::string& statements,
                 const std::vector<Operands>& sets, double ulps, double absolute,
                 const std::function<double(float, float)>& expected) {
  const std::vector<uint64_t> got = evaluate(statements, 32, sets);
  for (size_t k = 0; k < sets.size(); ++k) {
    const double want = expected(as_f32(sets[k][0]), as_f32(sets[k][1]));
    const float is = as_f32(got[k]);
    if (std::isnan(want) && std::isnan(is)) continue;
    if (std::isinf(float(want)) && is == float(want)) continue;
    const double unit = std::ldexp(1.0, std::max(-149, std::ilogb(want == 0 ? 1e-45 : want) - 23));
    if (std::fabs(double(is) - want) <= ulps * unit + absolute) continue;
    char text[200];
    std::snprintf(text, sizeof text, "of %a %a expected %a, received %a",
                  double(as_f32(sets[k][0])), double(as_f32(sets[k][1])), want, double(is));
    report(false, name, text);
    return;
  }
  report(true, name);
}

void expect_fault(const std::string& name, const std::string& text, const ptx::LaunchConfig& config,
                  ptx::FaultKind kind, uint64_t p0, uint64_t p1, uint64_t p2, uint32_t n) {
  const ptx::LaunchResult result = run(text, config, p0, p1, p2, n);
  report(result.fault.kind == kind, name,
         std::string("expected ") + ptx::fault_name(kind) + ", received " +
             ptx::fault_name(result.fault.kind) + ": " + result.fault.message);
  if (std::getenv("PTX_SHOW_FAULTS") && !result.ok())
    std::printf("%s: %s\n", name.c_str(), result.fault.message.c_str());
}

}  // namespace test

// The forms of an image, PTX text or a fat binary, that no test has run. Tests load each form that
// they check, in modules of their own: what is asked about here must not count itself.
static bool covers(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string image((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<std::string> texts;
  uint32_t magic = 0;
  if (image.size() >= 4) memcpy(&magic, image.data(), 4);
  if (magic == ptx::fatbin_magic) {
    for (auto& entry : ptx::parse_fatbin(image.data(), image.size()).entries)
      if (entry.kind == ptx::FatbinEntry::Kind::ptx)
        texts.emplace_back(reinterpret_cast<const char*>(entry.data), entry.size);
  } else {
    texts.push_back(image);
  }
  test::report(!texts.empty(), std::string("PTX in ") + path);
  bool all = true;
  for (auto& text : texts) {
    ptx::LoadError error;
    auto module = ptx::Module::load(text.data(),
                                    text.find('\0') < text.size() ? text.find('\0') : text.size(),
                                    test::memory(), test::device(), &error);
    test::report(module != nullptr, path, error.message);
    if (!module) return false;
    for (auto& form : module->forms()) {
      const bool tested = test::tested_forms.count(form);
      test::report(tested, std::string(path) + ": " + form, "no test runs this form");
      all &= tested;
    }
  }
  return all;
}

// A word selects the tests whose name holds it. --forms prints the opcode forms that the tests ran,
// one a line, after the tests. --covers image... fails where an image holds another form.
int main(int count, char** words) {
  const bool list = count > 1 && !std::strcmp(words[1], "--forms");
  const bool asks = count > 1 && !std::strcmp(words[1], "--covers");
  for (auto& item : test::cases()) {
    if (count > 1 && !list && !asks && std::string(item.name).find(words[1]) == std::string::npos)
      continue;
    item.run();
  }
  if (list)
    for (auto& form : test::tested_forms) std::printf("%s\n", form.c_str());
  for (int k = 2; asks && k < count; ++k) covers(words[k]);
  std::printf("%d passed, %d failed\n", test::passed, test::failed);
  return test::failed || !test::passed;
}
