// What the host tells the attention kernels, and what both sides must agree on: tiles and shared
// memory. Plain C++ for both sides.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gptloom::cuda {

// Rows of D elements: row t of batch b and head h begins at data + b batch + h head + t row
// elements.
struct AttentionRows {
  void* data;
  int64_t batch, head, row;
};

// What the keys' pass of the backward has to know of a query, from the queries' pass.
struct alignas(16) AttentionQuery {
  float lse;       // in units of ln 2; infinite past the last query, so that its weights are 0
  float delta;     // the sum of dout out
  int32_t start;   // the first key that it sees
  int32_t unused;  // so that it takes one access
};

// The least and the greatest first key of a tile of queries.
struct AttentionSight {
  int32_t first, last;
};

struct AttentionTask {
  AttentionRows q, k, v, out;      // T queries, past + T keys
  AttentionRows dout, dq, dk, dv;  // of the backward, where past is 0
  AttentionRows new_k, new_v;      // of attention_cached: the last T rows of k and v to be
  const int32_t* starts;           // [B, T], or null
  float* lse;                      // [B, H, T], or null where no backward will follow
  AttentionQuery* queries;         // [B, H, T rounded up to attention_padding]
  AttentionSight* sights;          // [B, H, tiles of the queries' pass]; null without starts and window
  float* parts;                    // [B, H, splits, part], of attention_cached
  int64_t pairs;                   // B H
  uint64_t seed, stream;
  int32_t part;             // floats: D sums, the greatest score, the sum of weights
  int32_t lanes;            // neighbours that share a key in the splits, a power of 2
  int32_t H, D, T, past;    // query t sees the keys [starts[b, t], past + t]
  int32_t window;           // and of those the last so many; 0: all
  float scale;              // 1 / sqrt(D)
  uint32_t drop_threshold;  // 0: no dropout
  float keep_scale;
  bool vector;  // all rows take 16-byte accesses
  bool accumulate;
};

constexpr int attention_threads = 128;
constexpr int attention_padding = 128;

// Which rows a block keeps while the others pass by: queries (forward and dq), or keys (dk and dv).
enum AttentionPass { kAttentionForward, kAttentionQueries, kAttentionKeys };

// A block keeps `rows` of its own; `columns` of the others come at a time, in `stages` buffers.
struct AttentionTile {
  int rows, columns, stages;
};

// width: D rounded up to 32, 64, 96 or 128. Chosen so that sums stay in registers (255 a thread)
// and tiles within the 99 KB that a block may have on most GPUs.
constexpr AttentionTile attention_tile(AttentionPass pass, int width, bool tensor) {
  if (!tensor) return {width <= 64 ? 64 : 32, 32, 1};
  if (pass == kAttentionForward) return {128, width <= 64 ? 64 : 32, 2};
  if (pass == kAttentionQueries) return {width <= 64 ? 128 : 64, width <= 96 ? 64 : 32, 2};
  return {width <= 64 ? 128 : 64, width == 96 ? 64 : 32, 2};
}

// Bytes: tiles of the block's own rows, of the others, weights on their way to the second product
// (float32 only), and what is known of queries: of each in the keys' pass, else what a warp sees.
constexpr size_t attention_shared(AttentionPass pass, int width, bool tensor) {
  const AttentionTile tile = attention_tile(pass, width, tensor);
  const size_t own = static_cast<size_t>((pass == kAttentionForward ? 1 : 2) * tile.rows);
  const size_t others = static_cast<size_t>(tile.stages * 2 * tile.columns);
  const size_t weights = tensor ? 0 : static_cast<size_t>(tile.rows * tile.columns) * 4;
  const size_t queries = pass == kAttentionKeys ? static_cast<size_t>(tile.stages * tile.columns) *
                                                      sizeof(AttentionQuery)
                                                : attention_threads / 32 * sizeof(AttentionSight);
  return (own + others) * static_cast<size_t>(width) * (tensor ? 2 : 4) + weights + queries;
}

// ---- attention_cached with one query ----

constexpr int attention_split = 128;  // the keys of a block

}  // namespace gptloom::cuda
