// Attention forward for a block of queries; attention.cu has the formulas.
#pragma once
#include "attention_rows.cuh"

// As long as scores are no more above `top` than this many times ln 2, it stays what it is: weights
// of up to 2^8 lose nothing, and the sums are left alone.
constexpr float little_rise = 8;

// Scores, counted from `top` or from 0 where that is no_score, become weights 2^(unit (s - top));
// top, sum and the sums o so far follow.
template <class Engine>
__device__ inline void take_scores(typename Engine::template Grid<Engine::C>& s,
                                   typename Engine::template Grid<Engine::N>& o,
                                   float (&top)[Engine::R], float (&sum)[Engine::R], float unit) {
  float rise[Engine::R];
  bool rises = false, again = false;
#pragma unroll
  for (int i = 0; i < Engine::R; i++) {
    float highest = no_score;
#pragma unroll
    for (int j = 0; j < Engine::C; j++) highest = fmaxf(highest, s(i, j));
    highest = warp_max<Engine::row_lanes>(highest);
    const bool first = top[i] == no_score;
    const bool stays = first ? highest == no_score : highest * unit <= little_rise;
    rise[i] = stays ? 0 : highest;
    if (!stays) top[i] = first ? highest : top[i] + highest;
    rises |= !stays;
    again |= !stays && !first;
  }
  if (__any_sync(all_lanes, rises)) {
#pragma unroll
    for (int i = 0; i < Engine::R; i++) {
#pragma unroll
      for (int j = 0; j < Engine::C; j++) s(i, j) -= rise[i];
    }
  }
  if (__any_sync(all_lanes, again)) {
#pragma unroll
    for (int i = 0; i < Engine::R; i++) {
      // Where these are the first scores there are no sums yet.
      const float factor = power_of_2(fminf(-rise[i] * unit, 0.0f));
      sum[i] *= factor;
#pragma unroll
      for (int j = 0; j < Engine::N; j++) o(i, j) *= factor;
    }
  }
#pragma unroll
  for (int i = 0; i < Engine::R; i++) {
#pragma unroll
    for (int j = 0; j < Engine::C; j++) {
      s(i, j) = power_of_2(s(i, j) * unit);
      sum[i] += s(i, j);
    }
  }
}

// out and lse of a block of queries.
template <class Engine>
__device__ inline void attention_forward(const AttentionTask& task) {
  using T = typename Engine::T;
  constexpr int width = Engine::width, columns = Engine::columns, warp_rows = Engine::warp_rows,
                stage_size = 2 * columns * width;
  T* const queries = shared_memory<T>();
  T* const others = queries + Engine::rows * width;  // [stages][keys, values][columns, width]
  T* const weights = others + Engine::stages * stage_size;
  const Place own_place = place_of_queries<Engine>(task);
  const int pair = own_place.pair, first = own_place.first, b = pair / task.H, h = pair % task.H;
  const int own_row = warp_index() * warp_rows;
  T* const own = queries + own_row * width;
  T* const own_weights = weights + warp_index() * (Engine::weights / 4);

  load_tile<T, Engine::rows, width>(queries, rows_of<T>(task.q, b, h), first, task.T, task.D,
                                    task.vector);
  const Queries<Engine> seen(task, pair, first + own_row);
  const int begin =
      bounded(task) ? sight_of_block(seen.sight, weights + Engine::weights).first / columns * columns
                  : 0;
  const int end = task.past + min(first + Engine::rows, task.T);
  const float unit = task.scale * log2_e;
  typename Engine::template Grid<Engine::N> o;
  Engine::clear(o);
  float top[Engine::R], sum[Engine::R];
#pragma unroll
  for (int i = 0; i < Engine::R; i++) top[i] = no_score, sum[i] = 0;

  const auto load = [&](int key, int stage) {
    load_stage<Engine>(others + stage * stage_size, task.k, task.v, b, h, key, end, task);
  };
  const auto step = [&](int key, int stage) {
    if (!seen.any(key)) return;
    const T* const keys = others + stage * stage_size;
    const auto kept = keep<Engine, false>(task, fresh(pair), first + own_row, key);
    typename Engine::template Grid<Engine::C> s;
    const auto start = [&](int i) { return top[i] == no_score ? 0 : -top[i]; };
    Engine::multiply_from(s, start, own, keys);
    if (seen.part(key)) mask_keys<Engine>(s, seen, key);
    take_scores<Engine>(s, o, top, sum, unit);
    if (task.drop_threshold) drop_grid<Engine>(s, kept, task.keep_scale);
    Engine::accumulate(o, s, own_weights, keys + columns * width);
  };
  walk<Engine>(
      begin, end, [](int key) { return key; }, load, [] {}, step);

#pragma unroll
  for (int i = 0; i < Engine::R; i++) {
    sum[i] = warp_sum<Engine::row_lanes>(sum[i]);
    const float share = 1 / sum[i];
#pragma unroll
    for (int j = 0; j < Engine::N; j++) o(i, j) *= share;
    const int t = first + own_row + Engine::row(i);
    if (task.lse && t < task.T && lane_index() % Engine::row_lanes == 0) {
      task.lse[static_cast<int64_t>(pair) * task.T + t] = fmaf(top[i], task.scale, logf(sum[i]));
    }
  }
  store_sums<Engine>(rows_of<T>(task.out, b, h), o, 1, own, first + own_row, task, false);
}
