// Loads and stores: addresses, spaces, bounds, alignment; then the shadows, then the bytes.
#include <algorithm>

#include "ops.h"
#include "shadow.h"

namespace ptx {

void addresses_of(Warp& w, const Access& access, uint32_t, uint64_t* addr) {
  const uint64_t offset = uint64_t(access.offset);
  if (access.base == no_slot) {
    for (int l = 0; l < 32; ++l) addr[l] = offset;
  } else if (access.wide) {
    const uint64_t* base = w.reg<uint64_t>(access.base);
    for (int l = 0; l < 32; ++l) addr[l] = base[l] + offset;
  } else {
    const uint32_t* base = w.reg<uint32_t>(access.base);
    for (int l = 0; l < 32; ++l) addr[l] = uint32_t(base[l] + uint32_t(offset));
  }
}

// Generic addresses to their space; the window's tag is taken off. Lanes of several spaces give
// Space::generic.
Space resolve_space(Warp& w, const Inst& i, Space space, uint64_t* addr, uint32_t mask) {
  if (space == Space::constant) return Space::global;
  if (space != Space::generic) return space;
  const uint64_t tag = addr[first_lane(mask)] & window_mask;
  for (uint32_t m = mask; m; m &= m - 1)
    if ((addr[first_lane(m)] & window_mask) != tag) return Space::generic;
  if (!tag) return Space::global;
  if (tag != shared_window && tag != local_window && tag != param_window)
    fault(w, i, first_lane(mask), FaultKind::out_of_bounds, "the address lies in no state space",
          addr[first_lane(mask)]);
  for (uint32_t m = mask; m; m &= m - 1) addr[first_lane(m)] &= ~window_mask;
  return tag == shared_window ? Space::shared : tag == local_window ? Space::local : Space::param;
}

void check_alignment(Warp& w, const Inst& i, const uint64_t* addr, uint32_t mask, uint32_t bytes) {
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = first_lane(m);
    if (addr[l] & (bytes - 1))
      fault(w, i, l, FaultKind::misaligned,
            "the address is not a multiple of " + std::to_string(bytes), addr[l]);
  }
}

const Allocation* find_allocation(const Launch& launch, uint64_t address) {
  auto& list = launch.allocations;
  auto next = std::upper_bound(list.begin(), list.end(), address,
                               [](uint64_t a, const Allocation& b) { return a < b.begin; });
  if (next == list.begin()) return nullptr;
  --next;
  return address < next->end ? &*next : nullptr;
}

static const Allocation* check_lane(Warp& w, const Inst& i, int l, uint64_t address,
                                    uint32_t bytes) {
  const Allocation* found = find_allocation(*w.block->launch, address);
  const Memory& memory = *w.block->launch->memory;
  if (!found)
    fault(w, i, l, FaultKind::out_of_bounds, "the address is " + memory.describe(address), address);
  if (found->freed)
    fault(w, i, l, FaultKind::freed, "the memory was freed: " + memory.describe(address), address);
  if (bytes > found->end - address)
    fault(w, i, l, FaultKind::out_of_bounds,
          "the access of " + std::to_string(bytes) + " bytes begins " + memory.describe(address) +
              " and passes its end",
          address);
  return found;
}

static void check_written(Warp& w, const Inst& i, const Access& access, const Allocation& in,
                          const uint64_t* addr, const Pattern& pattern, uint32_t bytes,
                          uint64_t low, uint64_t high) {
  const Memory& memory = *w.block->launch->memory;
  const uint64_t shift =
      reinterpret_cast<uint64_t>(memory.written()) - reinterpret_cast<uint64_t>(memory.base());
  auto marks = [shift](uint64_t address) {
    return reinterpret_cast<const uint8_t*>(address + shift);
  };
  if (high - low <= 1024 && in.begin <= low && !memchr(marks(low), 0, high - low)) return;
  for (uint32_t m = pattern.mask; m; m &= m - 1) {
    int l = first_lane(m);
    if (!memchr(marks(addr[l]), 0, bytes)) continue;
    const uint32_t element = access.element(bytes);
    for (uint32_t k = 0; k < bytes; k += element)
      if (!memchr(marks(addr[l] + k), 1, element))
        read_unwritten(w, i, access, l, k, element, addr[l], false);
  }
}

