// Special registers: what a block's warps find in them when they start.
#include <algorithm>

#include "ops.h"

namespace ptx {

namespace {

uint64_t place_in_cluster(const Launch& launch, const Block& block, int index) {
  const uint32_t *grid = launch.config.grid, *cluster = launch.config.cluster;
  switch (index) {
    case cluster_ctaid_x:
    case cluster_ctaid_y:
    case cluster_ctaid_z: {
      const int k = index - cluster_ctaid_x;
      return block.id[k] % cluster[k];
    }
    case cluster_nctaid_x:
    case cluster_nctaid_y:
    case cluster_nctaid_z:
      return cluster[index - cluster_nctaid_x];
    case clusterid_x:
    case clusterid_y:
    case clusterid_z: {
      const int k = index - clusterid_x;
      return block.id[k] / cluster[k];
    }
    case nclusterid_x:
    case nclusterid_y:
    case nclusterid_z: {
      const int k = index - nclusterid_x;
      return grid[k] / cluster[k];
    }
    case cluster_ctarank:
      return block.rank;
    case cluster_nctarank:
      return cluster[0] * cluster[1] * cluster[2];
    default:
      return 0;
  }
}

uint64_t special_value(const Launch& launch, const Block& block, const Warp& w, int l, int index) {
  const uint32_t *dim = launch.config.block, *grid = launch.config.grid;
  const uint32_t t = w.index * 32 + uint32_t(l);
  switch (index) {
    case tid_x:
      return t % dim[0];
    case tid_y:
      return t / dim[0] % dim[1];
    case tid_z:
      return t / dim[0] / dim[1];
    case ntid_x:
    case ntid_y:
    case ntid_z:
      return dim[index - ntid_x];
    case ctaid_x:
    case ctaid_y:
    case ctaid_z:
      return block.id[index - ctaid_x];
    case nctaid_x:
    case nctaid_y:
    case nctaid_z:
      return grid[index - nctaid_x];
    case laneid:
      return uint64_t(l);
    case warpid:
      return w.index;
    case nwarpid:
      return block.warps.size();
    case smid:
      return block.linear % uint64_t(std::max(1, launch.device->multiprocessors));
    case nsmid:
      return uint64_t(launch.device->multiprocessors);
    case gridid:
    case gridid64:
      return launch.serial;
    case lanemask_eq:
      return 1u << l;
    case lanemask_lt:
      return (1u << l) - 1;
    case lanemask_le:
      return ((1u << l) - 1) | 1u << l;
    case lanemask_gt:
      return uint32_t(~(((1u << l) - 1) | 1u << l));
    case lanemask_ge:
      return uint32_t(~((1u << l) - 1));
    case dynamic_smem:
      return launch.config.dynamic_shared;
    case total_smem:
      return launch.own_shared;
    case reserved_smem_begin:
      return launch.shared_bytes - reserved_shared_bytes;
    case reserved_smem_end:
      return launch.shared_bytes;
    case reserved_smem_bytes:
      return reserved_shared_bytes;
    case workspace_lo:
      return launch.workspace & 0xffffffffu;
    case workspace_hi:
      return launch.workspace >> 32;
    default:
      return place_in_cluster(launch, block, index);
  }
}

}  // namespace

void fill_specials(const Launch& launch, const Block& block, Warp& w) {
  for (auto& fill : launch.program->specials) {
    const int index = fill.special & 0xffff, bytes = fill.special >> 16;
    for (int l = 0; l < 32; ++l) {
      const uint64_t value = special_value(launch, block, w, l, index);
      if (bytes == 2)
        w.reg<uint16_t>(fill.slot)[l] = uint16_t(value);
      else if (bytes == 4)
        w.reg<uint32_t>(fill.slot)[l] = uint32_t(value);
      else
        w.reg<uint64_t>(fill.slot)[l] = value;
    }
  }
}

}  // namespace ptx
