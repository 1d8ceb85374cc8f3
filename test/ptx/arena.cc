// Device memory: one reserved range of host memory with shadows beside it.
// Plan: allocations are 512-byte aligned with an untouched guard zone of 512 bytes or more on
//   either side;
// what is freed waits in quarantine, so that a late access is named. Pages cost nothing until they
// are touched.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "emulator.h"

namespace ptx {

static constexpr size_t guard = 512, quarantine_limit = size_t(64) << 20;

static uint8_t* reserve(size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  madvise(p, bytes, MADV_HUGEPAGE);  // fewer faults on first touch; a refusal does no harm
  return static_cast<uint8_t*>(p);
}

// A machine that forbids large reservations gets a smaller device.
Memory::Memory(size_t arena_bytes) {
  for (size_ = arena_bytes; size_ >= (size_t(64) << 20); size_ /= 2) {
    base_ = reserve(size_);
    written_ = reserve(size_);
    granules_ = reinterpret_cast<Shadow*>(reserve(size_ * sizeof(Shadow)));
    lines_ = reinterpret_cast<Shadow*>(reserve(size_ / 8 * sizeof(Shadow)));
    if (base_ && written_ && granules_ && lines_) break;
    unmap();
    base_ = nullptr;
  }
  if (!base_) throw std::bad_alloc();
  limit_ = size_;
  top_ = guard;
}

Memory::~Memory() { unmap(); }

void Memory::unmap() {
  if (base_) munmap(base_, size_);
  if (written_) munmap(written_, size_);
  if (granules_) munmap(granules_, size_ * sizeof(Shadow));
  if (lines_) munmap(lines_, size_ / 8 * sizeof(Shadow));
}

// Clears a range of a shadow or of memory; large ranges are given back to the system, which returns
// zeros.
static void clear(uint8_t* at, size_t bytes) {
  const size_t page = 4096;
  uintptr_t first = (reinterpret_cast<uintptr_t>(at) + page - 1) / page * page;
  uintptr_t last = reinterpret_cast<uintptr_t>(at + bytes) / page * page;
  if (bytes < 16 * page || last <= first) {
    memset(at, 0, bytes);
    return;
  }
  memset(at, 0, first - reinterpret_cast<uintptr_t>(at));
  madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  memset(reinterpret_cast<void*>(last), 0, reinterpret_cast<uintptr_t>(at + bytes) - last);
}

uint64_t Memory::allocate(size_t bytes, MemoryKind kind, const std::string& label) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!bytes || bytes > size_ || (kind == MemoryKind::device && used_ + bytes > limit_)) return 0;
  const size_t span = (bytes + 511) / 512 * 512 + guard;  // the guard before it is its neighbour's
  size_t offset = 0;
  auto hole = holes_.lower_bound(span);
  if (hole != holes_.end()) {
    const size_t size = hole->first;
    offset = hole->second;
    holes_.erase(hole);
    if (size > span) holes_.emplace(size - span, offset + span);
    clear(written_ + offset, span);
    clear(base_ + offset, span);
  } else {
    if (span > size_ - top_) return 0;
    offset = top_;
    top_ += span;
  }
  Allocation made;
  made.begin = reinterpret_cast<uint64_t>(base_ + offset);
  made.end = made.begin + bytes;
  made.kind = kind;
  made.serial = ++serial_;
  made.label = label;
  allocations_[made.begin] = made;
  if (kind == MemoryKind::device)
    used_ += bytes;
  else if (kind != MemoryKind::heap)
    memset(written_ + offset, 1, bytes);
  return made.begin;
}

uint64_t Memory::heap_allocate(size_t bytes, size_t limit) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (bytes > limit || heap_used_ > limit - bytes) return 0;
    heap_used_ += bytes;
  }
  const uint64_t made = allocate(bytes, MemoryKind::heap, "malloc");
  std::lock_guard<std::mutex> lock(mutex_);
  if (!made) heap_used_ -= bytes;
  return made;
}

bool Memory::release(uint64_t address) { return retire(address, false); }
bool Memory::heap_release(uint64_t address) { return retire(address, true); }

bool Memory::retire(uint64_t address, bool heap) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = allocations_.find(address);
  if (found == allocations_.end() || found->second.freed || found->second.external) return false;
  Allocation& allocation = found->second;
  if ((allocation.kind == MemoryKind::heap) != heap) return false;
  allocation.freed = true;
  const size_t bytes = allocation.end - allocation.begin;
  if (allocation.kind == MemoryKind::device) used_ -= bytes;
  if (heap) heap_used_ -= bytes;
  quarantine_.push_back(address);
  quarantined_ += bytes;
  size_t out = 0;
  while (out < quarantine_.size() &&
         (quarantined_ > quarantine_limit || quarantine_.size() - out > 4096)) {
    auto oldest = allocations_.find(quarantine_[out++]);
    const size_t size = oldest->second.end - oldest->second.begin;
    quarantined_ -= size;
    holes_.emplace((size + 511) / 512 * 512 + guard,
                   oldest->second.begin - reinterpret_cast<uint64_t>(base_));
    allocations_.erase(oldest);
  }
  quarantine_.erase(quarantine_.begin(), quarantine_.begin() + long(out));
  return true;
}