// Bounds and rights; true when host memory outside the arena is meant.
static bool check_bounds(Warp& w, const Inst& i, const uint64_t* addr, const Pattern& pattern,
                         uint32_t bytes, Touch touch) {
  const uint64_t base = addr[first_lane(pattern.mask)];
  const Allocation*& last = w.worker->last;
  bool external = false, constant = false;
  auto holds = [&](const Allocation* a) {
    return a && !a->freed && pattern.within(base, bytes, a->begin, a->end);
  };
  if (!holds(last)) last = find_allocation(*w.block->launch, base);
  if (holds(last)) {
    external = last->external;
    constant = last->kind == MemoryKind::constant;
  } else {
    for (uint32_t m = pattern.mask; m; m &= m - 1) {
      last = check_lane(w, i, first_lane(m), addr[first_lane(m)], bytes);
      external |= last->external;
      constant |= last->kind == MemoryKind::constant;
    }
  }
  if (constant && touch != Touch::read)
    fault(w, i, first_lane(pattern.mask), FaultKind::out_of_bounds, "stores to constant memory",
          base);
  return external;
}

const Pattern& check_global(Warp& w, const Inst& i, const Access& access, const uint64_t* addr,
                            uint32_t mask, uint32_t bytes, Touch touch, const uint8_t* data) {
  const Pattern& pattern = pattern_of(w, i, false, addr, mask, bytes);
  const uint64_t base = addr[first_lane(mask)];
  if ((base | pattern.bits) & (bytes - 1)) check_alignment(w, i, addr, mask, bytes);
  const bool external = check_bounds(w, i, addr, pattern, bytes, touch);
  Tally& tally = w.worker->tally;
  if (counts_memory(w)) {
    if (touch != Touch::write) count_global(tally.global_read, addr, mask, bytes, &pattern);
    if (touch != Touch::read) count_global(tally.global_write, addr, mask, bytes, &pattern);
  }
  if (external || !full_checks(w)) return pattern;
  const MemoryKind kind = w.worker->last->kind;
  if (touch != Touch::write && (kind == MemoryKind::device || kind == MemoryKind::heap))
    check_written(w, i, access, *w.worker->last, addr, pattern, bytes,
                  base + uint64_t(pattern.low), base + uint64_t(pattern.high) + bytes);
  if (!access.read_only || kind != MemoryKind::constant)
    global_race(w, i, access, addr, pattern, bytes, touch, data);
  return pattern;
}

// Another block of the cluster, or what is wrong.
static Block& distant_block(Warp& w, const Inst& i, uint64_t* addr, uint32_t mask, uint32_t bytes) {
  Block* target = w.block;
  const uint64_t rank = addr[first_lane(mask)] >> cluster_shift;
  if (rank) {
    auto& blocks = w.block->cluster->blocks;
    if (rank > blocks.size())
      fault(w, i, first_lane(mask), FaultKind::out_of_bounds,
            "the shared address belongs to no block of the cluster", addr[first_lane(mask)]);
    target = blocks[size_t(rank - 1)].get();
    for (uint32_t m = mask; m; m &= m - 1) {
      uint64_t& a = addr[first_lane(m)];
      if (a >> cluster_shift != rank)
        fault(w, i, first_lane(m), FaultKind::invalid_address_space,
              "lanes of one instruction address several blocks", a);
      a &= (1u << cluster_shift) - 1;
    }
    if (target->done)
      fault(w, i, first_lane(mask), FaultKind::out_of_bounds,
            "the block whose shared memory is meant has exited");
  }
  const uint64_t size = w.block->launch->shared_bytes;
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = first_lane(m);
    if (addr[l] < size && addr[l] + bytes <= size) continue;
    fault(w, i, l, FaultKind::out_of_bounds,
          "shared memory has " + std::to_string(size) + " bytes, the access ends at " +
              std::to_string(addr[l] + bytes),
          addr[l]);
  }
  check_alignment(w, i, addr, mask, bytes);
  return *target;
}

