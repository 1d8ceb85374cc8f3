// Kernels as nvcc compiles them, by both of its code generators and with fast mathematics, against
// float64 on the host at odd sizes. The PTX comes from kernels/bench.cu by tools that need no GPU;
// without it in PTX_KERNELS the tests are not run. With PTX_BENCH set, the interpreter's speed is
// printed instead.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>

#include "core_test.h"

using namespace test;

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Runner {
  std::string label;
  std::unique_ptr<ptx::Module> module;
  double seconds = 0;
  ptx::Counters counters;
  bool go(const std::string& name, ptx::LaunchConfig config, std::vector<void*> arguments) {
    ptx::Kernel* kernel = module->kernel(name);
    if (!kernel) return report(false, name, "no such kernel"), false;
    config.watchdog = uint64_t(1) << 34;
    const std::clock_t start = std::clock();  // the bench runs one thread: others do not disturb it
    auto r = ptx::launch(*kernel, config, memory(), device(), arguments.data());
    seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
    counters = r.counters;
    if (!r.ok()) report(false, label + " " + name, r.fault.message);
    return r.ok();
  }
  void close(const std::string& name, const std::vector<float>& got,
             const std::vector<double>& want, double relative, double absolute) {
    for (size_t k = 0; k < want.size(); ++k) {
      const double bound = absolute + relative * std::fabs(want[k]);
      if (std::fabs(double(got[k]) - want[k]) <= bound) continue;
      return report(false, label + " " + name,
                    "element " + std::to_string(k) + ": expected " + std::to_string(want[k]) +
                        ", received " + std::to_string(got[k]));
    }
    report(true, name);
  }
};

std::vector<float> numbers(size_t n, float scale = 1) {
  std::vector<float> out(n);
  Random random;
  for (auto& v : out) v = scale * (float(random.next() % 20001) / 10000.f - 1.f);
  return out;
}

ptx::LaunchConfig grid(uint32_t x, uint32_t y, uint32_t bx, uint32_t by = 1) {
  auto config = shape(x, bx);
  config.grid[1] = y;
  config.block[1] = by;
  return config;
}

void layernorm(Runner& r, int rows, int C) {
  auto x = numbers(size_t(rows * C)), w = numbers(size_t(C)), b = numbers(size_t(C));
  Buffer dx(x), dw(w), db(b), out(x.size() * 4);
  if (!r.go("layernorm", grid(uint32_t(rows), 1, 96),
            {&out.address, &dx.address, &dw.address, &db.address, &C}))
    return;
  std::vector<double> want(x.size());
  for (int i = 0; i < rows; ++i) {
    double m = 0, v = 0;
    for (int c = 0; c < C; ++c) m += x[size_t(i * C + c)] / C;
    for (int c = 0; c < C; ++c) v += std::pow(x[size_t(i * C + c)] - m, 2) / C;
    for (int c = 0; c < C; ++c)
      want[size_t(i * C + c)] =
          (x[size_t(i * C + c)] - m) / std::sqrt(v + 1e-5) * w[size_t(c)] + b[size_t(c)];
  }
  r.close("layernorm", out.get<float>(), want, 1e-4, 1e-5);
}

void softmax(Runner& r, int rows, int C) {
  auto x = numbers(size_t(rows * C), 5);
  Buffer dx(x), out(x.size() * 4);
  if (!r.go("softmax", grid(uint32_t(rows + 3) / 4, 1, 128),
            {&out.address, &dx.address, &rows, &C}))
    return;
  std::vector<double> want(x.size());
  for (int i = 0; i < rows; ++i) {
    double s = 0;
    for (int c = 0; c < C; ++c) s += std::exp(double(x[size_t(i * C + c)]));
    for (int c = 0; c < C; ++c)
      want[size_t(i * C + c)] = std::exp(double(x[size_t(i * C + c)])) / s;
  }
  r.close("softmax", out.get<float>(), want, 1e-4, 1e-7);
}

void matmul(Runner& r, int M, int N, int K) {
  auto fa = numbers(size_t(M * K)), fb = numbers(size_t(K * N));
  std::vector<uint16_t> a, b;
  for (float& v : fa) a.push_back(uint16_t(f32(v) >> 16)), v = as_f32(uint64_t(a.back()) << 16);
  for (float& v : fb) b.push_back(uint16_t(f32(v) >> 16)), v = as_f32(uint64_t(b.back()) << 16);
  Buffer da(a), db(b), out(size_t(M * N) * 4);
  if (!r.go("matmul", grid(uint32_t(N + 63) / 64, uint32_t(M + 63) / 64, 128),
            {&out.address, &da.address, &db.address, &M, &N, &K}))
    return;
  std::vector<double> want(size_t(M * N));
  for (int i = 0; i < M; ++i)
    for (int k = 0; k < K; ++k)
      for (int j = 0; j < N; ++j)
        want[size_t(i * N + j)] += double(fa[size_t(i * K + k)]) * fb[size_t(k * N + j)];
  r.close("matmul", out.get<float>(), want, 1e-4, 1e-4);
}

