// Vector clocks of a cluster's warps, and the order between blocks. See shadow.h.
#include <algorithm>

#include "shadow.h"

namespace ptx {

void tick(Block& block) {
  ++block.clock;
  for (auto& other : block.cluster->blocks) other->clock = block.clock;
}

void publish(const Warp& w, std::vector<uint32_t>& into) {
  into.resize(w.known.size(), 0);
  for (size_t k = 0; k < into.size(); ++k)
    into[k] = std::max(into[k], k == w.order ? (w.block->clock << 6 | 63) : w.known[k]);
}

void learn(Warp& w, const std::vector<uint32_t>& from) {
  for (size_t k = 0; k < from.size(); ++k) w.known[k] = std::max(w.known[k], from[k]);
  update_safe(w);
}

void update_safe(Warp& w) {
  uint32_t safe = w.floor << 6;
  for (size_t k = 0; k < w.known.size(); ++k)
    if (k != w.order) safe = std::min(safe, w.known[k] + 1);
  w.safe = safe;
}

void lanes_synchronised(Warp& w, uint32_t mask) {
  tick(*w.block);
  uint32_t floor = ~0u;
  for (int l = 0; l < 32; ++l) {
    if ((mask >> l) & 1) w.lane_time[l] = w.block->clock;
    if ((w.live >> l) & 1) floor = std::min(floor, w.lane_time[l]);
  }
  w.floor = floor == ~0u ? w.block->clock : floor;
  update_safe(w);
}

void global_release(Warp& w) {
  Launch& launch = *w.block->launch;
  const uint32_t time = launch.clock.fetch_add(1) + 1;
  if (w.block->release_time) w.block->release_time->store(time);
  publish(w, w.block->cluster->fenced);
  tick(*w.block);
}

void global_acquire(Warp& w) {
  w.block->acquire_time = w.block->launch->clock.load();
  learn(w, w.block->cluster->fenced);
  lanes_synchronised(w, w.live);
}

// ---- Traffic ----

void count_global(MemoryTraffic& traffic, const uint64_t* addr, uint32_t mask, uint32_t bytes,
                  bool row) {
  ++traffic.requests;
  traffic.bytes += uint64_t(__builtin_popcount(mask)) * bytes;
  if (row) {
    traffic.sectors += ((addr[0] + 32 * bytes - 1) >> 5) - (addr[0] >> 5) + 1;
    return;
  }
  // An aligned access of at most 32 bytes lies in one sector. Distinct ones are counted in a small
  // hash table.
  uint64_t seen[64];
  uint64_t used = 0, last = ~uint64_t(0);
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint64_t sector = addr[first_lane(m)] >> 5;
    if (sector == last) continue;
    last = sector;
    uint32_t h = uint32_t(sector * 0x9E3779B97F4A7C15u >> 58);
    while ((used >> h) & 1 && seen[h] != sector) h = (h + 1) & 63;
    if ((used >> h) & 1) continue;
    used |= uint64_t(1) << h;
    seen[h] = sector;
    ++traffic.sectors;
  }
}

// Shared memory serves 32 banks of 4 bytes: a group of lanes that asks 128 bytes at a time, one
// wavefront for each distinct word that a bank has to deliver. Wider accesses go by half and
// quarter warps.
static void conflicts(const uint64_t* addr, uint32_t mask, uint32_t bytes, uint32_t* wavefronts,
                      uint32_t* ideal) {
  const int group = bytes <= 4 ? 32 : bytes == 8 ? 16 : bytes == 16 ? 8 : 4;
  const uint32_t words = bytes <= 4 ? 1 : bytes / 4;
  *wavefronts = *ideal = 0;
  for (int first = 0; first < 32; first += group) {
    const uint32_t lanes = group == 32 ? mask : (mask >> first) & ((1u << group) - 1);
    if (!lanes) continue;
    ++*ideal;
    uint32_t held[32][32], depth[32] = {}, worst = 0;
    for (uint32_t m = lanes; m; m &= m - 1) {
      for (uint32_t k = 0; k < words; ++k) {
        const uint32_t word = uint32_t(addr[first + first_lane(m)] >> 2) + k, bank = word & 31;
        uint32_t d = 0;
        while (d < depth[bank] && held[bank][d] != word) ++d;
        if (d < depth[bank]) continue;
        held[bank][depth[bank]++] = word;
        worst = std::max(worst, depth[bank]);
      }
    }
    *wavefronts += worst;
  }
}

// Shifting all addresses by whole words changes nothing, so that an access usually repeats its last
// pattern.
void count_shared(Warp& w, const Inst& i, const uint64_t* addr, uint32_t mask, uint32_t bytes) {
  Tally& tally = w.worker->tally;
  ++tally.shared_requests;
  tally.shared_bytes += uint64_t(__builtin_popcount(mask)) * bytes;
  BankPattern fresh;
  BankPattern& known = i.access >= 0 ? w.worker->banks[size_t(i.access)] : fresh;
  const uint32_t base = uint32_t(addr[first_lane(mask)]), key = bytes << 2 | (base & 3);
  uint32_t delta[32], other = (known.mask ^ mask) | (known.key ^ key);
  for (int l = 0; l < 32; ++l) {
    delta[l] = (mask >> l) & 1 ? uint32_t(addr[l]) - base : 0;
    other |= delta[l] ^ known.delta[l];
  }
  if (other) {
    known.mask = mask;
    known.key = key;
    memcpy(known.delta, delta, sizeof delta);
    conflicts(addr, mask, bytes, &known.wavefronts, &known.ideal);
  }
  tally.shared_wavefronts += known.wavefronts;
  tally.shared_ideal += known.ideal;
}

}  // namespace ptx
