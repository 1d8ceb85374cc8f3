// Attention for every head size: a warp takes one query, or one key in the keys' pass, and meets
// the others 32 at a time, one a lane. Its sums stand in shared memory. Keys and values are read
// anew for each query: made for the sizes that tiles do not serve, not for speed.
#pragma once
#include "attention_rows.cuh"

// A warp's row of `pair`, and what it has of shared memory: 4 vectors of D floats.
struct OwnRow {
  int pair, t;
  float* memory;
};
__device__ inline OwnRow own_row(const AttentionTask& task) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / warp_size) + warp_index();
  return {static_cast<int>(row / task.T), static_cast<int>(row % task.T),
          shared_memory<float>() + static_cast<int64_t>(warp_index()) * 4 * task.D};
}

template <class T>
__device__ inline void fetch_row(float* to, const T* from, int D) {
  for (int d = lane_index(); d < D; d += warp_size) to[d] = from ? to_float(from[d]) : 0;
  __syncwarp();
}

template <class T>
__device__ inline void store_row(T* to, const float* x, int D, float factor, bool accumulate) {
  __syncwarp();
  for (int d = lane_index(); d < D; d += warp_size) {
    to[d] = from_float<T>(x[d] * factor + (accumulate ? to_float(to[d]) : 0));
  }
}

template <class T>
__device__ inline float dot(const float* x, const T* y, int D) {
  float sum = 0;
#pragma unroll 1
  for (int d = 0; d < D; d++) sum = fmaf(x[d], to_float(y[d]), sum);
  return sum;
}

// sums = factor sums + each lane's weight times its row, the first lane's row being `first` and
// `count` lanes having one.
template <class T>
__device__ inline void weigh(float* sums, float factor, float weight, const Rows<T>& rows,
                             int first, int count, int D) {
  for (int begin = 0; begin < D; begin += warp_size) {
    const int d = min(begin + lane_index(), D - 1);  // lanes without a column repeat the last
    float sum = sums[d] * factor;
#pragma unroll 1
    for (int i = 0; i < count; i++) {
      sum = fmaf(__shfl_sync(all_lanes, weight, i), to_float(rows.row(first + i)[d]), sum);
    }
    __syncwarp();
    if (begin + lane_index() < D) sums[d] = sum;
    __syncwarp();
  }
}

// What dropout makes of the weight of key s for query t.
__device__ inline float dropped(const AttentionTask& task, int pair, int t, int s) {
  if (!task.drop_threshold) return 1;
  uint32_t word[1];
  const int64_t element = (static_cast<int64_t>(pair) * task.T + t) * task.T + s;
  philox_words(word, task.seed, task.stream, element);
  return drop(1, word[0], task.drop_threshold, task.keep_scale);
}

template <class T>
__device__ inline void attention_forward_any(const AttentionTask& task) {
  const OwnRow own = own_row(task);
  if (own.pair >= task.pairs) return;
  const int pair = own.pair, t = own.t, D = task.D, lane = lane_index();
  const Rows<T> k = rows_of_pair<T>(task.k, pair, task.H),
                v = rows_of_pair<T>(task.v, pair, task.H);
  float *const q = own.memory, *const sums = q + D;
  fetch_row(q, rows_of_pair<T>(task.q, pair, task.H).row(t), D);
  fetch_row<T>(sums, nullptr, D);
  const int end = task.past + t + 1;
  float top = -INFINITY, total = 0;
  for (int key = first_key(task, pair, t); key < end; key += warp_size) {
    const int s = min(key + lane, end - 1);  // lanes without a key repeat the last for nothing
    const float dots = dot(q, k.row(s), D) * (task.scale * log2_e);
    const float score = key + lane < end ? dots : -INFINITY;
    const float highest = fmaxf(top, warp_max(score)), factor = exp2f(top - highest);
    const float weight = exp2f(score - highest);
    top = highest;
    total = total * factor + warp_sum(weight);
    weigh(sums, factor, weight * dropped(task, pair, t, s), v, key, min(warp_size, end - key), D);
  }
  if (task.lse && lane == 0) {
    task.lse[static_cast<int64_t>(pair) * task.T + t] = top / log2_e + logf(total);
  }
  store_row(rows_of_pair<T>(task.out, pair, task.H).row(t), sums, D, 1 / total, false);
}

