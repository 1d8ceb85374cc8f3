// Data races on shared memory: its shadow, see shadow.h.
#include <algorithm>

#include "shadow.h"

namespace ptx {

namespace {

constexpr uint32_t in_flight = ~0u;        // of a stamp
constexpr uint32_t note_warp = 511, note_atomic = 512;  // notes: pc << 12 | flags | warp

inline uint32_t note_of(const Warp& w, uint32_t flags) {
  return w.worker->pc << 12 | flags | w.order;
}

// Which thread it was, `warp` being one of the cluster's.
std::string who_text(const Warp& w, uint32_t warp, uint32_t lane) {
  const auto& blocks = w.block->cluster->blocks;
  const Block& block = *blocks[warp / w.block->warps.size()];
  const uint32_t index = warp % uint32_t(w.block->warps.size());
  std::string who = lane >= several ? "several threads of warp " + std::to_string(index)
                                    : "thread " + thread_text(block, index * 32 + lane);
  if (&block != w.block)
    who += " of block (" + std::to_string(block.id[0]) + "," + std::to_string(block.id[1]) + "," +
           std::to_string(block.id[2]) + ")";
  return who;
}

[[noreturn]] void shared_race(Warp& w, const Inst& i, int lane, uint32_t other_warp,
                              uint32_t other_lane, const char* ours, const char* theirs,
                              uint64_t address, uint32_t note) {
  std::string where;
  if (note && note >> 12 < w.program->code.size())
    where = " at ptx line " + std::to_string(w.program->code[note >> 12].line);
  const bool own = other_warp / w.block->warps.size() == w.block->rank;
  fault(w, i, lane, FaultKind::race,
        std::string("data race on shared memory: this thread ") + ours + " what " +
            who_text(w, other_warp, other_lane) + " " + theirs + where +
            (other_warp == w.order ? ", in the same warp with no __syncwarp between them"
             : own                 ? ", with no barrier between them"
                                   : ", with no barrier of the cluster between them"),
        address);
}

[[noreturn]] void flight_fault(Warp& w, const Inst& i, int lane, uint64_t address, uint32_t note) {
  fault(w, i, lane, FaultKind::async_unwaited,
        "touches shared memory into which a cp.async of ptx line " +
            (note >> 12 < w.program->code.size() ? std::to_string(w.program->code[note >> 12].line)
                                                 : std::string("?")) +
            " is still in flight: cp.async.wait_group is missing or allows too many groups",
        address);
}

inline bool writer_ordered(const Warp& w, uint32_t stamp, uint32_t note, int lane) {
  const uint32_t warp = note & note_warp;
  return warp == w.order ? lane_ordered(w, stamp, lane) : stamp <= w.known[warp];
}

void check_read(Warp& w, const Inst& i, Block& block, const Access& access, uint64_t g, int l,
                uint64_t address) {
  const uint32_t stamp = block.writers[g], note = block.writer_notes[g];
  if (stamp == in_flight) flight_fault(w, i, l, address, note);
  if (stamp < block.start << 6) {
    const uint32_t bytes = access.element(uint32_t(access.bytes) * access.count);
    const uint64_t per = std::max(1u, bytes >> w.program->shared_shift), first = g / per * per;
    bool any = false;
    for (uint64_t k = first; k < first + per; ++k) any |= block.writers[k] >= block.start << 6;
    if (!any) {
      const uint64_t at = g << w.program->shared_shift;
      read_unwritten(w, i, access, l, at > address ? uint32_t(at - address) : 0, 1, address, true);
    }
    return;
  }
  if (writer_ordered(w, stamp, note, l)) return;
  if (note & note_atomic && (access.seed || access.strong)) return;
  shared_race(w, i, l, note & note_warp, stamp & 63, "reads", "wrote", address, note);
}

// A write is wrong after an unordered write or read of another thread, unless it stores what is
// there already.
void check_write(Warp& w, const Inst& i, Block& block, bool strong, uint64_t g, int l,
                 uint64_t address, const uint8_t* at, const uint8_t* value, uint32_t bytes) {
  const uint32_t stamp = block.writers[g], note = block.writer_notes[g], start = block.start << 6;
  if (stamp == in_flight) flight_fault(w, i, l, address, note);
  if (value && memcmp(at, value, bytes) == 0) return;
  if (stamp >= start && !writer_ordered(w, stamp, note, l) && !(strong && note & note_atomic))
    shared_race(w, i, l, note & note_warp, stamp & 63, value ? "writes" : "overwrites", "wrote",
                address, note);
  if (strong) return;
  for (uint32_t k = 0; k < w.known.size(); ++k) {
    const uint32_t read = block.readers[k * block.granules + g];
    if (k == w.order ? lane_ordered(w, read, l) : read <= w.known[k]) continue;
    shared_race(w, i, l, k, read & 63, "overwrites", "has read", address, 0);
  }
}

bool safe_reads(const uint32_t* stamps, const Pattern& p, uint32_t start, uint32_t span) {
  uint32_t bad = 0;
  for (const Run* run = p.runs; run < p.runs + p.count; ++run)
    for (uint32_t k = 0; k < run->length; ++k)
      bad |= uint32_t(stamps[run->first + k] - start >= span);
  return !bad;
}

// Marks our reads. A granule that another lane of ours has read, not yet synchronised with, has had
// several. row, last: of the first active lane's granule.
void mark_reads(const Warp& w, uint32_t* row, uint32_t* last, const Pattern& p, uint32_t now) {
  const uint32_t floor = w.floor << 6, per = p.per;
  for (const Run* run = p.runs; run < p.runs + p.count; ++run) {
    uint32_t *rows = row + run->first, *lasts = last + run->first;
    const uint32_t length = run->length, first = run->several ? several : run->lane,
                   step = run->several ? 31 : per;
    if (w.in_step) {  // whatever lies behind the floor is not ordered
      for (uint32_t k = 0; k < length; ++k) {
        const uint32_t lane = first + (k >> step), old = rows[k];
        rows[k] = now | ((old >= floor) & ((old & 63) != lane) ? several : lane);
        lasts[k] = now | lane;
      }
      continue;
    }
    for (uint32_t k = 0; k < length; ++k) {
      const uint32_t lane = first + (k >> step), old = rows[k];
      const bool others = (old >= floor) & ((old & 63) != lane) &&
                          (lane == several || !lane_ordered(w, old, int(lane)));
      rows[k] = now | (others ? several : lane);
      lasts[k] = now | lane;
    }
  }
}

bool safe_writes(const uint32_t* stamps, const uint32_t* last, const Pattern& p, uint32_t safe) {
  uint32_t bad = 0;
  for (const Run* run = p.runs; run < p.runs + p.count; ++run)
    for (uint32_t k = 0; k < run->length; ++k)
      bad |= uint32_t(stamps[run->first + k] >= safe) | uint32_t(last[run->first + k] >= safe);
  return !bad;
}

// Marks our writes. False when a granule had been marked by another lane of this same instruction.
bool mark_writes(uint32_t* writers, uint32_t* notes, const Pattern& p, uint32_t now,
                 uint32_t note) {
  uint32_t bad = 0;
  for (const Run* run = p.runs; run < p.runs + p.count; ++run) {
    bad |= run->several;
    for (uint32_t k = 0; k < run->length; ++k) {
      bad |= uint32_t(writers[run->first + k] >= now);
      writers[run->first + k] = now | (run->lane + (k >> p.per));
      notes[run->first + k] = note;
    }
  }
  return !bad;
}

// Lanes of one instruction that store different values to one place.
void check_collisions(Warp& w, const Inst& i, const uint64_t* addr, uint32_t mask, uint32_t bytes,
                      const uint8_t* data) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    for (uint32_t n = m & (m - 1); n; n &= n - 1) {
      const int k = first_lane(n);
      if (addr[k] != addr[l] ||
          !memcmp(data + uint32_t(k) * bytes, data + uint32_t(l) * bytes, bytes))
        continue;
      shared_race(w, i, k, w.order, uint32_t(l), "writes", "writes in the same instruction",
                  addr[k], 0);
    }
  }
}

}  // namespace