// The block whose shared memory is meant, bounds and alignment checked; addr become offsets.
SharedPlace shared_place(Warp& w, const Inst& i, uint64_t* addr, uint32_t mask, uint32_t bytes) {
  const Pattern& pattern = pattern_of(w, i, true, addr, mask, bytes);
  const uint64_t base = addr[first_lane(mask)], size = w.block->launch->shared_bytes;
  if (counts_memory(w)) count_shared(w, pattern, bytes);
  if (pattern.within(base, bytes, 0, size) && !((base | pattern.bits) & (bytes - 1)))
    return {*w.block, pattern};
  return {distant_block(w, i, addr, mask, bytes), pattern};
}

static uint8_t* lane_memory(Warp& w, const Inst& i, Space space, uint64_t address, int l,
                            uint32_t bytes) {
  if (space == Space::param) {
    auto& parameters = w.block->launch->parameters;
    if (address + bytes > parameters.size() || address + bytes < address)
      fault(w, i, l, FaultKind::out_of_bounds, "outside the kernel's parameters", address);
    return parameters.data() + address;
  }
  const size_t size = w.program->local_bytes;
  if (address + bytes > size || address + bytes < address)
    fault(w, i, l, FaultKind::out_of_bounds,
          "local memory has " + std::to_string(size) + " bytes a thread", address);
  return w.local + size_t(l) * size + address;
}

static void count_local(uint32_t mask, uint32_t bytes, MemoryTraffic& traffic) {
  // Hardware interleaves local memory by lanes, so that equal addresses make full sectors.
  const uint64_t total = uint64_t(__builtin_popcount(mask)) * bytes;
  ++traffic.requests;
  traffic.bytes += total;
  traffic.sectors += (total + 31) / 32;
}

// Lanes' bytes from and to memory at base + addr.
struct Bytes16 {
  uint64_t low, high;
};
struct Bytes32 {
  Bytes16 low, high;
};
template <class T>
static void gather(uint64_t base, const uint64_t* addr, uint32_t mask, uint8_t* data) {
  T* out = reinterpret_cast<T*>(data);
  if (mask == all_lanes) {
    for (int l = 0; l < 32; ++l)
      memcpy(&out[l], reinterpret_cast<const void*>(base + addr[l]), sizeof(T));
  } else {
    for (uint32_t m = mask; m; m &= m - 1)
      memcpy(&out[first_lane(m)], reinterpret_cast<const void*>(base + addr[first_lane(m)]),
             sizeof(T));
  }
}
template <class T>
static void spread(uint64_t base, const uint64_t* addr, uint32_t mask, const uint8_t* data) {
  const T* from = reinterpret_cast<const T*>(data);
  for (uint32_t m = mask; m; m &= m - 1)
    memcpy(reinterpret_cast<void*>(base + addr[first_lane(m)]), &from[first_lane(m)], sizeof(T));
}
static void fetch(uint64_t base, const uint64_t* addr, const Pattern& pattern, uint32_t bytes,
                  uint8_t* data) {
  const uint32_t mask = pattern.mask;
  if (pattern.row) {
    memcpy(data, reinterpret_cast<const void*>(base + addr[0]), 32 * bytes);
    return;
  }
  switch (bytes) {
    case 1:
      return gather<uint8_t>(base, addr, mask, data);
    case 2:
      return gather<uint16_t>(base, addr, mask, data);
    case 4:
      return gather<uint32_t>(base, addr, mask, data);
    case 8:
      return gather<uint64_t>(base, addr, mask, data);
    case 16:
      return gather<Bytes16>(base, addr, mask, data);
    default:
      return gather<Bytes32>(base, addr, mask, data);
  }
}
static void put(uint64_t base, const uint64_t* addr, const Pattern& pattern, uint32_t bytes,
                const uint8_t* data) {
  const uint32_t mask = pattern.mask;
  if (pattern.row) {
    memcpy(reinterpret_cast<void*>(base + addr[0]), data, 32 * bytes);
    return;
  }
  switch (bytes) {
    case 1:
      return spread<uint8_t>(base, addr, mask, data);
    case 2:
      return spread<uint16_t>(base, addr, mask, data);
    case 4:
      return spread<uint32_t>(base, addr, mask, data);
    case 8:
      return spread<uint64_t>(base, addr, mask, data);
    case 16:
      return spread<Bytes16>(base, addr, mask, data);
    default:
      return spread<Bytes32>(base, addr, mask, data);
  }
}

