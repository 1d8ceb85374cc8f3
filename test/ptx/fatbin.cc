// Layout, little endian. Header: u32 magic, u16 version, u16 header bytes, u64 payload bytes. Then entries:
// u16 kind (1 PTX, 2 ELF), u16 version, u32 header bytes, u64 stored bytes, u32 compressed bytes, u32
// offset of options, u16 minor and u16 major version, u32 SM, u32 name offset, u32 name bytes, u64 flags,
// ...; stored data follows each header.
#include "fatbin.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace ptx {

namespace {

constexpr size_t smallest_entry = 64;
constexpr uint64_t flag_lz4 = 0x2000, flag_zstd = 0x8000, flag_exact = 0x100000, flag_family = 0x200000;

template <class T>
T read(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::string at_byte(const char* what, size_t offset) {
  return std::string("fatbin: ") + what + " at byte " + std::to_string(offset);
}

FatbinEntry read_entry(const uint8_t* header, size_t header_bytes, uint64_t stored) {
  FatbinEntry entry;
  const uint16_t kind = read<uint16_t>(header);
  entry.kind = kind == 1   ? FatbinEntry::Kind::ptx
               : kind == 2 ? FatbinEntry::Kind::cubin
                           : FatbinEntry::Kind::other;
  const uint32_t compressed = read<uint32_t>(header + 16);
  entry.sm = static_cast<int>(std::min<uint32_t>(read<uint32_t>(header + 28), 9999));
  const uint64_t flags = read<uint64_t>(header + 40);
  entry.compressed = compressed != 0 || (flags & (flag_lz4 | flag_zstd));
  entry.exact = flags & flag_exact;
  entry.family = flags & flag_family;
  entry.data = header + header_bytes;
  entry.size = stored;
  return entry;
}

}  // namespace

Fatbin parse_fatbin(const void* image, size_t size) {
  Fatbin result;
  const auto* const data = static_cast<const uint8_t*>(image);
  if (size < 16) return {{}, "fatbin: shorter than its header of 16 bytes"};
  if (read<uint32_t>(data) != fatbin_magic) return {{}, "fatbin: no fatbin, the magic number is wrong"};
  const uint16_t version = read<uint16_t>(data + 4), header = read<uint16_t>(data + 6);
  if (version != 1) return {{}, "fatbin: version " + std::to_string(version) + ", only 1 is known"};
  const uint64_t payload = read<uint64_t>(data + 8);
  if (header < 16 || header > size) return {{}, at_byte("a header length that does not fit", 6)};
  if (size != SIZE_MAX && payload > size - header)
    return {{}, at_byte("a payload longer than the image", 8)};
  if (payload > (uint64_t(1) << 40)) return {{}, at_byte("a payload length that cannot be", 8)};
  const size_t end = header + static_cast<size_t>(payload);
  for (size_t at = header; at < end;) {
    if (end - at < smallest_entry) {
      result.error = at_byte("an entry cut short", at);
      break;
    }
    const uint32_t entry_header = read<uint32_t>(data + at + 4);
    const uint64_t stored = read<uint64_t>(data + at + 8);
    if (entry_header < smallest_entry || entry_header > end - at || stored > end - at - entry_header) {
      result.error = at_byte("an entry longer than the image", at);
      break;
    }
    result.entries.push_back(read_entry(data + at, entry_header, stored));
    at += entry_header + static_cast<size_t>(stored);
  }
  if (result.entries.empty() && result.error.empty()) {
    result.error = "fatbin: no entries (programs of relocatable device code, -rdc=true, are linked "
                   "as machine code, which is not run)";
  }
  return result;
}

const FatbinEntry* choose_ptx(const Fatbin& fatbin, int sm, std::string* error) {
  const FatbinEntry* best = nullptr;
  const FatbinEntry* compressed = nullptr;
  std::set<std::string> others;
  for (const FatbinEntry& entry : fatbin.entries) {
    const std::string suffix = entry.exact ? "a" : entry.family ? "f" : "";
    const bool text = entry.kind == FatbinEntry::Kind::ptx;
    if (entry.kind == FatbinEntry::Kind::other) continue;
    const bool fits = text && entry.sm <= sm && (!entry.exact || entry.sm == sm) &&
                      (!entry.family || entry.sm / 10 == sm / 10);
    if (!fits) others.insert((text ? "compute_" : "sm_") + std::to_string(entry.sm) + suffix);
    else if (entry.compressed) compressed = &entry;
    else if (!best || entry.sm > best->sm) best = &entry;
  }
  if (best) return best;
  const std::string device = "compute_" + std::to_string(sm);
  if (compressed) {
    *error = "fatbin: the PTX for compute_" + std::to_string(compressed->sm) +
             " is compressed; build it with nvcc --no-compress";
  } else if (!fatbin.error.empty()) {
    *error = fatbin.error;
  } else {
    *error = "fatbin: no PTX that " + device + " can take; add -gencode arch=" + device + ",code=" + device +
             ", or set EMULATOR_DEVICE to a later GPU";
    std::string list;
    for (const std::string& other : others) list += (list.empty() ? " (it holds " : ", ") + other;
    if (!list.empty()) *error += list + ")";
  }
  return nullptr;
}

// An ELF file's section .nv.info holds records {u8 format, u8 attribute, u16 bytes}; format 4 carries a
// payload. Attribute 0x2f is {u32 symbol, u32 registers}.
std::unordered_map<std::string, int> cubin_registers(const uint8_t* data, size_t size) {
  std::unordered_map<std::string, int> result;
  struct Section {
    uint32_t name, type;
    uint64_t offset, bytes;
  };
  if (size < 64 || std::memcmp(data, "\177ELF\2\1", 6) != 0) return result;
  const uint64_t table = read<uint64_t>(data + 40);
  const uint16_t entry = read<uint16_t>(data + 58), count = read<uint16_t>(data + 60);
  const uint16_t names_index = read<uint16_t>(data + 62);
  if (entry < 64 || table > size || (size - table) / entry < count || names_index >= count) return result;
  std::vector<Section> sections;
  for (uint16_t i = 0; i < count; i++) {
    const uint8_t* s = data + table + size_t(i) * entry;
    sections.push_back(
        {read<uint32_t>(s), read<uint32_t>(s + 4), read<uint64_t>(s + 24), read<uint64_t>(s + 32)});
    const Section& last = sections.back();
    if (last.type != 8 && (last.offset > size || last.bytes > size - last.offset)) return result;
  }
  const auto text = [&](const Section& strings, uint64_t offset) -> std::string {
    if (strings.type == 8 || offset >= strings.bytes) return "";
    const char* from = reinterpret_cast<const char*>(data + strings.offset + offset);
    return std::string(from, strnlen(from, strings.bytes - offset));
  };
  const Section *symbols = nullptr, *strings = nullptr, *info = nullptr;
  for (const Section& section : sections) {
    if (section.type == 8) continue;
    const std::string name = text(sections[names_index], section.name);
    if (name == ".symtab") symbols = &section;
    if (name == ".strtab") strings = &section;
    if (name == ".nv.info") info = &section;
  }
  if (!symbols || !strings || !info) return result;
  const uint8_t* const from = data + info->offset;
  for (size_t at = 0; at + 4 <= info->bytes;) {
    const uint8_t format = from[at], attribute = from[at + 1];
    const size_t bytes = format == 4 ? read<uint16_t>(from + at + 2) : 0;
    if (bytes > info->bytes - at - 4) break;
    if (attribute == 0x2f && bytes >= 8) {
      const uint64_t symbol = read<uint32_t>(from + at + 4), offset = symbol * 24;
      const uint32_t registers = read<uint32_t>(from + at + 8);
      if (offset + 24 <= symbols->bytes && registers <= 255) {
        const std::string name = text(*strings, read<uint32_t>(data + symbols->offset + offset));
        if (!name.empty()) result[name] = static_cast<int>(registers);
      }
    }
    at += 4 + bytes;
  }
  return result;
}

}  // namespace ptx