void shared_read(Warp& w, const Inst& i, const SharedPlace& place, const Access& access,
                 const uint64_t* addr) {
  Block& block = place.block;
  const Pattern& p = place.pattern;
  const int shift = w.program->shared_shift;
  const uint64_t first = addr[first_lane(p.mask)] >> shift;
  const uint32_t start = block.start << 6, now = block.clock << 6;
  const uint32_t safe = w.safe > start ? w.safe - start : 0;
  if (!safe_reads(block.writers.data() + first, p, start, safe)) {
    for (uint32_t m = p.mask; m; m &= m - 1)
      for (uint32_t k = 0; k < 1u << p.per; ++k)
        check_read(w, i, block, access, (addr[first_lane(m)] >> shift) + k, first_lane(m),
                   addr[first_lane(m)]);
  }
  mark_reads(w, block.readers.data() + w.order * block.granules + first,
             block.last_reads.data() + first, p, now);
}

bool shared_write(Warp& w, const Inst& i, const SharedPlace& place, const Access& access,
                  const uint64_t* addr, uint32_t bytes, const uint8_t* data) {
  Block& block = place.block;
  const Pattern& p = place.pattern;
  const int shift = w.program->shared_shift;
  const uint64_t begin = addr[first_lane(p.mask)] >> shift;
  const uint32_t count = 1u << p.per, now = block.clock << 6, mask = p.mask;
  const uint32_t note = note_of(w, access.strong ? note_atomic : 0);
  uint32_t* writers = block.writers.data() + begin;
  if (safe_writes(writers, block.last_reads.data() + begin, p, w.safe)) {
    if (!mark_writes(writers, block.writer_notes.data() + begin, p, now, note))
      check_collisions(w, i, addr, mask, bytes, data);
    return true;
  }
  // With care: each lane is checked, then stored, so that lanes of one instruction that collide are
  // seen.
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    const uint64_t first = addr[l] >> shift;
    uint8_t* at = block.shared.data() + addr[l];
    const uint8_t* value = data + uint32_t(l) * bytes;
    for (uint64_t g = first; g < first + count; ++g) {
      check_write(w, i, block, access.strong, g, l, addr[l], at, value, bytes);
      block.writers[g] = now | uint32_t(l);
      block.writer_notes[g] = note;
    }
    memcpy(at, value, bytes);
  }
  return false;
}

