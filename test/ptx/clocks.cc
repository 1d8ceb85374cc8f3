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
  w.in_step = !(w.live & ~mask);
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

}  // namespace ptx