bool Memory::add_external(void* host, size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  Allocation made;
  made.begin = reinterpret_cast<uint64_t>(host);
  made.end = made.begin + bytes;
  made.kind = MemoryKind::host;
  made.external = true;
  made.serial = ++serial_;
  return bytes && allocations_.emplace(made.begin, made).second;
}

bool Memory::remove_external(void* host) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = allocations_.find(reinterpret_cast<uint64_t>(host));
  if (found == allocations_.end() || !found->second.external) return false;
  allocations_.erase(found);
  return true;
}

size_t Memory::used() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return used_;
}

const Allocation* Memory::locate(uint64_t address) const {
  auto next = allocations_.upper_bound(address);
  if (next == allocations_.begin()) return nullptr;
  const Allocation& found = std::prev(next)->second;
  return address < found.end ? &found : nullptr;
}

bool Memory::find(uint64_t address, Allocation* out) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const Allocation* found = locate(address);
  if (found && out) *out = *found;
  return found;
}

static AddressError judge(const Allocation* found, uint64_t address, size_t bytes) {
  if (!found) return AddressError::unknown;
  if (found->freed) return AddressError::freed;
  return bytes > found->end - address ? AddressError::overrun : AddressError::none;
}

AddressError Memory::check(uint64_t address, size_t bytes) const {
  std::lock_guard<std::mutex> lock(mutex_);
  return judge(locate(address), address, bytes);
}

std::string Memory::describe(uint64_t address) const {
  std::lock_guard<std::mutex> lock(mutex_);
  auto name = [](const Allocation& a) {
    return (a.label.empty() ? "allocation #" + std::to_string(a.serial) : "variable " + a.label) +
           " (" + std::to_string(a.end - a.begin) + " bytes" + (a.freed ? ", freed)" : ")");
  };
  if (address < 4096) return "a null pointer";
  if (const Allocation* found = locate(address))
    return std::to_string(address - found->begin) + " bytes into " + name(*found);
  auto next = allocations_.upper_bound(address);
  const uint64_t near = uint64_t(1) << 20;
  uint64_t after = next != allocations_.end() ? next->first - address : ~uint64_t(0),
           before = ~uint64_t(0);
  if (next != allocations_.begin()) before = address - std::prev(next)->second.end;
  if (before <= after && before < near)
    return std::to_string(before) + " bytes past the end of " + name(std::prev(next)->second);
  if (after < near) return std::to_string(after) + " bytes before " + name(next->second);
  return "in no allocation";
}

AddressError Memory::write(uint64_t to, const void* from, size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Allocation* found = locate(to);
  AddressError error = bytes ? judge(found, to, bytes) : AddressError::none;
  if (error != AddressError::none || !bytes) return error;
  memcpy(reinterpret_cast<void*>(to), from, bytes);
  if (!found->external) memset(written_ + (reinterpret_cast<uint8_t*>(to) - base_), 1, bytes);
  return error;
}

AddressError Memory::read(void* to, uint64_t from, size_t bytes) const {
  AddressError error = bytes ? check(from, bytes) : AddressError::none;
  if (error == AddressError::none && bytes) memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return error;
}

AddressError Memory::copy(uint64_t to, uint64_t from, size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!bytes) return AddressError::none;
  const Allocation *source = locate(from), *target = locate(to);
  AddressError error = judge(source, from, bytes);
  if (error == AddressError::none) error = judge(target, to, bytes);
  if (error != AddressError::none) return error;
  memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
  if (target->external) return error;
  uint8_t* marks = written_ + (reinterpret_cast<uint8_t*>(to) - base_);
  if (source->external || (target->kind != MemoryKind::device && target->kind != MemoryKind::heap))
    memset(marks, 1, bytes);
  else
    memmove(marks, written_ + (reinterpret_cast<uint8_t*>(from) - base_), bytes);
  return error;
}

AddressError Memory::fill(uint64_t to, uint32_t value, int width, size_t count) {
  std::lock_guard<std::mutex> lock(mutex_);
  const size_t bytes = size_t(width) * count;
  const Allocation* found = locate(to);
  AddressError error = bytes ? judge(found, to, bytes) : AddressError::none;
  if (error != AddressError::none || !bytes) return error;
  uint8_t* at = reinterpret_cast<uint8_t*>(to);
  if (width == 1)
    memset(at, int(value), bytes);
  else
    for (size_t i = 0; i < count; ++i) memcpy(at + i * size_t(width), &value, size_t(width));
  if (!found->external) memset(written_ + (at - base_), 1, bytes);
  return error;
}

uint64_t Memory::first_unwritten(uint64_t address, size_t bytes) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const Allocation* found = locate(address);
  if (!found || found->external || !bytes) return 0;
  const uint8_t* marks = written_ + (reinterpret_cast<uint8_t*>(address) - base_);
  const void* zero = memchr(marks, 0, std::min<size_t>(bytes, found->end - address));
  return zero ? address + uint64_t(static_cast<const uint8_t*>(zero) - marks) : 0;
}

uint32_t Memory::next_launch() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (++launch_ == 4096) {
    madvise(granules_, size_ * sizeof(Shadow), MADV_DONTNEED);
    madvise(lines_, size_ / 8 * sizeof(Shadow), MADV_DONTNEED);
    launch_ = 1;
  }
  return launch_;
}

std::vector<Allocation> Memory::snapshot() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Allocation> out;
  for (auto& item : allocations_) out.push_back(item.second);
  return out;
}

}  // namespace ptx
