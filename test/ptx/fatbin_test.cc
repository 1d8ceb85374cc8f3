// The fatbin reader under hostile input: truncations, mutations, lengths at their limits. Meant for the
// sanitizers.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>

#include "fatbin.h"

namespace {

int passed = 0, failed = 0;

void check(bool good, const char* what) {
  if (good) passed++;
  else failed++, std::printf("FAIL %s\n", what);
}

struct Part {
  uint16_t kind;
  uint32_t sm;
  uint64_t flags;
  std::string data;
};

// An image by the layout in fatbin.cc, written here again.
std::string image_of(const std::vector<Part>& parts) {
  std::string payload;
  for (const Part& part : parts) {
    char header[72] = {};
    std::string data = part.data;
    data.resize((data.size() + 7) / 8 * 8);
    const uint16_t version = 0x101;
    const uint32_t bytes = sizeof header;
    const uint64_t stored = data.size();
    std::memcpy(header, &part.kind, 2), std::memcpy(header + 2, &version, 2),
        std::memcpy(header + 4, &bytes, 4);
    std::memcpy(header + 8, &stored, 8), std::memcpy(header + 28, &part.sm, 4);
    std::memcpy(header + 40, &part.flags, 8);
    payload.append(header, sizeof header).append(data);
  }
  char header[16] = {};
  const uint32_t magic = 0xba55ed50;
  const uint16_t version = 1, bytes = 16;
  const uint64_t size = payload.size();
  std::memcpy(header, &magic, 4), std::memcpy(header + 4, &version, 2), std::memcpy(header + 6, &bytes, 2);
  std::memcpy(header + 8, &size, 8);
  return std::string(header, sizeof header) + payload;
}

// Everything a loader does, on a copy of exactly this size, so that one byte too far is seen.
uint64_t exercise(const std::string& bytes) {
  const std::unique_ptr<uint8_t[]> copy(new uint8_t[bytes.size()]);
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  const ptx::Fatbin fatbin = ptx::parse_fatbin(copy.get(), bytes.size());
  uint64_t sum = fatbin.entries.size();
  for (const ptx::FatbinEntry& entry : fatbin.entries) {
    for (size_t i = 0; i < entry.size; i++) sum += entry.data[i];
    for (const auto& [name, registers] : ptx::cubin_registers(entry.data, entry.size))
      sum += name.size() + static_cast<uint64_t>(registers);
  }
  for (const int sm : {75, 80, 90, 120}) {
    std::string error;
    const ptx::FatbinEntry* best = ptx::choose_ptx(fatbin, sm, &error);
    if (!best && error.empty()) check(false, "no entry and no reason");
    if (best) sum += best->size;
  }
  return sum;
}

std::string chosen(const std::string& image, int sm) {
  std::string error;
  const ptx::Fatbin fatbin = ptx::parse_fatbin(image.data(), image.size());
  const ptx::FatbinEntry* best = ptx::choose_ptx(fatbin, sm, &error);
  return best ? std::string(reinterpret_cast<const char*>(best->data)).c_str() : "error: " + error;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

void choices() {
  const uint64_t plain = 0x11, exact = plain | 0x100000, family = plain | 0x1200000;
  const std::string image = image_of({{1, 75, plain, "p75"},
                                      {2, 80, plain, "c80"},
                                      {1, 80, plain, "p80"},
                                      {1, 90, exact, "p90a"},
                                      {1, 100, plain, "p100"}});
  check(chosen(image, 75) == "p75", "75 takes 75");
  check(chosen(image, 80) == "p80", "80 takes 80");
  check(chosen(image, 89) == "p80", "89 takes 80");
  check(chosen(image, 90) == "p90a", "90 takes 90a");
  check(chosen(image, 100) == "p100", "100 takes 100");
  check(chosen(image, 120) == "p100", "120 takes 100");
  check(chosen(image_of({{1, 90, exact, "p90a"}, {1, 80, plain, "p80"}}), 100) == "p80",
        "90a is for 90 alone");
  check(has(chosen(image_of({{1, 100, family, "p100f"}}), 120), "compute_100f"), "100f is for 10.x alone");
  check(chosen(image_of({{1, 100, family, "p100f"}}), 103) == "p100f", "103 takes 100f");
  check(has(chosen(image_of({{1, 80, plain | 0x8000, "z"}}), 80), "--no-compress"), "zstd is named");
  check(has(chosen(image_of({{1, 80, plain | 0x2000, "z"}}), 80), "--no-compress"), "LZ4 is named");
  check(has(chosen(image_of({{2, 80, plain, "c"}}), 80), "sm_80"), "code without PTX is named");
  check(has(chosen(image_of({{1, 90, plain, "p"}}), 80), "compute_80"), "PTX for newer devices is named");
  check(has(chosen(image_of({}), 80), "no entries"), "an empty image is named");
}

void truncations(const std::string& image) {
  for (size_t size = 0; size < image.size(); size += size < 4096 ? 1 : 97) exercise(image.substr(0, size));
  check(true, "truncations");
}

void mutations(const std::string& image, int rounds) {
  std::mt19937_64 random(1);
  for (int i = 0; i < rounds; i++) {
    std::string bytes = image;
    const int changes = 1 + static_cast<int>(random() % 8);
    for (int j = 0; j < changes; j++) {
      const size_t at = random() % (random() % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 200));
      const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xff};
      bytes[at] = static_cast<char>(random() % 2 ? extremes[random() % 5] : random());
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    exercise(bytes);
  }
  check(true, "mutations");
}

// Each length field of the first headers at values where sums wrap around.
void extremes(const std::string& image) {
  const uint64_t values[] = {0,
                             1,
                             15,
                             16,
                             63,
                             64,
                             0x7fffffff,
                             0x80000000,
                             0xffffffff,
                             0x7fffffffffffffff,
                             0xffffffffffffffff,
                             0xfffffffffffffff0,
                             0xffffffffffffffff - 71};
  for (size_t at = 0; at + 8 <= std::min<size_t>(image.size(), 160); at++) {
    for (const uint64_t value : values) {
      for (const size_t width : {2, 4, 8}) {
        std::string bytes = image;
        std::memcpy(&bytes[at], &value, width);
        exercise(bytes);
      }
    }
  }
  check(true, "extremes");
}

}  // namespace