template <class T>
__device__ inline void attention_backward_queries_any(const AttentionTask& task) {
  const OwnRow own = own_row(task);
  if (own.pair >= task.pairs) return;
  const int pair = own.pair, t = own.t, D = task.D, lane = lane_index();
  const Rows<T> k = rows_of_pair<T>(task.k, pair, task.H),
                v = rows_of_pair<T>(task.v, pair, task.H);
  const T* const out = rows_of_pair<T>(task.out, pair, task.H).row(t);
  float *const q = own.memory, *const dout = q + D, *const dq = q + 2 * D;
  fetch_row(q, rows_of_pair<T>(task.q, pair, task.H).row(t), D);
  fetch_row(dout, rows_of_pair<T>(task.dout, pair, task.H).row(t), D);
  fetch_row<T>(dq, nullptr, D);
  float delta = 0;
  for (int d = lane; d < D; d += warp_size) delta = fmaf(dout[d], to_float(out[d]), delta);
  delta = warp_sum(delta);
  const int start = first_key(task, pair, t);
  const float lse = task.lse[static_cast<int64_t>(pair) * task.T + t] * log2_e;
  if (lane == 0) task.queries[pair * padded_queries(task) + t] = {lse, delta, start, 0};
  for (int key = start; key <= t; key += warp_size) {
    const int s = min(key + lane, t);
    const float p = exp2f(dot(q, k.row(s), D) * (task.scale * log2_e) - lse);
    const float ds = p * (dot(dout, v.row(s), D) * dropped(task, pair, t, s) - delta);
    weigh(dq, 1, ds, k, key, min(warp_size, t + 1 - key), D);
  }
  store_row(rows_of_pair<T>(task.dq, pair, task.H).row(t), dq, D, task.scale, task.accumulate);
}

template <class T>
__device__ inline void attention_backward_keys_any(const AttentionTask& task) {
  const OwnRow own = own_row(task);
  if (own.pair >= task.pairs) return;
  const int pair = own.pair, s = own.t, D = task.D, lane = lane_index();
  const Rows<T> q = rows_of_pair<T>(task.q, pair, task.H),
                dout = rows_of_pair<T>(task.dout, pair, task.H);
  float *const k = own.memory, *const v = k + D, *const dk = k + 2 * D, *const dv = k + 3 * D;
  fetch_row(k, rows_of_pair<T>(task.k, pair, task.H).row(s), D);
  fetch_row(v, rows_of_pair<T>(task.v, pair, task.H).row(s), D);
  fetch_row<T>(dk, nullptr, D);
  fetch_row<T>(dv, nullptr, D);
  const AttentionQuery* const queries = task.queries + pair * padded_queries(task);
  const int end = task.window > 0 ? min(task.T - s, task.window) + s : task.T;
  for (int query = s; query < end; query += warp_size) {
    const int t = min(query + lane, end - 1);
    const float score = dot(k, q.row(t), D) * (task.scale * log2_e) - queries[t].lse;
    const float p = queries[t].start <= s ? exp2f(score) : 0, z = dropped(task, pair, t, s);
    const float weight = p * z, ds = p * (dot(v, dout.row(t), D) * z - queries[t].delta);
    const int count = min(warp_size, end - query);
    weigh(dk, 1, ds, q, query, count, D);
    weigh(dv, 1, weight, dout, query, count, D);
  }
  store_row(rows_of_pair<T>(task.dk, pair, task.H).row(s), dk, D, task.scale, task.accumulate);
  store_row(rows_of_pair<T>(task.dv, pair, task.H).row(s), dv, D, 1, task.accumulate);
}
