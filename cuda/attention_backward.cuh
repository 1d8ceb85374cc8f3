// Attention backward: one pass over blocks of queries makes dq, one over blocks of keys dk and dv;
// attention.cu has the formulas.
//
// Plan: each pass reads q, k, v and dout, so that together they take 1.5 times the different bytes of
//   a single one. That one would have sums of dq come from many blocks of keys: by atomics, in an
//   order that differs from run to run, or by partial sums in memory; attention.cu has their price.
#pragma once
#include "attention_rows.cuh"

// Scores become ds.
template <class Engine>
__device__ inline void take_gradients(typename Engine::template Grid<Engine::C>& s,
                                      typename Engine::template Grid<Engine::C>& dp,
                                      const float (&lse)[Engine::R],
                                      const float (&delta)[Engine::R], float unit) {
#pragma unroll
  for (int i = 0; i < Engine::R; i++) {
#pragma unroll
    for (int j = 0; j < Engine::C; j++) {
      const float p = power_of_2(fmaf(s(i, j), unit, -lse[i]));
      s(i, j) = p * (dp(i, j) - delta[i]);
    }
  }
}

// dq of a block of queries, and what the keys' pass has to know of them.
template <class Engine>
__device__ inline void attention_backward_queries(const AttentionTask& task) {
  using T = typename Engine::T;
  constexpr int width = Engine::width, columns = Engine::columns, rows = Engine::rows,
                warp_rows = Engine::warp_rows, stage_size = 2 * columns * width;
  static_assert(rows <= 2 * columns, "out fits where the stages' last tiles will stand");
  T* const queries = shared_memory<T>();
  T* const douts = queries + rows * width;
  T* const others = douts + rows * width;  // [stages][keys, values][columns, width]
  T* const weights = others + Engine::stages * stage_size;
  T* const outs = weights - rows * width;
  const Place own_place = place_of_queries<Engine>(task);
  const int pair = own_place.pair, first = own_place.first, b = pair / task.H, h = pair % task.H;
  const int own_row = warp_index() * warp_rows, own = own_row * width;
  T* const own_weights = weights + warp_index() * (Engine::weights / 4);
  const auto fill = [&](T* tile, const AttentionRows& from) {
    load_tile<T, rows, width>(tile, rows_of<T>(from, b, h), first, task.T, task.D, task.vector);
  };
  fill(queries, task.q);
  fill(douts, task.dout);
  fill(outs, task.out);
  fetch_commit();

  const Queries<Engine> seen(task, pair, first + own_row);
  int begin = 0;
  if (bounded(task)) {
    const AttentionSight sight = sight_of_block(seen.sight, weights + Engine::weights);
    begin = sight.first / columns * columns;
    const int tiles = (task.T + rows - 1) / rows;
    if (threadIdx.x == 0) task.sights[static_cast<int64_t>(pair) * tiles + first / rows] = sight;
  }
  const int end = min(first + rows, task.T);
  const float unit = task.scale * log2_e;
  float lse[Engine::R], delta[Engine::R];
  typename Engine::template Grid<Engine::N> dq;
  Engine::clear(dq);

  const auto load = [&](int key, int stage) {
    load_stage<Engine>(others + stage * stage_size, task.k, task.v, b, h, key, end, task);
  };
  const auto meanwhile = [&] {
    fetch_wait<Engine::stages - 1>();
    __syncthreads();
    Engine::dots(delta, douts + own, outs + own);
    AttentionQuery* const numbers = task.queries + pair * padded_queries(task);
#pragma unroll
    for (int i = 0; i < Engine::R; i++) {
      const int t = first + own_row + Engine::row(i);
      lse[i] = t < task.T ? task.lse[static_cast<int64_t>(pair) * task.T + t] * log2_e : INFINITY;
      if (lane_index() % Engine::row_lanes == 0) {
        numbers[t] = {lse[i], delta[i], seen.start[i], 0};
      }
    }
  };
  const auto step = [&](int key, int stage) {
    if (!seen.any(key)) return;
    const T* const keys = others + stage * stage_size;
    const auto kept = keep<Engine, false>(task, fresh(pair), first + own_row, key);
    typename Engine::template Grid<Engine::C> s, dp;
    Engine::multiply(s, queries + own, keys);
    if (seen.part(key)) mask_keys<Engine>(s, seen, key);
    Engine::multiply(dp, douts + own, keys + columns * width);
    if (task.drop_threshold) drop_grid<Engine>(dp, kept, task.keep_scale);
    take_gradients<Engine>(s, dp, lse, delta, unit);
    Engine::accumulate(dq, s, own_weights, keys);
  };
  walk<Engine>(
      begin, end, [](int key) { return key; }, load, meanwhile, step);

  store_sums<Engine>(rows_of<T>(task.dq, b, h), dq, task.scale, queries + own, first + own_row,
                     task, task.accumulate);
}

// What is known of a tile's query of column(j). 16 lanes that read one each meet no bank twice if
// they read whole ones.
template <class Engine>
__device__ inline AttentionQuery known(const AttentionQuery* queries, int j) {
  const AttentionQuery& query = queries[Engine::column(j)];
  if constexpr (Engine::row_lanes < 16) {
    return query;
  } else {
    float whole[4];
    load(whole, &query.lse);
    return {whole[0], whole[1], __float_as_int(whole[2]), 0};
  }
}