static void mark_written(const Memory& memory, const uint64_t* addr, const Pattern& pattern,
                         uint32_t bytes) {
  const uint64_t marks =
      reinterpret_cast<uint64_t>(memory.written()) - reinterpret_cast<uint64_t>(memory.base());
  auto set = [&](int l, uint32_t count) {
    memset(reinterpret_cast<void*>(marks + addr[l]), 1, count * bytes);
  };
  if (pattern.row) return set(0, 32);
  for (uint32_t m = pattern.mask; m; m &= m - 1) set(first_lane(m), 1);
}

void read_lanes(Warp& w, const Inst& i, const Access& access, const uint64_t* given, uint32_t mask,
                uint32_t bytes, uint8_t* data) {
  uint64_t addr[32];
  memcpy(addr, given, sizeof addr);
  Space space = resolve_space(w, i, access.space, addr, mask);
  if (space == Space::generic) {  // several spaces, or several blocks: lane by lane
    for (uint32_t m = mask; m; m &= m - 1) read_lanes(w, i, access, given, m & -m, bytes, data);
    return;
  }
  if (space == Space::global) {
    fetch(0, addr, check_global(w, i, access, addr, mask, bytes, Touch::read, nullptr), bytes, data);
    if (access.acquire) global_acquire(w);  // after the value that it goes with
    return;
  }
  if (space == Space::shared) {
    if (access.cluster || addr[first_lane(mask)] >> cluster_shift) {
      const uint64_t rank = addr[first_lane(mask)] >> cluster_shift;
      for (uint32_t m = mask; m; m &= m - 1) {
        if (addr[first_lane(m)] >> cluster_shift == rank) continue;
        for (uint32_t k = mask; k; k &= k - 1) read_lanes(w, i, access, given, k & -k, bytes, data);
        return;
      }
    }
    const SharedPlace place = shared_place(w, i, addr, mask, bytes);
    Block& block = place.block;
    if (access.acquire && !block.released.empty()) {
      for (uint32_t m = mask; m; m &= m - 1) {
        auto found = block.released.find(addr[first_lane(m)]);
        if (found != block.released.end()) learn(w, found->second);
      }
    }
    if (full_checks(w)) shared_read(w, i, place, access, addr);
    return fetch(reinterpret_cast<uint64_t>(block.shared.data()), addr, place.pattern, bytes, data);
  }
  if (space == Space::local) {
    check_alignment(w, i, addr, mask, bytes);
    count_local(mask, bytes, w.worker->tally.local_read);
  }
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = first_lane(m);
    memcpy(data + uint32_t(l) * bytes, lane_memory(w, i, space, addr[l], l, bytes), bytes);
  }
}

void write_lanes(Warp& w, const Inst& i, const Access& access, const uint64_t* given, uint32_t mask,
                 uint32_t bytes, const uint8_t* data) {
  uint64_t addr[32];
  memcpy(addr, given, sizeof addr);
  Space space = resolve_space(w, i, access.space, addr, mask);
  if (space != Space::local) ++w.block->progress;
  if (space == Space::generic) {
    for (uint32_t m = mask; m; m &= m - 1) write_lanes(w, i, access, given, m & -m, bytes, data);
    return;
  }
  if (space == Space::global) {
    if (access.release) global_release(w);
    const Pattern& pattern = check_global(w, i, access, addr, mask, bytes, Touch::write, data);
    put(0, addr, pattern, bytes, data);
    if (!w.worker->last->external) mark_written(*w.block->launch->memory, addr, pattern, bytes);
    return;
  }
  if (space == Space::shared) {
    const uint64_t rank = addr[first_lane(mask)] >> cluster_shift;
    for (uint32_t m = mask; m; m &= m - 1) {
      if (addr[first_lane(m)] >> cluster_shift == rank) continue;
      for (uint32_t k = mask; k; k &= k - 1) write_lanes(w, i, access, given, k & -k, bytes, data);
      return;
    }
    const SharedPlace place = shared_place(w, i, addr, mask, bytes);
    Block& block = place.block;
    if (access.release && w.program->uses_fences) {
      for (uint32_t m = mask; m; m &= m - 1) publish(w, block.released[addr[first_lane(m)]]);
      tick(block);
    }
    if (full_checks(w) && !shared_write(w, i, place, access, addr, bytes, data)) return;
    return put(reinterpret_cast<uint64_t>(block.shared.data()), addr, place.pattern, bytes, data);
  }
  if (space == Space::param)
    fault(w, i, first_lane(mask), FaultKind::out_of_bounds, "stores to the kernel's parameters");
  check_alignment(w, i, addr, mask, bytes);
  count_local(mask, bytes, w.worker->tally.local_write);
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = first_lane(m);
    memcpy(lane_memory(w, i, space, addr[l], l, bytes), data + uint32_t(l) * bytes, bytes);
  }
}

