// Attention of one new position to all before it, and the caches' growth.
//
// Plan: a block takes attention_split keys of one pair. Some neighbouring lanes share a key, 16
// bytes
//   of it each, and a group of lanes has a softmax of its own over the keys that it meets, 4 at a
//   time so that their loads are under way together. The block's groups, and then a pair's blocks
//   in a second kernel, are put together in order: out = sum_i 2^(top_i - top) sums_i / sum_i
//   2^(top_i - top) total_i. The new key and value go to the caches on their way.
// Numbers: float32; bound by the bytes of the caches, which are read once. The parts are below 2 %
//   of these.
#pragma once
#include "attention_rows.cuh"

using gptloom::cuda::attention_split;

// Some keys' weights: they are relative to 2^top, and add up to total.
struct Weights {
  float top, total;
};

// Of parts[count, stride], each D sums, top and total.
__device__ inline Weights join_weights(const float* parts, int count, int stride, int D) {
  Weights all{no_score, 0};
  for (int i = 0; i < count; i++)
    all.top = fmaxf(all.top, parts[static_cast<int64_t>(i) * stride + D]);
  for (int i = 0; i < count; i++) {
    const float* const part = parts + static_cast<int64_t>(i) * stride;
    all.total = fmaf(power_of_2(part[D] - all.top), part[D + 1], all.total);
  }
  return all;
}
// The sum of column d.
__device__ inline float join_column(const float* parts, int count, int stride, int d, float top,
                                    int D) {
  float sum = 0;
  for (int i = 0; i < count; i++) {
    const float* const part = parts + static_cast<int64_t>(i) * stride;
    sum = fmaf(power_of_2(part[D] - top), part[d], sum);
  }
  return sum;
}

// The keys that the new query sees, in parts.
__device__ inline int splits_of(const AttentionTask& task) {
  return (task.past - first_key(task, 0, 0) + attention_split) / attention_split;
}

template <class T>
__device__ inline void attention_cached_split(const AttentionTask& task) {
  constexpr int step = packet<T>, ahead = 4;
  const int D = task.D, keys = task.past + 1, splits = splits_of(task);
  const int pair = blockIdx.x / splits;
  const int begin = first_key(task, pair, 0) + blockIdx.x % splits * attention_split;
  const int end = min(begin + attention_split, keys);
  const int lanes = task.lanes, stride = task.part;
  const int group = threadIdx.x / lanes, groups = attention_threads / lanes;
  const int column = threadIdx.x % lanes * step;
  const bool there = column < D;
  const Rows<T> k = rows_of_pair<T>(task.k, pair, task.H),
                v = rows_of_pair<T>(task.v, pair, task.H);
  float q[step] = {}, sums[step] = {};
  Weights mine{no_score, 0};
  if (there) load(q, rows_of_pair<T>(task.q, pair, task.H).row(0) + column);
#pragma unroll
  for (int i = 0; i < step; i++) q[i] *= task.scale * log2_e;

  for (int first = begin; first < end; first += groups * ahead) {
    float key[ahead][step] = {}, value[ahead][step] = {}, score[ahead];
#pragma unroll
    for (int a = 0; a < ahead; a++) {
      const int s = first + a * groups + group;
      if (!there || s >= end) continue;
      if (s < task.past) {
        load(key[a], k.row(s) + column);
        load(value[a], v.row(s) + column);
      } else {
        load(key[a], rows_of_pair<T>(task.new_k, pair, task.H).row(0) + column);
        load(value[a], rows_of_pair<T>(task.new_v, pair, task.H).row(0) + column);
        store(k.row(s) + column, key[a]);
        store(v.row(s) + column, value[a]);
      }
    }
    float top = mine.top;
#pragma unroll
    for (int a = 0; a < ahead; a++) {
      score[a] = 0;
#pragma unroll
      for (int i = 0; i < step; i++) score[a] = fmaf(q[i], key[a][i], score[a]);
      for (int lane = lanes / 2; lane > 0; lane /= 2) {
        score[a] += __shfl_xor_sync(all_lanes, score[a], lane);
      }
      if (first + a * groups + group >= end) score[a] = -INFINITY;
      top = fmaxf(top, score[a]);
    }
    const float factor = power_of_2(mine.top - top);
    mine = {top, mine.total * factor};
#pragma unroll
    for (int i = 0; i < step; i++) sums[i] *= factor;
#pragma unroll
    for (int a = 0; a < ahead; a++) {
      const float weight = power_of_2(score[a] - top);
      mine.total += weight;
#pragma unroll
      for (int i = 0; i < step; i++) sums[i] = fmaf(weight, value[a][i], sums[i]);
    }
  }

  float* const parts = shared_memory<float>();  // [groups, stride]
  float* const own = parts + group * stride;
  if (there) store(own + column, sums);
  if (column == 0) own[D] = mine.top, own[D + 1] = mine.total;
  __syncthreads();
  const Weights all = join_weights(parts, groups, stride, D);
  float* const part = task.parts + static_cast<int64_t>(blockIdx.x) * stride;
  for (int d = threadIdx.x; d < D; d += attention_threads) {
    part[d] = join_column(parts, groups, stride, d, all.top, D);
  }
  if (threadIdx.x == 0) part[D] = all.top, part[D + 1] = all.total;
}

template <class T>
__device__ inline void attention_cached_join(const AttentionTask& task) {
  const int D = task.D, pair = blockIdx.x;
  const int splits = splits_of(task);
  const float* const parts = task.parts + static_cast<int64_t>(pair) * splits * task.part;
  T* const out = rows_of_pair<T>(task.out, pair, task.H).row(0);
  const Weights all = join_weights(parts, splits, task.part, D);
  for (int d = threadIdx.x; d < D; d += attention_threads) {
    out[d] = from_float<T>(join_column(parts, splits, task.part, d, all.top, D) / all.total);
  }
}

// The new rows to the caches, `step` elements a thread.
template <class T, int step>
__device__ inline void append(const AttentionTask& task) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * attention_threads + threadIdx.x;
  const int chunks = task.D / step;
  const int64_t row = i / chunks;
  const int pair = static_cast<int>(row / task.T), t = static_cast<int>(row % task.T);
  const int column = static_cast<int>(i % chunks) * step;
  if (row / task.T >= task.pairs) return;
  float x[step];
  load(x, rows_of_pair<T>(task.new_k, pair, task.H).row(t) + column);
  store(rows_of_pair<T>(task.k, pair, task.H).row(task.past + t) + column, x);
  load(x, rows_of_pair<T>(task.new_v, pair, task.H).row(t) + column);
  store(rows_of_pair<T>(task.v, pair, task.H).row(task.past + t) + column, x);
}
template <class T>
__device__ inline void attention_cached_append(const AttentionTask& task) {
  if (task.vector) {
    append<T, packet<T>>(task);
  } else {
    append<T, 1>(task);
  }
}