void shared_atomic(Warp& w, const Inst& i, Block& block, const uint64_t* addr, uint32_t mask,
                   uint32_t bytes) {
  const int shift = w.program->shared_shift;
  const uint32_t count = (bytes >> shift) ? bytes >> shift : 1, start = block.start << 6;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    for (uint64_t g = addr[l] >> shift; g < (addr[l] >> shift) + count; ++g) {
      const uint32_t stamp = block.writers[g], note = block.writer_notes[g];
      if (stamp == in_flight) flight_fault(w, i, l, addr[l], note);
      if (stamp < start)
        fault(w, i, l, FaultKind::uninitialised,
              "updates shared memory that nothing in this block has written", addr[l]);
      if (!(note & note_atomic) && !writer_ordered(w, stamp, note, l))
        shared_race(w, i, l, note & note_warp, stamp & 63, "updates", "wrote", addr[l], note);
      block.writers[g] = block.clock << 6 | uint32_t(l);
      block.writer_notes[g] = note_of(w, note_atomic);
    }
  }
}

void shared_in_flight(Warp& w, const Inst& i, Block& block, uint32_t lane, uint32_t at,
                      uint32_t bytes) {
  const int shift = w.program->shared_shift;
  for (uint32_t g = at >> shift; g <= (at + bytes - 1) >> shift; ++g) {
    if (block.writers[g] >= w.safe || block.last_reads[g] >= w.safe)
      check_write(w, i, block, false, g, int(lane), at, nullptr, nullptr, 0);
    block.writers[g] = in_flight;
    block.writer_notes[g] = note_of(w, 0);
  }
}

void shared_landed(Warp& w, Block& block, uint32_t lane, uint32_t at, uint32_t bytes) {
  const int shift = w.program->shared_shift;
  for (uint32_t g = at >> shift; g <= (at + bytes - 1) >> shift; ++g)
    block.writers[g] = block.clock << 6 | lane;
}

}  // namespace ptx
