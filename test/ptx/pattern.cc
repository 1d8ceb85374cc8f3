// How the lanes of a request lie to each other, and the traffic that follows from it.
#include <algorithm>

#include "shadow.h"

namespace ptx {

// Shared memory serves 32 banks of 4 bytes: a group of lanes that asks 128 bytes at a time, one
// wavefront for each distinct word that a bank has to deliver. Wider accesses go by half and
// quarter warps.
static void conflicts(const uint64_t* addr, uint32_t bytes, Pattern* out) {
  const int group = bytes <= 4 ? 32 : bytes == 8 ? 16 : bytes == 16 ? 8 : 4;
  const uint32_t words = bytes <= 4 ? 1 : bytes / 4;
  out->wavefronts = out->ideal = 0;
  for (int first = 0; first < 32; first += group) {
    const uint32_t lanes =
        group == 32 ? out->mask : (out->mask >> first) & ((1u << group) - 1);
    if (!lanes) continue;
    ++out->ideal;
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
    out->wavefronts += worst;
  }
}

static void find_runs(const uint64_t* addr, uint32_t count, int shift, Pattern* out) {
  const uint64_t base = addr[first_lane(out->mask)] >> shift;
  Run* run = out->runs - 1;
  int before = -2;
  uint64_t last = 0;
  for (uint32_t m = out->mask; m; m &= m - 1) {
    const int l = first_lane(m);
    const uint64_t granule = (addr[l] >> shift) - base;
    const bool joins = l == before + 1 && granule == last + count && !run->several;
    if (joins) {
      run->length = uint16_t(run->length + count);
    } else if (before >= 0 && granule == last && run->length == count) {
      run->several = true;
    } else {
      *++run = {int64_t(granule), uint16_t(count), uint8_t(l), false, 0};
    }
    run->lanes |= 1u << l;
    before = l, last = granule;
  }
  out->count = uint32_t(run + 1 - out->runs);
}

static void learn_pattern(const uint64_t* addr, uint32_t bytes, int shift, bool shared,
                          Pattern* out) {
  const uint64_t base = addr[first_lane(out->mask)];
  out->bits = 0, out->low = out->high = 0;
  for (uint32_t m = out->mask; m; m &= m - 1) {
    const int64_t delta = int64_t(addr[first_lane(m)] - base);
    out->bits |= uint64_t(delta);
    out->low = std::min(out->low, delta), out->high = std::max(out->high, delta);
  }
  out->per = uint32_t(bytes >> shift ? __builtin_ctz(bytes >> shift) : 0);
  find_runs(addr, 1u << out->per, shift, out);
  out->row = out->mask == all_lanes && out->count == 1 && !out->runs[0].several && bytes >> shift;
  out->phase = ~0u;
  if (shared) conflicts(addr, bytes, out);
}

// An access mostly repeats its last pattern. Shifting all addresses by whole words changes nothing.
const Pattern& pattern_of(Warp& w, const Inst& i, bool shared, const uint64_t* addr, uint32_t mask,
                          uint32_t bytes) {
  Worker& worker = *w.worker;
  Pattern& known = worker.patterns[i.access >= 0 ? 2 + 2 * size_t(i.access) + shared : shared];
  const int shift = shared ? w.program->shared_shift : w.program->global_shift;
  const uint64_t base = addr[first_lane(mask)];
  const uint32_t key = bytes << 2 | uint32_t(base & 3);
  uint64_t delta[32], other = (known.mask ^ mask) | (known.key ^ key);
  for (int l = 0; l < 32; ++l) {
    delta[l] = (addr[l] - base) & -uint64_t((mask >> l) & 1);
    other |= delta[l] ^ known.delta[l];
  }
  if (!other) return known;
  known.mask = mask, known.key = key;
  memcpy(known.delta, delta, sizeof delta);
  learn_pattern(addr, bytes, shift, shared, &known);
  return known;
}

void count_shared(Warp& w, const Pattern& pattern, uint32_t bytes) {
  Tally& tally = w.worker->tally;
  ++tally.shared_requests;
  tally.shared_bytes += uint64_t(__builtin_popcount(pattern.mask)) * bytes;
  tally.shared_wavefronts += pattern.wavefronts;
  tally.shared_ideal += pattern.ideal;
}

// An aligned access of at most 32 bytes lies in one sector. Distinct ones are counted in a small
// hash table.
static uint32_t sectors_of(const uint64_t* addr, uint32_t mask) {
  uint64_t seen[64];
  uint64_t used = 0, last = ~uint64_t(0);
  uint32_t count = 0;
  for (uint32_t m = mask; m; m &= m - 1) {
    const uint64_t sector = addr[first_lane(m)] >> 5;
    if (sector == last) continue;
    last = sector;
    uint32_t h = uint32_t(sector * 0x9E3779B97F4A7C15u >> 58);
    while ((used >> h) & 1 && seen[h] != sector) h = (h + 1) & 63;
    if ((used >> h) & 1) continue;
    used |= uint64_t(1) << h;
    seen[h] = sector;
    ++count;
  }
  return count;
}

void count_global(MemoryTraffic& traffic, const uint64_t* addr, uint32_t mask, uint32_t bytes,
                  const Pattern* pattern) {
  ++traffic.requests;
  traffic.bytes += uint64_t(__builtin_popcount(mask)) * bytes;
  if (!pattern) {
    traffic.sectors += sectors_of(addr, mask);
  } else if (pattern->row) {
    traffic.sectors += ((addr[0] + 32 * bytes - 1) >> 5) - (addr[0] >> 5) + 1;
  } else {
    const uint32_t phase = uint32_t(addr[first_lane(mask)] & 31);
    if (pattern->phase != phase) {
      pattern->phase = phase;
      pattern->sectors = sectors_of(addr, mask);
    }
    traffic.sectors += pattern->sectors;
  }
}

}  // namespace ptx
