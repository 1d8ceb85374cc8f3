// The harness behind test.h, and main: runs every linked test, or those whose names hold the first
// argument.
#include <chrono>
#include <cstdarg>
#include <cstdlib>
#include <memory>

#include "test.h"

namespace gptloom::test {

namespace {

constexpr size_t guard_bytes = 64;
constexpr unsigned char guard_byte = 0xa5;
// A NaN as a float and as a double, and no sensible integer.
constexpr uint32_t poison = 0x7ff8dead;

std::vector<std::string> notes;

void fill_guards(char* data, size_t bytes) {
  std::memset(data - guard_bytes, guard_byte, guard_bytes);
  std::memset(data + bytes, guard_byte, guard_bytes);
  for (size_t i = 0; i < bytes; i += sizeof poison) {
    std::memcpy(data + i, &poison, bytes - i < sizeof poison ? bytes - i : sizeof poison);
  }
}

void check_guards(const char* data, size_t bytes, const char* what) {
  for (size_t i = 0; i < guard_bytes; i++) {
    if (static_cast<unsigned char>(data[-1 - static_cast<ptrdiff_t>(i)]) != guard_byte) {
      note_failure(
          format("%s of %zu bytes was written %zu bytes before its start", what, bytes, i + 1));
      return;
    }
    if (static_cast<unsigned char>(data[bytes + i]) != guard_byte) {
      note_failure(format("%s of %zu bytes was written %zu bytes past its end", what, bytes, i));
      return;
    }
  }
}

}  // namespace

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

void fail(const std::string& message) { throw Failure(message); }
void note_failure(const std::string& message) { notes.push_back(message); }

std::string format(const char* pattern, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, pattern);
  vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

void same_bits(const float* actual, const float* expected, int64_t n, const std::string& what) {
  for (int64_t i = 0; i < n; i++) {
    if (std::memcmp(actual + i, expected + i, sizeof(float)) == 0) continue;
    fail(format("%s: element %lld of %lld is %.9g where %.9g was expected, to the bit",
                what.c_str(), static_cast<long long>(i), static_cast<long long>(n),
                static_cast<double>(actual[i]), static_cast<double>(expected[i])));
  }
}

// ---- memory -------------------------------------------------------------------------------------

Floats::Floats(int64_t n) : n_(n) {
  const size_t bytes = static_cast<size_t>(n) * sizeof(float);
  // malloc aligns to at least 8 (16 on most): 4 more leaves the alignment of a float alone.
  block_ = static_cast<char*>(std::malloc(bytes + 2 * guard_bytes + sizeof(float)));
  if (!block_) throw std::bad_alloc();
  data_ = reinterpret_cast<float*>(block_ + guard_bytes + sizeof(float));
  fill_guards(reinterpret_cast<char*>(data_), bytes);
}

Floats::~Floats() {
  check_guards(reinterpret_cast<const char*>(data_), static_cast<size_t>(n_) * sizeof(float),
               "a tensor");
  std::free(block_);
}

void* GuardedSource::take(size_t bytes) {
  char* base = static_cast<char*>(std::malloc(bytes + 2 * guard_bytes + 64));
  if (!base) throw Error("ERR_OUT_OF_MEMORY", "no memory for the test's scratch");
  const uintptr_t start = (reinterpret_cast<uintptr_t>(base) + guard_bytes + 63) / 64 * 64;
  char* data = reinterpret_cast<char*>(start);
  fill_guards(data, bytes);
  blocks_.push_back({base, data, bytes});
  return data;
}

void GuardedSource::give_back(void* block, size_t bytes) {
  for (size_t i = 0; i < blocks_.size(); i++) {
    if (blocks_[i].data != block) continue;
    if (blocks_[i].bytes != bytes) {
      note_failure(format("scratch of %zu bytes came back as %zu bytes", blocks_[i].bytes, bytes));
    }
    check_guards(static_cast<const char*>(block), blocks_[i].bytes, "scratch");
    std::free(blocks_[i].base);
    blocks_.erase(blocks_.begin() + static_cast<ptrdiff_t>(i));
    return;
  }
  note_failure("scratch came back that was never taken");
}

GuardedSource::~GuardedSource() {
  for (const Block& block : blocks_) {
    note_failure(format("scratch of %zu bytes was never given back", block.bytes));
    std::free(block.base);
  }
}

// ---- contexts -----------------------------------------------------------------------------------

void for_each_context(const std::function<void(cpu::Context&)>& f) {
  // Pools live as long as the process: starting threads for every case would be most of the time.
  static cpu::Pool* const pools[] = {new cpu::Pool(1), new cpu::Pool(2), new cpu::Pool(3)};
  const cpu::Kernels* tables[4];
  const int count = cpu::runnable_kernels(tables);
  if (count < 1) fail("no instruction set runs on this machine");
  for (int isa = 0; isa < count; isa++) {
    for (cpu::Pool* pool : pools) {
      const std::string where = format(" [%s, threads %d]", tables[isa]->isa, pool->threads());
      GuardedSource source;
      cpu::Context context{*pool, *tables[isa], source};
      try {
        f(context);
      } catch (const Error& error) {
        fail(std::string(error.code) + ": " + error.what() + where);
      } catch (const std::exception& error) {
        fail(error.what() + where);
      }
    }
  }
}

void for_each_result(int64_t n, const std::function<void(cpu::Context&, float*)>& op,
                     const std::function<void(const float*)>& check,
                     const std::vector<float>* initial) {
  const char* isa = nullptr;
  std::vector<float> first;
  for_each_context([&](cpu::Context& context) {
    Floats out = initial ? Floats(*initial) : Floats(n);
    op(context, out);
    if (context.kernels.isa != isa) {
      isa = context.kernels.isa;
      first = out.vector();
      check(out);
    } else {
      same_bits(out, first.data(), n, "against 1 thread");
    }
  });
}

// ---- numbers ------------------------------------------------------------------------------------

uint64_t Generator::next() {
  uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

double Generator::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(6.283185307179586 * uniform());
}

std::vector<float> normals(int64_t n, uint64_t seed, double deviation, double mean) {
  Generator generator(seed);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& value : out) value = static_cast<float>(mean + deviation * generator.normal());
  return out;
}

