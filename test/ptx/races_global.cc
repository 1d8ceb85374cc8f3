// Data races on global memory, between blocks and between the threads of one: its shadow, see
// shadow.h.
#include <algorithm>

#include "shadow.h"

namespace ptx {

namespace {

constexpr uint64_t block_bits = (uint64_t(1) << 27) - 1, atomic_bit = uint64_t(1) << 27,
                   launch_bits = uint64_t(0xfff) << 52, time_mask = 0xffffff;
// Stamps of threads.
constexpr int time_shift = 31, warp_shift = 23, layout_shift = 20;
constexpr uint64_t pc_bits = (uint64_t(1) << layout_shift) - 1, any_warp = 255,
                   layout_bits = uint64_t(7) << layout_shift,
                   thread_bits = uint64_t(63) << time_shift | any_warp << warp_shift;
// Of a line's writer: its granules are looked at one by one for the rest of the launch.
constexpr uint64_t apart = ~launch_bits;

uint64_t load(const uint64_t* p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
void store(uint64_t* p, uint64_t value) { __atomic_store_n(p, value, __ATOMIC_RELAXED); }

struct Touching {  // one instruction
  Warp& w;
  const Inst& inst;
  const Access& access;
  Touch touch;
  bool atomic;
  const uint8_t* data;  // what a store writes, by lanes
  const uint64_t* addr;
  uint32_t bytes;
  uint64_t tag, stamp;  // stamp: of lane 0
  uint64_t fresh = 0;   // granules not touched this way before in the launch
};

bool present(const Touching& t, uint64_t entry) { return !((entry ^ t.tag) & launch_bits); }
bool of_block(const Touching& t, uint64_t entry) { return !((entry ^ t.tag) & block_bits); }
uint64_t with_lane(uint64_t stamp, uint32_t lane) {
  return (stamp & ~(uint64_t(63) << time_shift)) | uint64_t(lane) << time_shift;
}

bool ordered(uint64_t entry, uint32_t acquired, const std::vector<std::atomic<uint32_t>>& times) {
  const uint32_t time = uint32_t(entry >> 28) & time_mask;
  const uint64_t other = entry & block_bits;
  if (acquired <= time) return false;
  return other == block_bits || times[other].load(std::memory_order_relaxed) > time;
}

bool block_ordered(const Warp& w, uint64_t entry) {
  return ordered(entry, w.block->acquire_time, w.block->launch->release_times);
}

// Reads are over when what depends on them is seen, with a fence or without one.
bool read_over(const Warp& w, uint64_t entry) {
  return block_ordered(w, entry) ||
         ordered(entry, w.block->seen_time, w.block->launch->signal_times);
}

// What a relaxed access or an atomic of ours shows to others, and what we see of theirs.
void signal(const Touching& t) {
  Launch& launch = *t.w.block->launch;
  if (t.touch != Touch::read)
    launch.signal_times[t.w.block->linear].store(launch.clock.fetch_add(1) + 1);
  if (t.touch != Touch::write) t.w.block->seen_time = launch.clock.load();
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

// Notes a read; `stamp` may be of several lanes.
void mark_read(Touching& t, Shadow& s, uint64_t stamp) {
  const uint64_t read = load(&s.reader), by = load(&s.reader_stamp);
  uint64_t made = stamp;
  if (!present(t, read)) {
    ++t.fresh;
    store(&s.reader, t.tag);
  } else if (!of_block(t, read)) {
    const uint64_t now = block_ordered(t.w, read) ? t.tag : t.tag | block_bits;
    if (read != now) store(&s.reader, now);
  } else {
    if (read != t.tag) store(&s.reader, t.tag);
    const uint32_t lane = (stamp >> time_shift) & 63;
    const bool foreign = ((by ^ stamp) >> warp_shift) & any_warp;
    if ((by ^ stamp) & thread_bits && (lane < several || foreign) &&
        !thread_ordered(t.w, by, int(lane))) {
      made = with_lane(stamp, several);
      if (foreign) made |= any_warp << warp_shift;
    }
  }
  store(&s.reader_stamp, made);
}

void check_granule_read(const Touching& t, const Shadow& s, int l) {
  const uint64_t wrote = load(&s.writer), stamp = t.stamp + (uint64_t(l) << time_shift);
  if (!present(t, wrote) || (wrote & atomic_bit && (t.atomic || t.access.seed))) return;
  const char* theirs = wrote & atomic_bit ? "updated" : "wrote";
  if (!of_block(t, wrote)) {
    if (!block_ordered(t.w, wrote)) block_fault(t, l, wrote, "reads", theirs, t.addr[l]);
    return;
  }
  const uint64_t by = load(&s.writer_stamp);
  if ((by ^ stamp) & thread_bits && !thread_ordered(t.w, by, l))
    thread_fault(t, l, by, "reads", theirs, t.addr[l]);
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

void write_granule(Touching& t, Shadow& s, int l) {
  const uint64_t wrote = load(&s.writer), read = load(&s.reader), address = t.addr[l],
                 stamp = t.stamp + (uint64_t(l) << time_shift);
  const char* ours = t.atomic ? "updates" : "writes";
  if (!present(t, wrote)) {
    ++t.fresh;
  } else if (!(t.atomic && wrote & atomic_bit)) {
    const char* theirs = wrote & atomic_bit ? "updated" : "wrote";
    const uint64_t by = load(&s.writer_stamp);
    if (!of_block(t, wrote)) {
      if (!block_ordered(t.w, wrote) && !same_bytes(t, l, address, 0))
        block_fault(t, l, wrote, ours, theirs, address);
    } else if ((by ^ stamp) & thread_bits && !thread_ordered(t.w, by, l) &&
               !same_bytes(t, l, address, by)) {
      thread_fault(t, l, by, ours, theirs, address);
    }
  }
  if (present(t, read) && !t.atomic) {
    const uint64_t by = load(&s.reader_stamp);
    if (!of_block(t, read)) {
      if (!read_over(t.w, read) && !same_bytes(t, l, address, 0))
        block_fault(t, l, read, "overwrites", "read", address);
    } else if ((by ^ stamp) & thread_bits && !thread_ordered(t.w, by, l) &&
               !same_bytes(t, l, address, 0)) {
      thread_fault(t, l, by, "overwrites", "read", address);
    }
  }
  store(&s.writer, t.atomic ? t.tag | atomic_bit : t.tag);
  store(&s.writer_stamp, stamp);
}

// Nobody has touched it in the launch, or this block has, so that we have synchronised since.
bool settled(const Touching& t, uint64_t entry, uint64_t by) {
  return !present(t, entry) || (of_block(t, entry) && uint32_t(by >> time_shift) < t.w.safe);
}

// Or by the same lanes in the same way.
bool settled_for(const Touching& t, uint64_t entry, uint64_t by, uint64_t stamp) {
  return settled(t, entry, by) ||
         (of_block(t, entry) && !((by ^ stamp) & (thread_bits | layout_bits)));
}

// A whole line, when all of it fares alike; false leaves it as it was.
bool touch_line(Touching& t, Shadow& line, uint64_t stamp) {
  const uint64_t wrote = load(&line.writer), read = load(&line.reader);
  if (present(t, wrote) && (wrote & apart) == apart) return false;
  if (t.atomic || !settled_for(t, wrote, load(&line.writer_stamp), stamp)) return false;
  if (t.touch != Touch::read) {
    if (!settled_for(t, read, load(&line.reader_stamp), stamp)) return false;
    if (!present(t, wrote)) t.fresh += 8;
    store(&line.writer, t.tag);
    store(&line.writer_stamp, stamp);
    return true;
  }
  const uint64_t by = load(&line.reader_stamp);
  // Our own warp's lanes fare alike only when they stand apart from all that read before.
  const bool ours = !((by ^ stamp) >> warp_shift & any_warp),
             mixed = (by >> time_shift & 63) < several || !t.w.in_step;
  if (present(t, read) && of_block(t, read) && ours && mixed && !settled_for(t, read, by, stamp))
    return false;
  const uint64_t before = t.fresh;
  mark_read(t, line, stamp);
  if (t.fresh != before) t.fresh += 7;
  return true;
}

// The line's granules go their own ways from here on. What is not of this launch they need not know.
void take_apart(const Touching& t, Shadow& line, Shadow* granules) {
  const uint64_t wrote = load(&line.writer), read = load(&line.reader);
  if (present(t, wrote) && (wrote & apart) == apart) return;
  auto spread = [](uint64_t stamp, uint32_t k) {
    const uint32_t lane = (stamp >> time_shift) & 63, layout = (stamp >> layout_shift) & 7;
    const uint64_t plain = stamp & ~layout_bits;
    return lane < several ? plain + (uint64_t(k >> layout) << time_shift) : plain;
  };
  for (uint32_t k = 0; k < 8; ++k) {
    if (present(t, wrote)) {
      store(&granules[k].writer, wrote);
      store(&granules[k].writer_stamp, spread(load(&line.writer_stamp), k));
    }
    if (present(t, read)) {
      store(&granules[k].reader, read);
      store(&granules[k].reader_stamp, spread(load(&line.reader_stamp), k));
    }
  }
  __atomic_store_n(&line.writer, (t.tag & launch_bits) | apart, __ATOMIC_RELEASE);
}

void touch_granule(Touching& t, Shadow& s, const Run& run, uint32_t k, uint32_t per) {
  const uint32_t lanes = run.several ? run.lanes : 1u << (run.lane + (k >> per));
  if (t.touch != Touch::read) {
    for (uint32_t m = lanes; m; m &= m - 1) write_granule(t, s, first_lane(m));
    return;
  }
  if (!settled(t, load(&s.writer), load(&s.writer_stamp)))
    for (uint32_t m = lanes; m; m &= m - 1) check_granule_read(t, s, first_lane(m));
  const uint32_t lane = run.several ? several : uint32_t(first_lane(lanes));
  mark_read(t, s, t.stamp + (uint64_t(lane) << time_shift));
}

void touch_run(Touching& t, const Memory& memory, uint64_t first, const Run& run, uint32_t per) {
  for (uint32_t k = 0; k < run.length;) {
    const uint64_t g = first + k;
    const uint32_t size = std::min(8 - uint32_t(g & 7), run.length - k);
    Shadow& line = memory.lines()[g >> 3];
    const uint64_t lane = run.several ? several : run.lane + (k >> per),
                   layout = std::min(per, 3u),
                   stamp = t.stamp + (lane << time_shift) + (layout << layout_shift);
    const bool alike = size == 8 && !(run.several && t.touch != Touch::read);
    if (!alike || !touch_line(t, line, stamp)) {
      take_apart(t, line, memory.granules() + (g & ~uint64_t(7)));
      for (uint32_t e = k; e < k + size; ++e)
        touch_granule(t, memory.granules()[first + e], run, e, per);
    }
    k += size;
  }
}

}  // namespace

void global_race(Warp& w, const Inst& i, const Access& access, const uint64_t* addr,
                 const Pattern& pattern, uint32_t bytes, Touch touch, const uint8_t* data) {
  Launch& launch = *w.block->launch;
  if (!launch.races.load(std::memory_order_relaxed)) return;
  const uint32_t time = launch.clock.load(std::memory_order_relaxed);
  if (time >= time_mask) {
    launch.races = false;
    return;
  }
  const int shift = w.program->global_shift;
  const Memory& memory = *launch.memory;
  const uint64_t base = reinterpret_cast<uint64_t>(memory.base()) >> shift,
                 end = base + (memory.size() >> shift),
                 first = addr[first_lane(pattern.mask)] >> shift;
  Touching t{w,
             i,
             access,
             touch,
             touch == Touch::atomic || access.strong,
             data,
             addr,
             bytes,
             uint64_t(launch.serial) << 52 | uint64_t(time) << 28 | w.block->linear,
             uint64_t(w.block->clock) << (time_shift + 6) | uint64_t(w.index) << warp_shift |
                 (w.worker->pc & pc_bits)};
  for (const Run* run = pattern.runs; run < pattern.runs + pattern.count; ++run) {
    const uint64_t at = first + uint64_t(run->first);
    if (at >= base && at < end) touch_run(t, memory, at - base, *run, pattern.per);
  }
  if (t.atomic) signal(t);
  Tally& tally = w.worker->tally;
  (touch == Touch::read ? tally.global_read : tally.global_write).unique_bytes += t.fresh << shift;
}

}  // namespace ptx