// Puts element k of each lane's data into a slot; 8-bit elements are extended into 16-bit slots.
template <class R, class T>
static void scatter(Warp& w, uint32_t slot, uint32_t mask, const uint8_t* data, uint32_t k,
                    uint32_t count) {
  R* d = w.reg<R>(slot);
  const T* from = reinterpret_cast<const T*>(data);
  if (mask == all_lanes)
    for (uint32_t l = 0; l < 32; ++l) d[l] = R(from[l * count + k]);
  else
    for (int l = 0; l < 32; ++l) d[l] = (mask >> l) & 1 ? R(from[uint32_t(l) * count + k]) : d[l];
}

template <class R, class T>
static void collect(Warp& w, uint32_t slot, uint8_t* data, uint32_t k, uint32_t count) {
  const R* a = w.reg<R>(slot);
  T* to = reinterpret_cast<T*>(data);
  for (int l = 0; l < 32; ++l) to[uint32_t(l) * count + k] = T(a[l]);
}

void load(Warp& w, const Inst& i, uint32_t mask) {
  const Access& access = w.program->accesses[size_t(i.access)];
  uint64_t addr[32];
  alignas(32) uint8_t data[32 * 32];
  addresses_of(w, access, mask, addr);
  const uint32_t count = access.count;
  read_lanes(w, i, access, addr, mask, access.bytes * count, data);
  for (uint32_t k = 0; k < count; ++k) {
    uint32_t slot = i.extra ? w.program->extra[i.x + k] : i.d;
    if (slot == no_slot) continue;
    switch (access.bytes) {
      case 1:
        if (access.type == Ty::s8)
          scatter<uint16_t, int8_t>(w, slot, mask, data, k, count);
        else
          scatter<uint16_t, uint8_t>(w, slot, mask, data, k, count);
        break;
      case 2:
        scatter<uint16_t, uint16_t>(w, slot, mask, data, k, count);
        break;
      case 4:
        scatter<uint32_t, uint32_t>(w, slot, mask, data, k, count);
        break;
      case 8:
        scatter<uint64_t, uint64_t>(w, slot, mask, data, k, count);
        break;
      default:
        scatter<Bytes16, Bytes16>(w, slot, mask, data, k, count);
    }
  }
}

void store(Warp& w, const Inst& i, uint32_t mask) {
  const Access& access = w.program->accesses[size_t(i.access)];
  uint64_t addr[32];
  alignas(32) uint8_t data[32 * 32];
  addresses_of(w, access, mask, addr);
  const uint32_t count = access.count;
  for (uint32_t k = 0; k < count; ++k) {
    uint32_t slot = i.extra ? w.program->extra[i.x + k] : i.a;
    switch (access.bytes) {
      case 1:
        collect<uint16_t, uint8_t>(w, slot, data, k, count);
        break;
      case 2:
        collect<uint16_t, uint16_t>(w, slot, data, k, count);
        break;
      case 4:
        collect<uint32_t, uint32_t>(w, slot, data, k, count);
        break;
      case 8:
        collect<uint64_t, uint64_t>(w, slot, data, k, count);
        break;
      default:
        collect<Bytes16, Bytes16>(w, slot, data, k, count);
    }
  }
  write_lanes(w, i, access, addr, mask, access.bytes * count, data);
}

}  // namespace ptx