// Scores of a warp's keys (down) that a query of the tile does not see become -infinity.
template <class Engine>
__device__ inline void mask_queries(typename Engine::template Grid<Engine::C>& s,
                                    const AttentionQuery* numbers, int query, int key) {
#pragma unroll
  for (int j = 0; j < Engine::C; j++) {
    const int t = query + Engine::column(j), start = known<Engine>(numbers, j).start;
#pragma unroll
    for (int i = 0; i < Engine::R; i++) {
      if (!sees_key(t, start, key + Engine::row(i))) s(i, j) = -INFINITY;
    }
  }
}

// With keys down: scores become weights, dp becomes ds.
template <class Engine>
__device__ inline void take_weights(typename Engine::template Grid<Engine::C>& s,
                                    typename Engine::template Grid<Engine::C>& dp,
                                    const AttentionQuery* numbers, const Kept<Engine>& kept,
                                    const AttentionTask& task) {
  const float unit = task.scale * log2_e;
  if (task.drop_threshold) drop_grid<Engine>(dp, kept, task.keep_scale);
#pragma unroll
  for (int j = 0; j < Engine::C; j++) {
    const AttentionQuery query = known<Engine>(numbers, j);
#pragma unroll
    for (int i = 0; i < Engine::R; i++) {
      s(i, j) = power_of_2(fmaf(s(i, j), unit, -query.lse));
      dp(i, j) = s(i, j) * (dp(i, j) - query.delta);
    }
  }
  if (task.drop_threshold) drop_grid<Engine>(s, kept, task.keep_scale);
}

// dk and dv of a block of keys, from the queries that see them.
template <class Engine, int query_rows>
__device__ inline void attention_backward_keys(const AttentionTask& task) {
  using T = typename Engine::T;
  constexpr int width = Engine::width, columns = Engine::columns, rows = Engine::rows,
                warp_rows = Engine::warp_rows, stage_size = 2 * columns * width;
  T* const keys = shared_memory<T>();
  T* const values = keys + rows * width;
  T* const others = values + rows * width;  // [stages][queries, dout][columns, width]
  T* const weights = others + Engine::stages * stage_size;
  auto* const numbers = reinterpret_cast<AttentionQuery*>(weights + Engine::weights);
  const Place own_place = place_of_keys<Engine>(task);
  const int first = own_place.first, b = own_place.pair / task.H, h = own_place.pair % task.H;
  const int own_row = warp_index() * warp_rows, own = own_row * width;
  T* const own_weights = weights + warp_index() * (Engine::weights / 4);
  load_tile<T, rows, width>(keys, rows_of<T>(task.k, b, h), first, task.T, task.D, task.vector);
  load_tile<T, rows, width>(values, rows_of<T>(task.v, b, h), first, task.T, task.D, task.vector);
  typename Engine::template Grid<Engine::N> dk, dv;
  Engine::clear(dk);
  Engine::clear(dv);

  // With a window, queries further away do not see these keys.
  const int last = first + rows - 1;
  const int end = task.window > 0 ? last + min(task.T - last, task.window) : task.T;
  const auto pair = [&] { return fresh(b) * task.H + fresh(h); };
  const auto sight = [&](int query) {
    if (!task.sights) return AttentionSight{0, 0};
    return task.sights[pair() * ((task.T + query_rows - 1) / query_rows) + query / query_rows];
  };
  // Queries whose documents begin behind these keys have nothing to say.
  const auto next = [&](int query) {
    while (query < end && sight(query).first >= first + rows) query += columns;
    return query;
  };
  const auto load = [&](int query, int stage) {
    load_stage<Engine>(others + stage * stage_size, task.q, task.dout, b, h, query, task.T, task);
    const AttentionQuery* const from = task.queries + pair() * padded_queries(task);
    const int i = threadIdx.x;
    if (i < columns) fetch(numbers + stage * columns + i, from + query + i, true);
  };
  const auto step = [&](int query, int stage) {
    const AttentionSight tile = sight(query);
    const int own_first = first + own_row, own_last = own_first + warp_rows - 1;
    if (query + columns - 1 < own_first || tile.first > own_last) return;
    const T* const queries = others + stage * stage_size;
    const auto kept = keep<Engine, true>(task, pair(), query, own_first);
    typename Engine::template Grid<Engine::C> s, dp;
    Engine::multiply(s, keys + own, queries);
    if (query < own_last || tile.last > own_first) {
      mask_queries<Engine>(s, numbers + stage * columns, query, own_first);
    }
    Engine::multiply(dp, values + own, queries + columns * width);
    take_weights<Engine>(s, dp, numbers + stage * columns, kept, task);
    Engine::accumulate(dv, s, own_weights, queries + columns * width);
    Engine::accumulate(dk, dp, own_weights, queries);
  };
  walk<Engine>(
      first, end, next, load, [] {}, step);

  store_sums<Engine>(rows_of<T>(task.dk, b, h), dk, task.scale, keys + own, first + own_row, task,
                     task.accumulate);
  store_sums<Engine>(rows_of<T>(task.dv, b, h), dv, 1, values + own, first + own_row, task,
                     task.accumulate);
}
