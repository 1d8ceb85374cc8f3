// Data races on global memory, between blocks and between the threads of one: its shadow, see
// shadow.h.
#include "shadow.h"

namespace ptx {

namespace {

constexpr uint64_t block_bits = (uint64_t(1) << 27) - 1, atomic_bit = uint64_t(1) << 27,
                   launch_bits = uint64_t(0xfff) << 52, time_mask = 0xffffff;
// Stamps of threads.
constexpr int time_shift = 31, warp_shift = 23;
constexpr uint64_t pc_bits = (uint64_t(1) << warp_shift) - 1, any_warp = 255,
                   thread_bits = uint64_t(63) << time_shift | any_warp << warp_shift;

uint64_t load(const uint64_t* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
void store(uint64_t* p, uint64_t value) { __atomic_store_n(p, value, __ATOMIC_RELAXED); }

struct Shadow {  // of the granules from one on
  uint64_t *writers, *readers, *writer_stamps, *reader_stamps;
  Shadow(const Memory& m, uint64_t g)
      : writers(m.writers() + g),
        readers(m.readers() + g),
        writer_stamps(m.writer_stamps() + g),
        reader_stamps(m.reader_stamps() + g) {}
};

struct Touching {  // one instruction
  Warp& w;
  const Inst& inst;
  const Access& access;
  Touch touch;
  bool atomic;
  const uint8_t* data;  // what a store writes, by lanes
  uint32_t bytes;
  uint64_t tag, stamp;  // stamp: of lane 0
  uint64_t fresh = 0;   // granules not touched this way before in the launch
};

bool block_ordered(const Warp& w, uint64_t entry) {
  const uint32_t time = uint32_t(entry >> 28) & time_mask;
  const uint64_t other = entry & block_bits;
  if (w.block->acquire_time <= time) return false;
  if (other == block_bits) return true;
  return w.block->launch->release_times[other].load(std::memory_order_relaxed) > time;
}

bool thread_ordered(const Warp& w, uint64_t stamp, int lane) {
  const uint32_t time = uint32_t(stamp >> time_shift), warp = (stamp >> warp_shift) & any_warp;
  if (time < w.safe) return true;
  if (warp == any_warp) return false;
  return warp == w.index ? lane_ordered(w, time, lane) : time <= w.known[w.order - w.index + warp];
}

[[noreturn]] void block_fault(const Touching& t, int l, uint64_t entry, const char* ours,
                              const char* theirs, uint64_t address) {
  const Launch& launch = *t.w.block->launch;
  const uint64_t other = entry & block_bits;
  std::string who = "several blocks";
  if (other != block_bits) {
    const uint32_t* g = launch.config.grid;
    who = "block (" + std::to_string(other % g[0]) + "," + std::to_string(other / g[0] % g[1]) +
          "," + std::to_string(other / g[0] / g[1]) + ")";
  }
  fault(t.w, t.inst, l, FaultKind::race,
        std::string("data race on global memory: this block ") + ours + " what " + who + " " +
            theirs + " in the same launch, with no atomic and fence between them; " +
            launch.memory->describe(address),
        address);
}

[[noreturn]] void thread_fault(const Touching& t, int l, uint64_t stamp, const char* ours,
                               const char* theirs, uint64_t address) {
  const uint32_t warp = (stamp >> warp_shift) & any_warp, lane = (stamp >> time_shift) & 63;
  const Block& block = *t.w.block;
  std::string who = warp == any_warp  ? "threads of several warps"
                    : lane >= several ? "several threads of warp " + std::to_string(warp)
                                      : "thread " + thread_text(block, warp * 32 + lane);
  const uint64_t pc = stamp & pc_bits;
  if (pc < t.w.program->code.size())
    who += " at ptx line " + std::to_string(t.w.program->code[pc].line);
  fault(t.w, t.inst, l, FaultKind::race,
        std::string("data race on global memory: this thread ") + ours +
            " what, in the same block, " + who + " " + theirs +
            (warp == t.w.index ? ", in the same warp with no __syncwarp between them; "
                               : ", with no barrier between them; ") +
            block.launch->memory->describe(address),
        address);
}

void read_granule(Touching& t, const Shadow& s, uint32_t k, int l, uint64_t address) {
  const uint64_t wrote = load(s.writers + k), stamp = t.stamp + (uint64_t(l) << time_shift);
  const bool excused = wrote & atomic_bit && (t.atomic || t.access.seed);
  if (!((wrote ^ t.tag) & launch_bits) && !excused) {
    const char* theirs = wrote & atomic_bit ? "updated" : "wrote";
    if ((wrote ^ t.tag) & block_bits) {
      if (!block_ordered(t.w, wrote)) block_fault(t, l, wrote, "reads", theirs, address);
    } else {
      const uint64_t by = s.writer_stamps[k];
      if ((by ^ stamp) & thread_bits && !thread_ordered(t.w, by, l))
        thread_fault(t, l, by, "reads", theirs, address);
    }
  }
  const uint64_t read = load(s.readers + k);
  uint64_t made = stamp;
  if ((read ^ t.tag) & launch_bits) {
    ++t.fresh;
    store(s.readers + k, t.tag);
  } else if ((read ^ t.tag) & block_bits) {
    const uint64_t now = block_ordered(t.w, read) ? t.tag : t.tag | block_bits;
    if (read != now) store(s.readers + k, now);
  } else {
    if (read != t.tag) store(s.readers + k, t.tag);
    const uint64_t by = s.reader_stamps[k];
    if ((by ^ stamp) & thread_bits && !thread_ordered(t.w, by, l)) {
      made = (stamp & ~(uint64_t(63) << time_shift)) | uint64_t(several) << time_shift;
      if (((by ^ stamp) >> warp_shift) & any_warp) made |= any_warp << warp_shift;
    }
  }
  s.reader_stamps[k] = made;
}

// Stores of the same bytes agree, be it with what stands there or with a lane of this instruction.
bool same_bytes(const Touching& t, int l, uint64_t address, uint64_t by) {
  if (!t.data) return false;
  const uint8_t* ours = t.data + uint32_t(l) * t.bytes;
  if (!memcmp(reinterpret_cast<const void*>(address), ours, t.bytes)) return true;
  const uint64_t lane = (by >> time_shift) & 63, lanes = uint64_t(63) << time_shift;
  return lane < several && (by & ~lanes) == (t.stamp & ~lanes) &&
         !memcmp(t.data + uint32_t(lane) * t.bytes, ours, t.bytes);
}

void write_granule(Touching& t, const Shadow& s, uint32_t k, int l, uint64_t address) {
  const uint64_t wrote = load(s.writers + k), read = load(s.readers + k),
                 stamp = t.stamp + (uint64_t(l) << time_shift);
  const char* ours = t.atomic ? "updates" : "writes";
  if ((wrote ^ t.tag) & launch_bits) {
    ++t.fresh;
  } else if (!(t.atomic && wrote & atomic_bit)) {
    const char* theirs = wrote & atomic_bit ? "updated" : "wrote";
    if ((wrote ^ t.tag) & block_bits) {
      if (!block_ordered(t.w, wrote) && !same_bytes(t, l, address, 0))
        block_fault(t, l, wrote, ours, theirs, address);
    } else {
      const uint64_t by = s.writer_stamps[k];
      if ((by ^ stamp) & thread_bits && !thread_ordered(t.w, by, l) &&
          !same_bytes(t, l, address, by))
        thread_fault(t, l, by, ours, theirs, address);
    }
  }
  if (!((read ^ t.tag) & launch_bits) && !t.atomic) {
    if ((read ^ t.tag) & block_bits) {
      if (!block_ordered(t.w, read) && !same_bytes(t, l, address, 0))
        block_fault(t, l, read, "overwrites", "read", address);
    } else {
      const uint64_t by = s.reader_stamps[k];
      if ((by ^ stamp) & thread_bits && !thread_ordered(t.w, by, l) &&
          !same_bytes(t, l, address, 0))
        thread_fault(t, l, by, "overwrites", "read", address);
    }
  }
  store(s.writers + k, t.atomic ? t.tag | atomic_bit : t.tag);
  s.writer_stamps[k] = stamp;
}

uint64_t is_zero(uint64_t x) { return ((x - 1) & ~x) >> 63; }

// A whole warp on consecutive granules, `per` a lane, that nobody else has touched since we last
// synchronised: nearly all accesses. Without branches, for the compiler to make vector code of;
// without the processor's atomics, as a torn word would do no harm that a late one does not.
__attribute__((no_sanitize("thread"))) bool quick(Touching& t, const Shadow& s, uint32_t per) {
  const uint32_t count = 32 * per;
  const uint64_t safe = uint64_t(t.w.safe) << time_shift, tag = t.tag;
  uint64_t stamps[32 * 32];
  for (uint32_t l = 0; l < 32; ++l)
    for (uint32_t k = 0; k < per; ++k) stamps[l * per + k] = t.stamp + (uint64_t(l) << time_shift);
  uint64_t odd = 0, seen = 0;
  auto look = [&](const uint64_t* words, const uint64_t* marks) {
    uint64_t bad = 0, ours = 0;
    for (uint32_t k = 0; k < count; ++k) {
      const uint64_t word = words[k] ^ tag, mark = marks[k];
      const uint64_t present = is_zero(word & launch_bits);
      const uint64_t other_block = 1 - is_zero(word & block_bits);
      const uint64_t late = 1 - ((mark - safe) >> 63);  // both lie below 2^63
      const uint64_t other_thread = 1 - is_zero((mark ^ stamps[k]) & thread_bits);
      bad |= present & (other_block | (late & other_thread));
      ours += present;
    }
    odd |= bad;
    return ours;
  };
  const uint64_t written = look(s.writers, s.writer_stamps);
  seen = look(s.readers, s.reader_stamps);
  if (odd) return false;
  const bool reads = t.touch == Touch::read;
  uint64_t *words = reads ? s.readers : s.writers,
           *marks = reads ? s.reader_stamps : s.writer_stamps;
  for (uint32_t k = 0; k < count; ++k) words[k] = tag;
  memcpy(marks, stamps, count * sizeof(uint64_t));
  t.fresh += count - (reads ? seen : written);
  return true;
}

}  // namespace

void global_race(Warp& w, const Inst& i, const Access& access, const uint64_t* addr, uint32_t mask,
                 uint32_t bytes, Touch touch, const uint8_t* data, bool row) {
  Launch& launch = *w.block->launch;
  if (!launch.races.load(std::memory_order_relaxed)) return;
  const uint32_t time = launch.clock.load(std::memory_order_relaxed);
  if (time >= time_mask) {
    launch.races = false;
    return;
  }
  const int shift = w.program->global_shift;
  const Memory& memory = *launch.memory;
  const uint64_t base = reinterpret_cast<uint64_t>(memory.base());
  const uint32_t count = (bytes >> shift) ? bytes >> shift : 1;
  Touching t{w,
             i,
             access,
             touch,
             touch == Touch::atomic || access.strong,
             data,
             bytes,
             uint64_t(launch.serial) << 52 | uint64_t(time) << 28 | w.block->linear,
             uint64_t(w.block->clock) << (time_shift + 6) | uint64_t(w.index) << warp_shift |
                 (w.worker->pc & pc_bits)};
  const bool whole =
      row && !t.atomic && bytes >> shift && addr[0] >= base && addr[0] - base < memory.size();
  if (!whole || !quick(t, Shadow(memory, (addr[0] - base) >> shift), count)) {
    for (uint32_t m = mask; m; m &= m - 1) {
      const int l = first_lane(m);
      if (addr[l] < base || addr[l] - base >= memory.size()) continue;
      const Shadow shadow(memory, (addr[l] - base) >> shift);
      for (uint32_t k = 0; k < count; ++k) {
        if (touch == Touch::read)
          read_granule(t, shadow, k, l, addr[l]);
        else
          write_granule(t, shadow, k, l, addr[l]);
      }
    }
  }
  Tally& tally = w.worker->tally;
  (touch == Touch::read ? tally.global_read : tally.global_write).unique_bytes += t.fresh << shift;
}

}  // namespace ptx
