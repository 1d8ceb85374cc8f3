// cp.async and bulk copies.
// Plan: the source is read when a cp.async is issued; its bytes land when the lane waits for the
//   group. Until then the destination keeps its old contents and is marked as in flight, so that a
//   missing or too lenient wait shows.
#include <algorithm>

#include "ops.h"
#include "shadow.h"

namespace ptx {

// One request of the warp, however its lanes' copies were read. A copy lies in one sector.
static void recount(Warp& w, const MemoryTraffic& before, const uint64_t* from,
                    const uint32_t* size, uint32_t mask) {
  MemoryTraffic& traffic = w.worker->tally.global_read;
  traffic.requests = before.requests, traffic.sectors = before.sectors;
  traffic.bytes = before.bytes;
  uint32_t asking = 0;
  uint64_t bytes = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    asking |= uint32_t(size[l] != 0) << l;
    bytes += size[l];
  }
  if (!asking || !counts_memory(w)) return;
  count_global(traffic, from, asking, 1, nullptr);
  traffic.bytes = before.bytes + bytes;
}

void copy_async(Warp& w, const Inst& i, uint32_t mask) {
  const Access& access = w.program->accesses[size_t(i.access)];
  uint64_t to[32], from[32];
  addresses_of(w, access, mask, to);
  memcpy(from, w.reg<uint64_t>(i.a), sizeof from);
  Block& block = shared_place(w, i, to, mask, i.imm).block;
  uint32_t size[32], whole = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    size[l] = i.b == no_slot ? i.imm : w.reg<uint32_t>(i.b)[l];
    if (i.c != no_slot && (*w.reg<uint32_t>(i.c) >> l) & 1) size[l] = 0;
    if (size[l] > i.imm)
      fault(w, i, l, FaultKind::illegal_instruction,
            "the source size " + std::to_string(size[l]) + " exceeds the copy's");
    whole |= uint32_t(size[l] == i.imm) << l;
  }
  Access source;
  source.space = Space::generic;
  source.bytes = uint8_t(i.imm);
  alignas(32) uint8_t data[32 * 16] = {};
  const MemoryTraffic before = w.worker->tally.global_read;
  if (whole) read_lanes(w, i, source, from, whole, i.imm, data);
  for (uint32_t m = mask & ~whole; m;
       m &= m - 1) {  // partial copies byte by byte; the rest is zero
    const int l = first_lane(m);
    for (uint32_t k = 0; k < size[l]; ++k) {
      uint64_t at[32];
      alignas(32) uint8_t one[32];
      at[l] = from[l] + k;
      read_lanes(w, i, source, at, 1u << l, 1, one);
      data[uint32_t(l) * i.imm + k] = one[l];
    }
  }
  if (mask & ~whole) recount(w, before, from, size, mask);
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    if (full_checks(w)) shared_in_flight(w, i, block, uint32_t(l), uint32_t(to[l]), i.imm);
    PendingCopy copy{};
    copy.lane = uint8_t(l);
    copy.bytes = uint8_t(i.imm);
    copy.group = w.committed[l];
    copy.to = uint32_t(to[l]);
    memcpy(copy.data, data + uint32_t(l) * i.imm, i.imm);
    w.pending.push_back(copy);
  }
}

void commit_group(Warp& w, const Inst&, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) ++w.committed[first_lane(m)];
}

// Lands the pending copies of these lanes, all but the last `keep` committed groups (and what is
// not committed).
static void land(Warp& w, uint32_t mask, uint32_t keep, bool all) {
  size_t left = 0;
  uint8_t* shared = w.block->shared.data();
  const bool full = full_checks(w);
  PendingCopy* list = w.pending.data();
  for (size_t k = 0; k < w.pending.size(); ++k) {
    const PendingCopy& copy = list[k];
    const bool due = (mask >> copy.lane) & 1 && (all || copy.group + keep < w.committed[copy.lane]);
    if (!due) {
      if (k != left) list[left] = copy;
      ++left;
      continue;
    }
    if (copy.bytes == 16)
      memcpy(shared + copy.to, copy.data, 16);
    else
      memcpy(shared + copy.to, copy.data, copy.bytes);
    if (full) shared_landed(w, *w.block, copy.lane, copy.to, copy.bytes);
  }
  w.pending.resize(left);
}

