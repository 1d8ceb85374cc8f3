// Tiles of rows in shared memory: filled from global memory while others are worked on, and written
// back.
//
// Layout: a tile is rows of `width` elements, D of them real and the rest zeros, in chunks of 16
//   bytes permuted as mma.cuh's swizzle says. Rows past the last are zeros too, so that products
//   need no bounds.
// Plan: cp.async of 16 bytes where rows are aligned, element by element where they are not. A tile
//   is under way while the one before it is used; one barrier a tile.
#pragma once
#include "attention.h"
#include "common.cuh"
#include "mma.cuh"

using gptloom::cuda::attention_padding;
using gptloom::cuda::attention_threads;
using gptloom::cuda::attention_tile;
using gptloom::cuda::AttentionPass;
using gptloom::cuda::AttentionQuery;
using gptloom::cuda::AttentionRows;
using gptloom::cuda::AttentionSight;
using gptloom::cuda::AttentionTask;
using gptloom::cuda::AttentionTile;

template <class T>
__device__ inline T* shared_memory() {
  extern __shared__ __align__(128) uint4 attention_memory[];
  return reinterpret_cast<T*>(attention_memory);
}

// The same number, but made anew here: else the compiler makes every address of an unrolled loop
// ahead of the loop around it, and runs out of registers for them.
__device__ inline uint32_t fresh(uint32_t x) {
  asm volatile("" : "+r"(x));
  return x;
}
__device__ inline int fresh(int x) {
  asm volatile("" : "+r"(x));
  return x;
}
__device__ inline int64_t fresh(int64_t x) {
  asm volatile("" : "+l"(x));
  return x;
}

// The rows of one pair of batch and head.
template <class T>
struct Rows {
  T* data;
  int64_t stride;
  __device__ T* row(int64_t t) const { return data + t * stride; }
};

template <class T>
__device__ inline Rows<T> rows_of(const AttentionRows& all, int b, int h) {
  return {static_cast<T*>(all.data) + fresh(b) * all.batch + fresh(h) * all.head, all.row};
}
template <class T>
__device__ inline Rows<T> rows_of_pair(const AttentionRows& all, int pair, int H) {
  return rows_of<T>(all, pair / H, pair % H);
}

// Where an element of a tile is.
template <class T, int width>
__device__ inline int place(int row, int column) {
  constexpr int halves = sizeof(T) / 2;
  return swizzle<width * halves>(row, column * halves) / halves;
}

// 16 bytes from global to shared memory, zeros where `there` is false, wherever `from` points.
__device__ inline void fetch(void* to, const void* from, bool there) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  copy_async(to, from, there ? 16 : 0);
#else
  *static_cast<uint4*>(to) = there ? *static_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
#endif
}
__device__ inline void fetch_commit() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  copy_commit();
#endif
}
template <int pending>
__device__ inline void fetch_wait() {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  copy_wait<pending>();
#endif
}

// The chunks of a row, rounded up to a power of 2: so many lanes take a row.
template <int chunks>
constexpr int lanes_of_row = chunks <= 4    ? 4
                             : chunks <= 8  ? 8
                             : chunks <= 16 ? 16
                                            : 32;

// Rows [first, first + rows) of `limit` that there are.
template <class T, int rows, int width>
__device__ inline void load_tile(T* tile, const Rows<T>& from, int first, int limit, int D,
                                 bool vector) {
  constexpr int chunk = packet<T>, lanes = lanes_of_row<width / chunk>;
  constexpr int step = attention_threads / lanes;  // rows at a time; a multiple of 4
  if (vector) {
    const int lane = threadIdx.x % lanes, column = lane * chunk;
    if (column >= width) return;
    const int row = threadIdx.x / lanes, there = column < D ? limit - first - row : 0;
    const int64_t stride = fresh(step * from.stride);
    const T* p = from.row(first + row) + column;
#pragma unroll
    for (int i = 0; i < rows; i += step, p += stride) {
      fetch(tile + place<T, width>(i + row, column), p, i < there);
    }
  } else {
#pragma unroll 1
    for (int i = threadIdx.x; i < rows * width; i += attention_threads) {
      const int row = i / width, column = i % width;
      const bool there = first + row < limit && column < D;
      tile[place<T, width>(row, column)] = there ? from.row(first + row)[column] : from_float<T>(0);
    }
  }
}

// A warp's rows of a tile to rows [first, first + rows), added to what is there with `accumulate`.
template <class T, int rows, int width>
__device__ inline void store_tile(const Rows<T>& to, const T* tile, int first, int limit, int D,
                                  bool vector, bool accumulate) {
  constexpr int step = packet<T>, chunks = width / step;
  if (vector) {
#pragma unroll
    for (int i = lane_index(); i < rows * chunks; i += warp_size) {
      const int row = i / chunks, column = i % chunks * step;
      if (first + row >= limit || column >= D) continue;
      T* const at = to.row(first + row) + column;
      float x[step], before[step];
      load(x, tile + place<T, width>(row, column));
      if (accumulate) {
        load(before, at);
#pragma unroll
        for (int k = 0; k < step; k++) x[k] += before[k];
      }
      store(at, x);
    }
  } else {
#pragma unroll 1
    for (int i = lane_index(); i < rows * width; i += warp_size) {
      const int row = i / width, column = i % width;
      if (first + row >= limit || column >= D) continue;
      T* const at = to.row(first + row) + column;
      const float x = to_float(tile[place<T, width>(row, column)]);
      *at = from_float<T>(accumulate ? to_float(*at) + x : x);
    }
  }
}

// Takes a block through the tiles next(begin), next(that + columns) ... below end.
//   load(at, stage)  starts to fill a stage with the tile at `at`
//   meanwhile()      runs once, while the first tile is under way
//   step(at, stage)  uses it; stages may be refilled when all threads have returned from it
template <class Engine, class Next, class Load, class Meanwhile, class Step>
__device__ inline void walk(int begin, int end, Next next, Load load, Meanwhile meanwhile,
                            Step step) {
  constexpr bool ahead = Engine::stages == 2;
  int at = next(begin), stage = 0;
  if (ahead) {
    if (at < end) load(at, 0);
    fetch_commit();
  }
  meanwhile();
  while (at < end) {
    if (!ahead) {
      __syncthreads();
      load(at, 0);
      fetch_commit();
    }
    fetch_wait<0>();
    __syncthreads();
    const int following = next(at + Engine::columns);
    if (ahead) {
      if (following < end) load(following, stage ^ 1);
      fetch_commit();
    }
    step(at, stage);
    at = following;
    if (ahead) stage ^= 1;
  }
}