// Arguments: fatbins made by nvcc, mangled like our own.
int main(int count, char** arguments) {
  choices();
  std::vector<std::string> images = {image_of(
      {{1, 80, 0x11, "text one"}, {2, 80, 0x11, "\177ELF\2\1 and more"}, {1, 90, 0x11, "text two"}})};
  for (int i = 1; i < count; i++) {
    std::ifstream file(arguments[i], std::ios::binary);
    images.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    check(exercise(images.back()) > 0, arguments[i]);
  }
  for (const std::string& image : images) {
    truncations(image);
    mutations(image, image.size() < 4096 ? 20000 : 2000);
    extremes(image);
    // A cubin on its own, too: its tables are read.
    const ptx::Fatbin fatbin = ptx::parse_fatbin(image.data(), image.size());
    std::mt19937_64 random(2);
    for (const ptx::FatbinEntry& entry : fatbin.entries) {
      if (entry.kind != ptx::FatbinEntry::Kind::cubin) continue;
      for (int i = 0; i < 3000; i++) {
        std::string bytes(reinterpret_cast<const char*>(entry.data), entry.size);
        for (int j = 0; j < 3; j++)
          bytes[random() % (j ? bytes.size() : std::min<size_t>(bytes.size(), 64))] =
              static_cast<char>(random());
        if (i % 3 == 0) bytes.resize(random() % bytes.size());
        const std::unique_ptr<uint8_t[]> copy(new uint8_t[bytes.size()]);
        std::memcpy(copy.get(), bytes.data(), bytes.size());
        ptx::cubin_registers(copy.get(), bytes.size());
      }
      check(true, "cubins");
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
