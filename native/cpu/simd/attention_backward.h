// Attention backward for a range of keys of one head.
//
// Maths: delta = rowsum(dout * out); p = exp(q k^T / sqrt(D) - lse); dp = dout v^T; ds = p (dp -
//   delta); dv = p^T dout, dk = ds^T q / sqrt(D), dq = ds k / sqrt(D) (Dao et al. 2022, algorithm
//   4). With dropout z (0 or 1 / (1 - dropout)): dp takes z before delta is subtracted, and dv is
//   made of p z.
// Plan: the range's keys and values are packed once, when the first query comes to see them; dk and
//   dv for the range stay in scratch while the blocks of queries that can see it pass by. dq of a
//   block of queries is complete after the range when the range is all keys, and a part of it, to
//   be summed by the caller, otherwise. Five products for each pair of blocks.
// Numbers: float; sums over queries in blocks of 48, over keys in blocks of 96, in order.
#pragma once

namespace gptloom::cpu {
namespace {
namespace attention {

// s becomes p (times z), dp becomes ds: all of visible.columns in visible.rows are written. lse
// is in units of ln 2.
template <bool all>
void gradient_block(float* s, float* dp, const float* lse, const float* delta,
                    const Visible& visible, const AttentionHead& head, int64_t t,
                    int64_t key) {
  const bool dropout = head.drop_threshold > 0;
  for (int r = 0; r < visible.rows; r++) {
    float* p_row = s + r * pitch;
    float* ds_row = dp + r * pitch;
    const int begin = all ? 0 : visible.begin[r], end = all ? block : visible.end[r];
    const int first = first_vector(begin), last = last_vector(end);
    if (!all) {
      clear(p_row, 0, first);
      clear(ds_row, 0, first);
      clear(p_row, last, visible.columns);
      clear(ds_row, last, visible.columns);
      if (end == 0) continue;
    }
    if (dropout) drop_weights(ds_row + first, head, t + r, key + first, last - first);
    const Vec shift = Vec::set(lse[r]), mean = Vec::set(delta[r]);
    for (int c = first; c < last; c += Vec::width) {
      Vec p = power_of_2(Vec::load(p_row + c) - shift);
      if (!all) p = within(p, c, begin, end, Vec::zero());
      p.store(p_row + c);
      (p * (Vec::load(ds_row + c) - mean)).store(ds_row + c);
    }
    if (dropout) drop_weights(p_row + first, head, t + r, key + first, last - first);
  }
}

// What the rows from t on write, and what those after them read, up to the key `end`.
inline void ask_backward(Ahead& ahead, const AttentionHead& head, const AttentionGradient& gradient,
                         int64_t t, int64_t rows, int64_t end) {
  const int64_t next = t + queries, count = std::min<int64_t>(queries, head.T - next);
  const int64_t key = t + block, keys = std::min<int64_t>(queries, end - key);
  ahead.clear();
  if (!gradient.dq_part) ahead.add(gradient.dq + t * gradient.dstride, gradient.dstride, rows);
  ahead.add(head.q + next * head.q_stride, head.q_stride, count);
  ahead.add(gradient.dout + next * gradient.stride, gradient.stride, count);
  ahead.add(gradient.out + next * gradient.stride, gradient.stride, count);
  ahead.add(head.k + key * head.kv_stride, head.kv_stride, keys);
  ahead.add(head.v + key * head.kv_stride, head.kv_stride, keys);
}

// Keys [begin, end), begin being a multiple of block. Scratch: attention.cc's backward_scratch.
inline void backward(const AttentionHead& head, const AttentionGradient& gradient, int64_t begin,
                     int64_t end, float* scratch) {
  const int64_t D = head.D, width = round_up(D, Vec::width), keys = round_up(end - begin, block);
  float* k_panels = scratch;
  float* v_panels = k_panels + keys * D;
  float* k_rows = v_panels + keys * D;
  float* dk = k_rows + keys * width;
  float* dv = dk + keys * width;
  float* q = dv + keys * width;
  float* dout = q + queries * width;
  float* dq = dout + queries * width;
  float* s = dq + queries * width;
  float* dp = s + queries * pitch;
  float lse[queries], delta[queries];
  Visible visible;
  Ahead ahead(D);
  const int64_t used = round_up(end - begin, tile_rows) * width;  // whole tiles of them
  std::fill(dk, dk + used, 0.0f);
  std::fill(dv, dv + used, 0.0f);
  const float scale = 1 / std::sqrt(static_cast<float>(D));
  int64_t packed = begin;
  for (int64_t t = begin; t < head.T; t += queries) {
    const int64_t rows = std::min<int64_t>(queries, head.T - t), stride = gradient.stride;
    pack_rows(q, width, head.q + t * head.q_stride, head.q_stride, rows, D, scale * log2_e);
    pack_rows(dout, width, gradient.dout + t * stride, stride, rows, D, 1);
    for (; packed < std::min(end, t + rows); packed += block) {
      const int64_t count = std::min<int64_t>(block, end - packed), at = packed - begin;
      const int64_t row = packed * head.kv_stride;
      pack_panels(k_panels + at * D, head.k + row, head.kv_stride, count, D);
      pack_panels(v_panels + at * D, head.v + row, head.kv_stride, count, D);
      pack_rows(k_rows + at * width, width, head.k + row, head.kv_stride, count, D, 1);
    }
    ask_backward(ahead, head, gradient, t, rows, end);
    std::fill(dq, dq + tiled(rows) * width, 0.0f);
    // Rows past the last have q and dout 0, and with p = 1 no part in any sum.
    std::fill(lse, lse + queries, 0.0f);
    std::fill(delta, delta + queries, 0.0f);
    for (int64_t r = 0; r < rows; r++) {
      lse[r] = gradient.lse[t + r] * log2_e;
      delta[r] = dot(gradient.dout + (t + r) * stride, gradient.out + (t + r) * stride, D);
    }
    const int64_t first = std::max(begin, first_key_block(head, t, t + rows));
    see_queries(visible, head, t, rows);
    for (int64_t key = first; key < std::min(end, t + rows); key += block) {
      see_keys(visible, static_cast<int>(key));
      if (!visible.any) continue;
      const int64_t at = key - begin;
      scores(s, q, width, k_panels + at * D, D, visible.spans, ahead);
      scores(dp, dout, width, v_panels + at * D, D, visible.spans, ahead);
      (visible.all ? gradient_block<true> : gradient_block<false>)(s, dp, lse, delta, visible,
                                                                   head, t, key);
      product<Into::sum>(dq, dp, k_rows + at * width, width, visible.spans, nullptr, ahead);
      product_by_key(dv + at * width, s, dout, width, visible.spans);
      product_by_key(dk + at * width, dp, q, width, visible.spans);
    }
    for (int64_t r = 0; r < rows; r++) {
      const bool part = gradient.dq_part != nullptr;
      float* to = part ? gradient.dq_part + (t + r) * D : gradient.dq + (t + r) * gradient.dstride;
      put_row(to, dq + r * width, D, part ? 1 : scale, gradient.accumulate && !part);
    }
  }
  for (int64_t i = 0; i < end - begin; i++) {
    const int64_t to = (begin + i) * gradient.dstride, later = to + 16 * gradient.dstride;
    ask_row(gradient.dk + later, D);
    ask_row(gradient.dv + later, D);
    put_row(gradient.dk + to, dk + i * width, D, ln_2, gradient.accumulate);
    put_row(gradient.dv + to, dv + i * width, D, 1, gradient.accumulate);
  }
}

// dq rows [begin, end) = the sum over parts of part[i], of which there are `parts`, `part_stride`
// apart, times 1 / sqrt(D). Queries before keys[i] have nothing in part i.
inline void sum_parts(const AttentionHead& head, const AttentionGradient& gradient,
                      int64_t part_stride, const int64_t* first_keys, int64_t parts, int64_t begin,
                      int64_t end) {
  const int64_t D = head.D;
  const float scale = 1 / std::sqrt(static_cast<float>(D));
  for (int64_t t = begin; t < end; t++) {
    float* sum = gradient.dq_part + t * D;
    for (int64_t i = 1; i < parts && first_keys[i] <= t; i++) {
      put_row(sum, sum + i * part_stride, D, 1, true);
    }
    put_row(gradient.dq + t * gradient.dstride, sum, D, scale, gradient.accumulate);
  }
}

}  // namespace attention
}  // namespace
}  // namespace gptloom::cpu
