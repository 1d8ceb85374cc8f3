// What the checks know about memory, and the accesses that all memory instructions go through.
//
// Global memory: a byte of `written` for each byte. For races between blocks, one word for the last
//   writer and one for the last reader of each granule, tagged with the launch:
//     launch 12 bits | time 24 bits | atomic 1 bit | block 27 bits (all ones: several)
//   Time counts releases (fences, atomics) over the launch. An access of another block is ordered
//   before ours if that block released after it and we acquired later; the test is on the safe side
//   of silence. A read counts as done before a later relaxed access or atomic of its block, since
//   programs let others overwrite what they have read that way.
//   For races within a block a second word beside each, of the block's own time:
//     time 26 bits | lane 6 bits | warp 8 bits (all ones: several) | layout 3 bits | pc 20 bits
//   Nearly always eight granules in a row, a line, fare alike: one entry stands for them, its stamp
//   has the first one's lane and, as layout, log2 of the granules a lane. The first access that
//   treats them unlike takes the line apart for the rest of the launch.
//   The time of both kinds of memory is the same, so that the same barriers order them. A fence
//   orders a block's warps among themselves too, whatever the flag is that they agree by.
// Shared memory: stamps, time 26 bits | lane 6 bits: of each granule's last writer (with a note of
//   its warp and pc), of its last reader, and of each warp's last read of it. Warps are those of
//   the cluster, whose blocks share one clock. It moves at every synchronisation; a warp knows up
//   to which time the others' accesses are ordered before it (vector clocks). Within a warp, lanes
//   are ordered by bar.warp.sync and block barriers. A writer older than the block's start means:
//   never written. All ones marks a copy in flight. Stamps below Warp::safe need no closer look,
//   and nearly all are.
#pragma once
#include "machine.h"

namespace ptx {

// Reads or writes `bytes` for each active lane at addr[lane] in the access's space, after all
// checks; data holds the lanes' bytes one after the other. Traffic is counted.
void read_lanes(Warp& w, const Inst& i, const Access& access, const uint64_t* addr, uint32_t mask,
                uint32_t bytes, uint8_t* data);
void write_lanes(Warp& w, const Inst& i, const Access& access, const uint64_t* addr, uint32_t mask,
                 uint32_t bytes, const uint8_t* data);

// Addresses of an access, and the space they lie in (generic ones are resolved; a mixture gives
// Space::generic).
void addresses_of(Warp& w, const Access& access, uint32_t mask, uint64_t* addr);
Space resolve_space(Warp& w, const Inst& i, Space space, uint64_t* addr, uint32_t mask);

// The allocation that holds a global address at the launch's start, freed ones too; null without.
const Allocation* find_allocation(const Launch& launch, uint64_t address);

// The pieces, for instructions with needs of their own. All stop the launch when something is
// wrong.
enum class Touch : uint8_t { read, write, atomic };
const Pattern& check_global(Warp& w, const Inst& i, const Access& access, const uint64_t* addr,
                            uint32_t mask, uint32_t bytes, Touch touch, const uint8_t* data);
struct SharedPlace {
  Block& block;
  const Pattern& pattern;
};
SharedPlace shared_place(Warp& w, const Inst& i, uint64_t* addr, uint32_t mask, uint32_t bytes);
void check_alignment(Warp& w, const Inst& i, const uint64_t* addr, uint32_t mask, uint32_t bytes);

// Reads of what nobody wrote: suspects.cc. `offset` and `bytes` say which part of what the lane
// reads; all: the lanes that are there, m: those that the guard lets through.
void read_unwritten(Warp& w, const Inst& i, const Access& access, int lane, uint32_t offset,
                    uint32_t bytes, uint64_t address, bool shared);
void follow_suspects(Warp& w, const Inst& i, uint32_t m, uint32_t all);

// shared race shadow: races.cc
void shared_read(Warp& w, const Inst& i, const SharedPlace& place, const Access& access,
                 const uint64_t* addr);
// True when the store is still to be made; where lanes may collide it is made here, lane by lane.
bool shared_write(Warp& w, const Inst& i, const SharedPlace& place, const Access& access,
                  const uint64_t* addr, uint32_t bytes, const uint8_t* data);
void shared_atomic(Warp& w, const Inst& i, Block& block, const uint64_t* addr, uint32_t mask,
                   uint32_t bytes);
// A copy in flight owns its destination until it lands.
void shared_in_flight(Warp& w, const Inst& i, Block& block, uint32_t lane, uint32_t at,
                      uint32_t bytes);
void shared_landed(Warp& w, Block& block, uint32_t lane, uint32_t at, uint32_t bytes);
void global_race(Warp& w, const Inst& i, const Access& access, const uint64_t* addr,
                 const Pattern& pattern, uint32_t bytes, Touch touch, const uint8_t* data);

// Ordering events. clocks.cc
void publish(const Warp& w, std::vector<uint32_t>& into);  // release: our clock joins `into`
void learn(Warp& w, const std::vector<uint32_t>& from);    // acquire
void tick(Block& block);                                               // time moves on
void lanes_synchronised(Warp& w, uint32_t mask);                       // among themselves
void update_safe(Warp& w);
void global_release(Warp& w);
void global_acquire(Warp& w);

// Patterns and what is counted by them: pattern.cc
const Pattern& pattern_of(Warp& w, const Inst& i, bool shared, const uint64_t* addr, uint32_t mask,
                          uint32_t bytes);
void count_global(MemoryTraffic& traffic, const uint64_t* addr, uint32_t mask, uint32_t bytes,
                  const Pattern* pattern);
void count_shared(Warp& w, const Pattern& pattern, uint32_t bytes);

constexpr uint32_t several = 32;  // in place of a stamp's lane

// Whether the access with this stamp by a lane of our own warp is ordered before our lane's
// present.
inline bool lane_ordered(const Warp& w, uint32_t stamp, int lane) {
  const uint32_t time = stamp >> 6, other = stamp & 63;
  if (other == uint32_t(lane) || time < w.floor) return true;
  if (time >= w.lane_time[lane]) return false;
  return other >= several || time < w.lane_time[other];
}

inline bool full_checks(const Warp& w) {
  return w.block->launch->config.checks == CheckLevel::full;
}
inline bool counts_memory(const Warp& w) {
  return w.block->launch->config.checks != CheckLevel::none;
}

}  // namespace ptx
