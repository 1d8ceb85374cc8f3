// What the environment asks for.
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "driver_state.h"

namespace ptx::driver {

namespace {

bool number(const char* text, uint64_t* out) {
  char* end = nullptr;
  const unsigned long long value = std::strtoull(text, &end, 0);
  if (end == text || *end || *text == '-') return false;
  *out = value;
  return true;
}

class Reader {
 public:
  explicit Reader(Settings* settings) : settings_(settings) {}

  void count(const char* name, uint64_t* out) {
    const char* text = get(name);
    if (text && !number(text, out)) fail(name, text, "a number");
  }
  template <class T>
  void choice(const char* name, T* out, std::initializer_list<std::pair<const char*, T>> choices) {
    const char* text = get(name);
    if (!text) return;
    std::string expected;
    for (const auto& [word, value] : choices) {
      if (word == std::string(text)) {
        *out = value;
        return;
      }
      expected += expected.empty() ? word : std::string(" or ") + word;
    }
    fail(name, text, expected.c_str());
  }
  const char* get(const char* name) {
    const char* text = std::getenv(name);
    return text && *text ? text : nullptr;
  }
  void fail(const char* name, const char* text, const char* expected) {
    if (settings_->error.empty())
      settings_->error = std::string("expected ") + expected + " for " + name + ", received " + text;
  }

 private:
  Settings* settings_;
};

}  // namespace

void read_registers(const std::string& text, std::unordered_map<std::string, int>* registers) {
  std::istringstream lines(text);
  std::string line, kernel;
  const std::string entry = "entry function '";
  while (std::getline(lines, line)) {
    const size_t at = line.find(entry);
    if (at != std::string::npos) {
      const size_t from = at + entry.size();
      kernel = line.substr(from, line.find('\'', from) - from);
      continue;
    }
    const size_t used = line.find("Used ");
    if (used != std::string::npos && line.find(" registers", used) != std::string::npos) {
      if (!kernel.empty()) (*registers)[kernel] = std::atoi(line.c_str() + used + 5);
      kernel.clear();
      continue;
    }
    std::istringstream words(line);
    std::string name, rest;
    int count = 0;
    if (words >> name >> count && !(words >> rest) && count > 0) (*registers)[name] = count;
  }
}

Settings read_settings() {
  Settings s;
  Reader read(&s);
  if (const char* device = read.get("EMULATOR_DEVICE")) {
    int major = 0, minor = 0, used = 0;
    const int found = std::sscanf(device, "%d.%d%n", &major, &minor, &used);
    if (found != 2 || device[used] || major < 7 || major > 12 || minor < 0 || minor > 9 ||
        major * 10 + minor < 75)
      read.fail("EMULATOR_DEVICE", device, "a compute capability from 7.5 to 12.9");
    else s.major = major, s.minor = minor;
  }
  read.choice<CheckLevel>(
      "EMULATOR_CHECKS", &s.checks,
      {{"none", CheckLevel::none}, {"bounds", CheckLevel::bounds}, {"full", CheckLevel::full}});
  read.choice<Order>("EMULATOR_ORDER", &s.order,
                     {{"forward", Order::forward}, {"reverse", Order::reverse}, {"random", Order::random}});
  read.choice<bool>("EMULATOR_HOST_READS", &s.host_reads, {{"warn", true}, {"off", false}});
  read.count("EMULATOR_SEED", &s.seed);
  read.count("EMULATOR_WATCHDOG", &s.watchdog);
  uint64_t threads = 0, memory = 0;
  read.count("EMULATOR_THREADS", &threads);
  if (threads > 256) read.fail("EMULATOR_THREADS", std::getenv("EMULATOR_THREADS"), "at most 256");
  else s.threads = static_cast<int>(threads);
  read.count("EMULATOR_MEMORY", &memory);
  s.memory = memory << 20;
  if (const char* path = read.get("EMULATOR_COUNTERS")) s.counters = path;
  if (const char* path = read.get("EMULATOR_REGISTERS")) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    if (!file) read.fail("EMULATOR_REGISTERS", path, "a readable file");
    else read_registers(text.str(), &s.registers);
  }
  return s;
}

}  // namespace ptx::driver
