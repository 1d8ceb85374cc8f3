// A stable radix sort of (key, row) by key, 8 bits a pass, which are three launches: count the
// digits of each tile of 1024 rows, scan the counts, move the rows.
//
// Plan: counts are laid out by digit and then by tile, so that their scan says where the rows of a
//   tile with that digit go. Within a tile, rows are ranked by warps of 32 that follow each other:
//   lanes with the same digit find each other by a match.
// Numbers: integers, and no order depends on timing: atomics only count.
#pragma once
#include "common.cuh"

constexpr int sort_threads = 256, sort_warps = sort_threads / warp_size;
constexpr int sort_items = 4;  // of a thread
constexpr int sort_tile = sort_threads * sort_items;
constexpr int digits = 256;

// The items k = 0, 1 ... of a warp follow each other, 32 for each k.
__device__ inline int64_t sort_item(int k) {
  return static_cast<int64_t>(blockIdx.x) * sort_tile + warp_index() * (sort_items * warp_size) +
         k * warp_size + lane_index();
}

__device__ inline int digit_of(int32_t key, int shift) { return key >> shift & (digits - 1); }

extern "C" {

// counts[digit, tile]
__global__ void __launch_bounds__(sort_threads)
    embedding_count(int32_t* counts, const int32_t* keys, int32_t rows, int32_t shift) {
  __shared__ int32_t count[digits];
  count[threadIdx.x] = 0;
  __syncthreads();
  for (int k = 0; k < sort_items; k++) {
    const int64_t i = sort_item(k);
    if (i < rows) atomicAdd(&count[digit_of(keys[i], shift)], 1);
  }
  __syncthreads();
  counts[static_cast<int64_t>(threadIdx.x) * gridDim.x + blockIdx.x] = count[threadIdx.x];
}

// Replaces counts by the sums of all before them, by one block of 1024 threads.
__global__ void __launch_bounds__(1024) embedding_scan(int32_t* counts, int64_t n) {
  __shared__ int32_t totals[warp_size];
  int32_t before = 0;
  for (int64_t first = 0; first < n; first += 1024) {
    const int64_t i = first + threadIdx.x;
    const int32_t count = i < n ? counts[i] : 0;
    int32_t sum = count;  // of the warp's lanes up to this one
#pragma unroll
    for (int offset = 1; offset < warp_size; offset *= 2) {
      const int32_t other = __shfl_up_sync(all_lanes, sum, offset);
      if (lane_index() >= offset) sum += other;
    }
    if (lane_index() == warp_size - 1) totals[warp_index()] = sum;
    __syncthreads();
    const int32_t total = totals[lane_index()];
    const int32_t warps = warp_sum(lane_index() < warp_index() ? total : 0);
    if (i < n) counts[i] = before + warps + sum - count;
    before += warp_sum(total);
    __syncthreads();
  }
}

// Moves each row to where its digit begins, plus the rows before it that have the same digit.
__global__ void __launch_bounds__(sort_threads)
    embedding_move(int32_t* keys_out, int32_t* order_out, const int32_t* keys, const int32_t* order,
                   const int32_t* counts, int32_t rows, int32_t shift) {
  __shared__ int32_t places[sort_warps][digits];
  int32_t* mine = places[warp_index()];
  for (int d = lane_index(); d < digits; d += warp_size) mine[d] = 0;
  __syncwarp();
  int32_t key[sort_items], rank[sort_items];
#pragma unroll
  for (int k = 0; k < sort_items; k++) {
    const int64_t i = sort_item(k);
    key[k] = i < rows ? keys[i] : 0;
    const int digit = i < rows ? digit_of(key[k], shift) : digits;
    const unsigned same = __match_any_sync(all_lanes, digit);
    const int before = __popc(same & ((1u << lane_index()) - 1));
    const int32_t found = digit < digits ? mine[digit] : 0;
    __syncwarp();
    if (digit < digits && before == 0) mine[digit] = found + __popc(same);
    __syncwarp();
    rank[k] = found + before;
  }
  __syncthreads();
  int32_t place = counts[static_cast<int64_t>(threadIdx.x) * gridDim.x + blockIdx.x];
  for (int w = 0; w < sort_warps; w++) {
    const int32_t count = places[w][threadIdx.x];
    places[w][threadIdx.x] = place;
    place += count;
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < sort_items; k++) {
    const int64_t i = sort_item(k);
    if (i >= rows) continue;
    const int32_t to = mine[digit_of(key[k], shift)] + rank[k];
    keys_out[to] = key[k];
    order_out[to] = order[i];
  }
}

}  // extern "C"
