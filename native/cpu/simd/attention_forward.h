// Attention forward over blocks of queries.
//
// Maths: s = q k^T / sqrt(D), out = softmax(s) v, lse = log sum exp s. Over one block of keys after
//   another (Milakov & Gimelshein 2018, Dao et al. 2022): m' = max(m, max s), f = exp(m - m'),
//   p = exp(s - m'), l' = f l + sum p, out' = f out + p v; at the end out / l and lse = m + log l.
//   m and s are kept in units of ln 2, so that exp is a power of 2.
// Plan: the keys that these queries see are packed once, when the first query comes to see them,
//   transposed for s, as rows for out. A row's own bounds are kept by selecting lanes in the blocks
//   that are not wholly visible; vectors beyond the bounds are not looked at.
// Numbers: float; relative error about 1e-6. Softmax is 1/8 of the time at D = 64.
#pragma once

namespace gptloom::cpu {
namespace {
namespace attention {

inline int64_t first_key_block(const AttentionHead& head, int64_t begin, int64_t end) {
  int64_t first = first_key(head, begin);
  if (head.starts) {
    for (int64_t t = begin + 1; t < end; t++) first = std::min(first, first_key(head, t));
  }
  return first / block * block;
}

// The state of a block's rows between blocks of keys. The sum l is kept in lanes, added up only at
// the end.
struct Running {
  float m[queries], factor[queries];
  float l[queries][Vec::width];
};

// m takes in the maxima of s; factor = 2^(m before - m), what the output so far is to be multiplied
// by.
template <bool all>
void take_maxima(Running& run, const float* s, const Visible& visible, int rows) {
  const Vec none = Vec::set(-std::numeric_limits<float>::infinity());
  std::copy(run.m, run.m + queries, run.factor);
  for (int r = 0; r < rows; r++) {
    const float* row = s + r * pitch;
    const int begin = all ? 0 : visible.begin[r], end = all ? block : visible.end[r];
    if (end == 0) continue;
    const int first = first_vector(begin);
    Vec top = none;
    for (int c = first; c < end; c += Vec::width) {
      const Vec x = Vec::load(row + c);
      top = max(top, all ? x : within(x, c, begin, end, none));
    }
    run.m[r] = std::max(run.m[r], reduce_max(top));
  }
  for (int r = 0; r < queries; r += Vec::width) {
    power_of_2(Vec::load(run.factor + r) - Vec::load(run.m + r)).store(run.factor + r);
  }
}

// s becomes p = 2^(s - m), 0 within its tile's span where a row sees nothing; l takes in the sums.
template <bool all>
void take_exponentials(Running& run, float* s, const Visible& visible, int rows,
                       const AttentionHead& head, int64_t t, int64_t key) {
  for (int r = 0; r < rows; r++) {
    float* row = s + r * pitch;
    const int begin = all ? 0 : visible.begin[r], end = all ? block : visible.end[r];
    const int first = first_vector(begin), last = last_vector(end);
    if (!all) {
      const Span span = visible.spans[r / tile_rows];
      clear(row, first_vector(span.begin), first);
      clear(row, last, span.end);
      if (end == 0) continue;
    }
    const Vec top = Vec::set(run.m[r]);
    Vec sum = Vec::load(run.l[r]) * Vec::set(run.factor[r]);
    for (int c = first; c < last; c += Vec::width) {
      Vec p = power_of_2(Vec::load(row + c) - top);
      if (!all) p = within(p, c, begin, end, Vec::zero());
      p.store(row + c);
      sum = sum + p;
    }
    sum.store(run.l[r]);
    if (head.drop_threshold) drop_weights(row + first, head, t + r, key + first, last - first);
  }
}

template <bool all>
void softmax_block(Running& run, float* s, const Visible& visible, int rows,
                   const AttentionHead& head, int64_t t, int64_t key) {
  take_maxima<all>(run, s, visible, rows);
  take_exponentials<all>(run, s, visible, rows, head, t, key);
}

// What the rows from t on write, and what those after them read, up to the query `end`.
inline void ask_forward(Ahead& ahead, const AttentionHead& head, const AttentionOutput& output,
                        int64_t t, int64_t rows, int64_t end) {
  const int64_t next = t + queries, key = head.past + t + block, stride = head.kv_stride;
  const int64_t keys = std::min<int64_t>(queries, head.past + end - key);
  ahead.clear();
  ahead.add(output.out + t * output.stride, output.stride, rows, true);
  ahead.add(head.q + next * head.q_stride, head.q_stride, std::min<int64_t>(queries, end - next));
  ahead.add(head.k + key * stride, stride, keys);
  ahead.add(head.v + key * stride, stride, keys);
}

// Queries [begin, end), begin being a multiple of block. Scratch: attention.cc's forward_scratch.
inline void forward(const AttentionHead& head, const AttentionOutput& output, int64_t begin,
                    int64_t end, float* scratch) {
  const int64_t D = head.D, width = round_up(D, Vec::width);
  const int64_t first = first_key_block(head, begin, end), last = head.past + end;
  const int64_t keys = round_up(last - first, block);
  float* panels = scratch;
  float* values = panels + keys * D;
  float* q = values + keys * width;
  float* out = q + queries * width;
  float* s = out + queries * width;
  Running run;
  Visible visible;
  Ahead ahead(D);
  const float scale = log2_e / std::sqrt(static_cast<float>(D));
  int64_t packed = first;
  for (int64_t t = begin; t < end; t += queries) {
    const int64_t rows = std::min<int64_t>(queries, end - t);
    const int64_t from = first_key_block(head, t, t + rows), to = head.past + t + rows;
    pack_rows(q, width, head.q + t * head.q_stride, head.q_stride, rows, D, scale);
    for (; packed < to; packed += block) {
      const int64_t count = std::min<int64_t>(block, last - packed), at = packed - first;
      const int64_t row = packed * head.kv_stride;
      pack_panels(panels + at * D, head.k + row, head.kv_stride, count, D);
      pack_rows(values + at * width, width, head.v + row, head.kv_stride, count, D, 1);
    }
    ask_forward(ahead, head, output, t, rows, end);
    std::fill(out, out + tiled(rows) * width, 0.0f);
    std::fill(run.m, run.m + queries, -FLT_MAX);
    std::fill(run.l[0], run.l[0] + rows * Vec::width, 0.0f);
    see_queries(visible, head, t, rows);
    for (int64_t key = from; key < to; key += block) {
      see_keys(visible, static_cast<int>(key));
      if (!visible.any) continue;
      scores(s, q, width, panels + (key - first) * D, D, visible.spans, ahead);
      (visible.all ? softmax_block<true>
                   : softmax_block<false>)(run, s, visible, static_cast<int>(rows), head, t, key);
      product<Into::rescaled>(out, s, values + (key - first) * width, width, visible.spans,
                              run.factor, ahead);
    }
    for (int64_t r = 0; r < rows; r++) {
      const float l = reduce_add(Vec::load(run.l[r]));
      put_row(output.out + (t + r) * output.stride, out + r * width, D, 1 / l, false);
      if (output.lse) output.lse[t + r] = run.m[r] * ln_2 + std::log(l);
    }
  }
}

}  // namespace attention
}  // namespace
}  // namespace gptloom::cpu
