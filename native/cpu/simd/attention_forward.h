// Attention forward over blocks of queries.
//
// Maths: s = q k^T / sqrt(D), out = softmax(s) v, lse = log sum exp s. Over one block of keys after another
//   (Milakov & Gimelshein 2018, Dao et al. 2022): m' = max(m, max s), f = exp(m - m'), p = exp(s - m'),
//   l' = f l + sum p, out' = f out + p v; at the end out / l and lse = m + log l.
// Plan: the keys that these queries see are packed once, transposed for s, as rows for out. A row's own bounds are
//   kept by filling -inf within its first and last vector, so that the vectors beyond are never looked at.
// Numbers: float; relative error about 1e-6. exp is 1/8 of the work at D = 64.
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

// What each query of a block sees of a block of keys.
struct Visible {
  int begin[block], end[block];  // of each row; begin >= end: nothing, as for rows past the last query
  Span spans[tiles];
  bool any;
};
inline void see(Visible& visible, const AttentionHead& head, int64_t t, int64_t rows, int64_t key) {
  visible.any = false;
  for (int i = 0; i < tiles; i++) {
    Span& span = visible.spans[i] = {block, 0};
    for (int r = i * tile_rows; r < (i + 1) * tile_rows; r++) {
      const bool real = r < rows;
      const int64_t first = real ? first_key(head, t + r) - key : block;
      const int64_t past_last = real ? head.past + t + r + 1 - key : 0;
      visible.begin[r] = static_cast<int>(std::min<int64_t>(std::max<int64_t>(first, 0), block));
      visible.end[r] = static_cast<int>(std::min<int64_t>(std::max<int64_t>(past_last, 0), block));
      if (visible.begin[r] >= visible.end[r]) continue;
      span.begin = std::min(span.begin, visible.begin[r]);
      span.end = std::max(span.end, visible.end[r]);
      visible.any = true;
    }
  }
}

// The vectors [*first, *last) that hold row[begin, end), with -inf in what else they hold.
inline void fence(float* row, int begin, int end, int* first, int* last) {
  *first = begin / Vec::width * Vec::width;
  *last = static_cast<int>(round_up(end, Vec::width));
  const float none = -std::numeric_limits<float>::infinity();
  std::fill(row + *first, row + begin, none);
  std::fill(row + end, row + *last, none);
}

// s becomes p. On return m, l are those after this block, and factor is what the output so far is to be multiplied by.
inline void softmax_block(float* s, float* m, float* l, float* factor, const Visible& visible,
                          const AttentionHead& head, int64_t t, int64_t key) {
  for (int r = 0; r < block; r++) {
    factor[r] = m[r];
    const int begin = visible.begin[r], end = visible.end[r];
    if (begin >= end) continue;
    float* row = s + r * block;
    int first, last;
    fence(row, begin, end, &first, &last);
    Vec top = Vec::load(row + first);
    for (int c = first + Vec::width; c < last; c += Vec::width) top = max(top, Vec::load(row + c));
    m[r] = std::max(m[r], reduce_max(top));
  }
  for (int r = 0; r < block; r += Vec::width) {
    const Vec f = exp(Vec::load(factor + r) - Vec::load(m + r));
    f.store(factor + r);
    (f * Vec::load(l + r)).store(l + r);
  }
  for (int r = 0; r < block; r++) {
    const Span span = visible.spans[r / tile_rows];
    float* row = s + r * block;
    const int begin = visible.begin[r], end = visible.end[r];
    if (begin >= end) {
      if (span.begin < span.end) std::fill(row + span.begin, row + span.end, 0.0f);
      continue;
    }
    const int first = begin / Vec::width * Vec::width;
    const int last = static_cast<int>(round_up(end, Vec::width));
    const Vec top = Vec::set(m[r]);
    Vec sum = Vec::zero();
    for (int c = first; c < last; c += Vec::width) {
      const Vec p = exp(Vec::load(row + c) - top);
      p.store(row + c);
      sum = sum + p;
    }
    l[r] += reduce_add(sum);
    if (head.drop_threshold) drop_weights(row + first, head, t + r, key + first, last - first);
    if (span.begin < first) std::fill(row + span.begin, row + first, 0.0f);
    if (last < span.end) std::fill(row + last, row + span.end, 0.0f);
  }
}

// Queries [begin, end), begin being a multiple of block. Scratch: attention.cc's forward_scratch.
inline void forward(const AttentionHead& head, const AttentionOutput& output,
                              int64_t begin, int64_t end, float* scratch) {
  const int64_t D = head.D, width = round_up(D, Vec::width);
  const int64_t first = first_key_block(head, begin, end), last = head.past + end;
  const int64_t keys = round_up(last - first, block);
  float* panels = scratch;
  float* values = panels + keys * D;
  float* q = values + keys * width;
  float* out = q + block * width;
  float* s = out + block * width;
  float m[block], l[block], factor[block];
  for (int64_t key = first; key < last; key += block) {
    const int64_t count = std::min<int64_t>(block, last - key), stride = head.kv_stride;
    pack_panels(panels + (key - first) * D, head.k + key * stride, stride, count, D);
    pack_rows(values + (key - first) * width, width, head.v + key * stride, stride, count, D, 1);
  }
  const float scale = 1 / std::sqrt(static_cast<float>(D));
  for (int64_t t = begin; t < end; t += block) {
    const int64_t rows = std::min<int64_t>(block, end - t);
    pack_rows(q, width, head.q + t * head.q_stride, head.q_stride, rows, D, scale);
    std::fill(out, out + block * width, 0.0f);
    std::fill(m, m + block, -FLT_MAX);
    std::fill(l, l + block, 0.0f);
    for (int64_t key = first_key_block(head, t, t + rows); key < head.past + t + rows; key += block) {
      Visible visible;
      see(visible, head, t, rows, key);
      if (!visible.any) continue;
      scores(s, q, width, panels + (key - first) * D, D, visible.spans);
      softmax_block(s, m, l, factor, visible, head, t, key);
      product<Into::rescaled>(out, s, values + (key - first) * width, width, visible.spans, factor);
    }
    for (int64_t r = 0; r < rows; r++) {
      put_row(output.out + (t + r) * output.stride, out + r * width, D, 1 / l[r], false);
      if (output.lse) output.lse[t + r] = m[r] + std::log(l[r]);
    }
  }
}

}  // namespace attention
}  // namespace
}  // namespace gptloom::cpu