void wait_group(Warp& w, const Inst& i, uint32_t mask) { land(w, mask, i.imm, i.imm == ~0u); }

// A lane's copies have landed when the barrier hears of them.
void mbarrier_copy_arrive(Warp& w, const Inst& i, uint32_t mask) {
  land(w, mask, 0, true);
  if (i.imm) {
    Inst arrive = i;
    arrive.imm = 0;
    arrive.d = arrive.a = arrive.b = no_slot;
    mbarrier_arrive(w, arrive, mask);
  }
}

// The counters that a bulk copy's pieces move, without the tables of instructions.
static Tally traffic_of(const Tally& from) {
  Tally out;
  out.global_read = from.global_read, out.global_write = from.global_write;
  out.shared_requests = from.shared_requests, out.shared_bytes = from.shared_bytes;
  out.shared_wavefronts = from.shared_wavefronts, out.shared_ideal = from.shared_ideal;
  return out;
}

// A bulk copy is one request on either side, of whole sectors and of wavefronts of 128 bytes.
static void count_bulk(Tally& tally, const Tally& before, bool stores, uint64_t global,
                       uint32_t bytes) {
  MemoryTraffic& traffic = stores ? tally.global_write : tally.global_read;
  const MemoryTraffic& old = stores ? before.global_write : before.global_read;
  const uint32_t waves = (bytes + 127) / 128;
  traffic.requests = old.requests + 1;
  traffic.sectors = old.sectors + (bytes ? ((global + bytes - 1) >> 5) - (global >> 5) + 1 : 0);
  tally.shared_requests = before.shared_requests + 1;
  tally.shared_wavefronts = before.shared_wavefronts + waves;
  tally.shared_ideal = before.shared_ideal + waves;
}

// imm 0: global to shared, completing transactions on a barrier; 1: shared to global.
void copy_bulk(Warp& w, const Inst& i, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    const uint64_t to = w.reg<uint64_t>(i.a)[l], from = w.reg<uint64_t>(i.b)[l];
    const uint32_t bytes = w.reg<uint32_t>(i.c)[l];
    if (bytes % 16)
      fault(w, i, l, FaultKind::illegal_instruction,
            "the size " + std::to_string(bytes) + " is no multiple of 16");
    Access global, shared;
    global.space = Space::generic;
    shared.space = Space::shared;
    shared.cluster = true;
    Tally& tally = w.worker->tally;
    const Tally before = traffic_of(tally);
    for (uint32_t k = 0; k < bytes; k += 16) {
      uint64_t a[32], b[32];
      alignas(32) uint8_t data[32 * 16];
      a[l] = from + k, b[l] = to + k;
      read_lanes(w, i, i.imm ? shared : global, a, 1u << l, 16, data);
      write_lanes(w, i, i.imm ? global : shared, b, 1u << l, 16, data);
    }
    if (counts_memory(w)) count_bulk(tally, before, i.imm, i.imm ? to : from, bytes);
    if (i.imm) continue;
    uint64_t at[32];
    at[l] = w.reg<uint64_t>(w.program->extra[i.x])[l];
    Block& block = shared_place(w, i, at, 1u << l, 8).block;
    std::vector<uint32_t> known;
    publish(w, known);
    if (!block.mbarriers.count(uint32_t(at[l])))
      fault(w, i, l, FaultKind::illegal_instruction, "the mbarrier was never initialised", at[l]);
    complete_transactions(block, uint32_t(at[l]), bytes, known);
    tick(*w.block);
  }
}

}  // namespace ptx