void others(Runner& r, bool fast) {
  int n = 1003;
  float a = 2.5f;
  auto x = numbers(size_t(n) * 4), y = numbers(size_t(n) * 4, 3);
  Buffer dx(x), dy(y);
  std::vector<double> want(x.size());
  for (size_t k = 0; k < x.size(); ++k) want[k] = a * double(x[k]) + y[k];
  if (r.go("saxpy", grid(8, 1, 127), {&dx.address, &dy.address, &a, &n}))
    r.close("saxpy", dy.get<float>(), want, 1e-6, 1e-6);

  std::vector<uint8_t> bytes(5000);
  for (size_t k = 0; k < bytes.size(); ++k) bytes[k] = uint8_t(k * k % 251);
  int count = int(bytes.size());
  Buffer db(bytes), bins(std::vector<uint32_t>(256, 0)), pair(std::vector<uint32_t>{0});
  if (r.go("histogram", grid(5, 1, 64), {&bins.address, &db.address, &pair.address, &count})) {
    std::vector<uint32_t> h(256, 0);
    for (uint8_t v : bytes) ++h[v];
    report(bins.get<uint32_t>() == h && pair.get<uint32_t>()[0] == 0x412040a0,
           r.label + " histogram",
           "wrong counts");  // 5 and 10
  }

  int m = 257;
  auto t = numbers(size_t(m), 4);
  Buffer dt(t), to(size_t(m) * 48);
  if (r.go("transcendental", grid(3, 1, 96), {&to.address, &dt.address, &m})) {
    std::vector<double> w;
    for (float v : t) {
      const double d = v, p = std::fabs(d);
      for (double e :
           {std::tanh(d), std::erf(d), std::exp(d), std::log(double(std::fabs(v) + 1e-3f)),
            std::sin(double(v * 100)), std::cos(d), std::pow(p, 1.7f), std::log1p(p),
            1 / std::sqrt(p + 1), std::exp(d), std::fmod(d, double(0.7f)), std::cbrt(d)})
        w.push_back(e);
    }
    auto got = to.get<float>();
    if (fast)  // sin of large arguments is only approximate there
      for (size_t k = 4; k < got.size(); k += 12)
        got[k] = std::fabs(got[k] - w[k]) < 2e-4 ? float(w[k]) : got[k];
    r.close("transcendental", got, w, fast ? 1e-3 : 2e-6, fast ? 2e-5 : 1e-6);
  }

  int k = 777;
  auto s = numbers(size_t(k));
  Buffer ds(s), sum(4), part(6 * 3 * 4);
  auto config = grid(6, 1, 96);
  config.cooperative = true;
  double total = 0;
  for (float v : s) total += v;
  if (r.go("grid_sum", config, {&sum.address, &ds.address, &part.address, &k}))
    r.close("grid_sum", sum.get<float>(), {total}, 1e-5, 1e-5);

  int d = 37;
  auto p = numbers(size_t(d * d)), q = numbers(size_t(d * d));
  Buffer dp(p), dq(q), dc(p.size() * 4);
  std::vector<double> c(p.size());
  for (int i = 0; i < d; ++i)
    for (int j = 0; j < d; ++j)
      for (int e = 0; e < d; ++e)
        c[size_t(i * d + j)] += double(p[size_t(i * d + e)]) * q[size_t(e * d + j)];
  if (r.go("tiled", grid(3, 3, 16, 16), {&dc.address, &dp.address, &dq.address, &d}))
    r.close("tiled", dc.get<float>(), c, 1e-5, 1e-5);
}

