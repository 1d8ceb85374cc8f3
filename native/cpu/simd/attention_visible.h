// Which keys each query of a block sees: the causal diagonal and the documents' bounds.
#pragma once

namespace gptloom::cpu {
namespace {
namespace attention {

// The vectors that hold some of the columns [begin, end).
inline int first_vector(int begin) { return begin / Vec::width * Vec::width; }
inline int last_vector(int end) { return (end + Vec::width - 1) / Vec::width * Vec::width; }

// The keys [begin, end) of each of a block's queries, in all and within one block of keys. Rows
// past the last query see what it sees, up to a whole tile, and nothing after that. Within a block
// nothing is begin = block, end = 0, so that bounds of several rows are minima and maxima.
struct Visible {
  int rows;  // whole tiles
  int first[queries], last[queries];  // within the sequence, `last` being the query's own position
  int latest_first, earliest_last;
  int begin[queries], end[queries];  // unless all is visible
  Span spans[tiles];
  int columns;  // of the block that rows see: past the last, rounded up to whole tiles and vectors
  bool any, all;
};

// For queries t .. t + rows - 1.
inline void see_queries(Visible& visible, const AttentionHead& head, int64_t t, int64_t rows) {
  visible.rows = tiled(rows);
  visible.latest_first = 0;
  visible.earliest_last = static_cast<int>(head.past + t);
  for (int r = 0; r < visible.rows; r++) {
    const int64_t query = t + std::min<int64_t>(r, rows - 1);
    visible.first[r] = static_cast<int>(first_key(head, query));
    visible.last[r] = static_cast<int>(head.past + query);
    visible.latest_first = std::max(visible.latest_first, visible.first[r]);
  }
  std::fill(visible.spans, visible.spans + tiles, Span{block, 0});
}

// For the block of keys that begins with `key`.
inline void see_keys(Visible& visible, int key) {
  const int used = visible.rows / tile_rows;
  visible.all = visible.latest_first <= key && visible.earliest_last >= key + block - 1;
  if (visible.all) {
    std::fill(visible.spans, visible.spans + used, Span{0, block});
    visible.columns = block;
    visible.any = true;
    return;
  }
  int columns = 0;
  for (int r = 0; r < visible.rows; r++) {
    const int begin = std::max(visible.first[r], key) - key;
    const int end = std::min(visible.last[r] + 1 - key, block);
    visible.begin[r] = begin < end ? begin : block;
    visible.end[r] = begin < end ? end : 0;
  }
  for (int i = 0; i < used; i++) {
    Span span = {block, 0};
    for (int r = i * tile_rows; r < (i + 1) * tile_rows; r++) {
      span.begin = std::min(span.begin, visible.begin[r]);
      span.end = std::max(span.end, visible.end[r]);
    }
    visible.spans[i] = span;
    columns = std::max(columns, span.end);
  }
  visible.any = columns > 0;
  visible.columns = last_vector(tiled(columns));
}

// x, which stands at column c, where the column is in [begin, end), `none` elsewhere.
GPTLOOM_INLINE Vec within(Vec x, int c, int begin, int end, Vec none) {
  alignas(64) static constexpr float lanes[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                  8, 9, 10, 11, 12, 13, 14, 15};
  const Vec lane = Vec::load(lanes);
  x = if_less(lane, Vec::set(static_cast<float>(end - c)), x, none);
  return if_less(lane, Vec::set(static_cast<float>(begin - c)), none, x);
}

// Zeros to whole vectors of row.
GPTLOOM_INLINE void clear(float* row, int first, int last) {
  for (int c = first; c < last; c += Vec::width) Vec::zero().store(row + c);
}

}  // namespace attention
}  // namespace
}  // namespace gptloom::cpu