std::vector<float> uniforms(int64_t n, uint64_t seed, double low, double high) {
  Generator generator(seed);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& value : out) value = static_cast<float>(generator.uniform(low, high));
  return out;
}

std::vector<int32_t> integers(int64_t n, uint64_t seed, int32_t low, int32_t high) {
  Generator generator(seed);
  std::vector<int32_t> out(static_cast<size_t>(n));
  for (int32_t& value : out) value = static_cast<int32_t>(low + generator.below(high - low));
  return out;
}

double gelu(double x, Gelu form) {
  if (form == Gelu::exact) return 0.5 * x * std::erfc(-x * 0.7071067811865476);
  return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

double gelu_derivative(double x, Gelu form) {
  if (form == Gelu::exact) {
    return 0.5 * std::erfc(-x * 0.7071067811865476) + x * 0.3989422804014327 * std::exp(-x * x / 2);
  }
  const double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

std::vector<double> finite_differences(std::vector<double>& x, const std::function<double()>& f,
                                       double step) {
  std::vector<double> gradient(x.size());
  for (size_t i = 0; i < x.size(); i++) {
    const double kept = x[i];
    x[i] = kept + step;
    const double above = f();
    x[i] = kept - step;
    gradient[i] = (above - f()) / (2 * step);
    x[i] = kept;
  }
  return gradient;
}

// ---- main ---------------------------------------------------------------------------------------

namespace {

bool passes(const Case& test) {
  notes.clear();
  const auto start = std::chrono::steady_clock::now();
  try {
    test.run();
  } catch (const Error& error) {
    notes.push_back(std::string(error.code) + ": " + error.what());
  } catch (const std::exception& error) {
    notes.push_back(error.what());
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  printf("%s %s (%.2f s)\n", notes.empty() ? "ok  " : "FAIL", test.name, seconds.count());
  for (const std::string& note : notes) printf("     %s\n", note.c_str());
  fflush(stdout);
  return notes.empty();
}

int run_all(const char* filter) {
  int passed = 0, failed = 0;
  for (const Case& test : cases()) {
    if (filter && !std::strstr(test.name, filter)) continue;
    (passes(test) ? passed : failed)++;
  }
  if (passed + failed == 0) printf("no test was found\n");
  printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace

}  // namespace gptloom::test

int main(int count, char** arguments) {
  return gptloom::test::run_all(count > 1 ? arguments[1] : nullptr);
}