void bench(Runner& r) {
  auto line = [&](const char* name, double flops) {
    std::printf("%-14s %8.1f ms  %7.1f M lane-instructions/s", name, r.seconds * 1e3,
                double(r.counters.lane_total) / r.seconds * 1e-6);
    if (flops > 0) std::printf("  %6.2f GFLOP/s on tensor cores", flops / r.seconds * 1e-9);
    std::printf("\n");
  };
  for (int level = 2; level >= 0; --level) {
    std::printf("%s, checks %d, one thread\n", r.label.c_str(), level);
    auto one = [&](ptx::LaunchConfig c) {
      c.threads = 1;
      c.checks = ptx::CheckLevel(level);
      return c;
    };
    int n = 16384, steps = 500, C = 768, rows = 256, w = 4096;
    float a = 2;
    Buffer out(size_t(n) * 4);
    if (r.go("arithmetic", one(grid(64, 1, 256)), {&out.address, &n, &steps}))
      line("arithmetic", 0);
    Buffer x(numbers(size_t(n) * 16)), y(numbers(size_t(n) * 16));
    int n4 = n * 4;
    if (r.go("saxpy", one(grid(256, 1, 256)), {&x.address, &y.address, &a, &n4})) line("saxpy", 0);
    Buffer in(numbers(size_t(rows * C))), weight(numbers(size_t(C))), bias(numbers(size_t(C))),
        o(size_t(rows * C) * 4);
    if (r.go("layernorm", one(grid(uint32_t(rows), 1, 256)),
             {&o.address, &in.address, &weight.address, &bias.address, &C}))
      line("layernorm", 0);
    if (r.go("softmax", one(grid(64, 1, 128)), {&o.address, &in.address, &rows, &C}))
      line("softmax", 0);
    Buffer t(numbers(size_t(w))), tr(size_t(w) * 48);
    if (r.go("transcendental", one(grid(16, 1, 256)), {&tr.address, &t.address, &w}))
      line("transcendental", 0);
    int m = 256;
    Buffer ma(std::vector<uint16_t>(size_t(m * m), 0x3f80)),
        mb(std::vector<uint16_t>(size_t(m * m), 0x3f80)), mc(size_t(m * m) * 4);
    if (r.go("matmul", one(grid(4, 4, 128)), {&mc.address, &ma.address, &mb.address, &m, &m, &m}))
      line("matmul", double(r.counters.tensor_flops));
    Buffer fa(numbers(size_t(m * m))), fb(numbers(size_t(m * m)));
    if (r.go("tiled", one(grid(16, 16, 16, 16)), {&mc.address, &fa.address, &fb.address, &m}))
      line("tiled", 0);
  }
}

}  // namespace

namespace {

void library(Runner& r) {
  std::vector<int> in(128);
  for (int i = 0; i < 128; ++i) in[size_t(i)] = (i * 37 + 11) % 50;
  Buffer source(in);
  auto expect_ints = [&](const char* name, const Buffer& out, const std::vector<int>& want) {
    auto got = out.get<int>();
    size_t at = 0;
    while (at < want.size() && got[at] == want[at]) ++at;
    report(at == want.size(), r.label + " " + name,
           at < want.size() ? "element " + std::to_string(at) + ": expected " +
                                  std::to_string(want[at]) + ", received " + std::to_string(got[at])
                            : "");
  };
  for (auto order : {ptx::Order::forward, ptx::Order::reverse, ptx::Order::random}) {
    auto config = [&](uint32_t blocks, uint32_t threads) {
      auto c = grid(blocks, 1, threads);
      c.order = order;
      c.seed = 11;
      return c;
    };
    std::vector<int> want;
    for (int t = 0; t < 128; ++t) {
      int sum = 0, scan = 0, same = 0, most = 0;
      for (int k = t / 16 * 16; k < t / 16 * 16 + 16; ++k)
        sum += in[size_t(k)], scan += k <= t ? in[size_t(k)] : 0;
      for (int k = t / 32 * 32; k < t / 32 * 32 + 32; ++k)
        same += k % 3 && (in[size_t(k)] & 3) == (in[size_t(t)] & 3),
            most = std::max(most, in[size_t(k)]);
      for (int v : {sum, scan, t % 3 ? same : 0, most, in[size_t(127 - t)]}) want.push_back(v);
    }
    Buffer groups(128 * 20);
    if (r.go("groups", config(1, 128), {&groups.address, &source.address}))
      expect_ints("groups", groups, want);

    want.clear();
    for (int t = 0; t < 128; ++t) want.push_back(in[size_t(127 - (t ^ 1))] * 2);
    Buffer bars(512);
    if (r.go("barriers", config(1, 128), {&bars.address, &source.address}))
      expect_ints("barriers", bars, want);

    std::vector<int> many(8 * 32 * 4);
    for (size_t k = 0; k < many.size(); ++k) many[k] = int(k * k % 1001);
    want.clear();
    for (int t = 0; t < 32; ++t) {
      int sum = 0;
      for (int i = 0; i < 8; ++i)
        sum = sum * 3 + many[size_t((i * 32 + 31 - t) * 4)] + many[size_t((i * 32 + t) * 4 + 3)];
      want.push_back(sum);
    }
    Buffer dm(many), pipe(128);
    if (r.go("pipeline", config(1, 32), {&pipe.address, &dm.address}))
      expect_ints("pipeline", pipe, want);

    std::vector<int> keys;
    int before = 0;
    want.assign(128 * 7, 0);
    for (int t = 0; t < 128; ++t) {
      const int v = in[size_t(t)];
      int scan = 0;
      for (int k = t / 32 * 32; k <= t; ++k) scan += in[size_t(k)];
      want[size_t(t * 7)] = before, want[size_t(t * 7 + 2)] = scan;
      for (int key : {v, v * 3 % 17, v * 7 % 31, before}) keys.push_back(key);
      before += v;
    }
    want[1] = before;
    std::sort(keys.begin(), keys.end());
    for (int t = 0; t < 128; ++t)
      for (int k = 0; k < 4; ++k) want[size_t(t * 7 + 3 + k)] = keys[size_t(t * 4 + k)];
    Buffer cub(128 * 28);
    if (r.go("collectives", config(1, 128), {&cub.address, &source.address}))
      expect_ints("collectives", cub, want);

    Buffer state(std::vector<int>{0, 0}), two(8);
    if (r.go("flags", config(2, 32), {&two.address, &state.address}))
      expect_ints("flags", two, {42, 43}), expect_ints("flags", state, {1, 992});

    want.clear();
    for (int t = 0; t < 128; ++t) {
      int n = t + 1, s = 0;
      for (; n != 1; ++s) n = n & 1 ? 3 * n + 1 : n / 2;
      const int found = (t * 5 & 15) * s;
      switch (t % 9) {
        case 0:
          s += 1;
          break;
        case 1:
          s *= 3;
          break;
        case 2:
          s -= 4;
          break;
        case 3:
          s ^= 9;
          break;
        case 4:
          s |= 5;
          break;
        case 5:
          s += 100;
          break;
        case 6:
          s = s / 3 + s % 7;
          break;
      }
      want.push_back(t % 9 == 7 ? -1 : s + found);
    }
    Buffer steps(std::vector<int>(128, -1));
    if (r.go("branches", config(1, 128), {&steps.address})) expect_ints("branches", steps, want);
  }
  std::vector<uint16_t> a(256), b(256);
  std::vector<double> c(256, 2);
  for (size_t k = 0; k < 256; ++k)
    a[k] = k % 7 ? 0x3c00 : 0xc000, b[k] = k % 5 ? 0x3800 : 0x4200;  // 1, -2; 0.5, 3
  auto up = [](uint16_t h) {
    return h == 0x3c00 ? 1.0 : h == 0xc000 ? -2.0 : h == 0x3800 ? 0.5 : 3.0;
  };
  for (size_t i = 0; i < 16; ++i)
    for (size_t j = 0; j < 16; ++j)
      for (size_t k = 0; k < 16; ++k) c[i * 16 + j] += 2 * up(a[i * 16 + k]) * up(b[j * 16 + k]);
  Buffer da(a), db(b), dc(1024);
  if (r.go("fragments", grid(1, 1, 32), {&dc.address, &da.address, &db.address}))
    r.close("fragments", dc.get<float>(), c, 0, 0);
}

}  // namespace

PTX_TEST(kernels_by_nvcc) {
  const char* folder = std::getenv("PTX_KERNELS");
  if (!folder) return;
  for (const char* file :
       {"bench_75.ptx", "bench_80.ptx", "bench_90.ptx", "bench_100.ptx", "bench_80_fast.ptx",
        "bench_100_fast.ptx", "library_80.ptx", "library_90.ptx", "library_100.ptx"}) {
    const std::string text = read_file(std::string(folder) + "/" + file);
    if (text.empty()) continue;
    Runner r;
    r.label = file;
    ptx::LoadError error;
    r.module = ptx::Module::load(text.data(), text.size(), memory(), device(), &error);
    if (!r.module) {
      report(false, file, error.message);
      continue;
    }
    if (r.module->kernel("groups")) {
      library(r);
      continue;
    }
    if (std::getenv("PTX_BENCH")) {
      bench(r);
      continue;
    }
    for (int C : {1, 31, 127, 200}) layernorm(r, 3, C), softmax(r, 7, C);
    if (r.module->kernel("matmul"))
      matmul(r, 65, 72, 40), matmul(r, 16, 8, 8), matmul(r, 130, 64, 96);
    others(r, std::string(file).find("fast") != std::string::npos);
  }
}
