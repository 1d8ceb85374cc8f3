// What a block of queries and keys has to know of its place: which rows are its own, which keys
// each query sees, and which weights dropout keeps.
//
// Maths: query t of batch b sees the keys [clamp(starts[b, t], 0, past + t), past + t]; without
//   starts, from 0; with a window, from past + t - window + 1 at the earliest. Weight (b, h, t, s)
//   takes the Philox word of element ((b H + h) T + t) T + s of (seed, stream), as
//   native/cpu/ops.h says.
// Plan: a tile that all of a warp's queries see whole is not masked, one that none of them sees is
//   not multiplied. With T a multiple of 4 a counter's four words are of four neighbouring keys of
//   one query: each lane makes one counter in four rows or columns of its neighbours' and its own
//   elements, and they trade the resulting bits, so that no word is made twice. With any other T a
//   lane makes a counter for each of its elements.
#pragma once
#include "attention_engine.cuh"

constexpr float log2_e = 1.4426950408889634f;

// Below every score, so that where nothing has been seen yet weights are 2^-infinity, and no
// infinity is subtracted from another.
constexpr float no_score = -1e30f;

// How far AttentionQuery of one pair are from those of the next.
__device__ inline int64_t padded_queries(const AttentionTask& task) {
  return (fresh(task.T) + attention_padding - 1) / attention_padding * attention_padding;
}

// A block's own rows are [first, first + rows) of `pair`. Blocks of one pair follow each other, so
// that those at work at one time share keys and values in L2.
struct Place {
  int pair, first;
};
// The longest first: the last queries see the most keys.
template <class Engine>
__device__ inline Place place_of_queries(const AttentionTask& task) {
  const unsigned tiles = (task.T + Engine::rows - 1) / Engine::rows;
  return {static_cast<int>(blockIdx.x / tiles),
          static_cast<int>(tiles - 1 - blockIdx.x % tiles) * Engine::rows};
}
// The first keys are seen by the most queries.
template <class Engine>
__device__ inline Place place_of_keys(const AttentionTask& task) {
  const unsigned tiles = (task.T + Engine::rows - 1) / Engine::rows;
  return {static_cast<int>(blockIdx.x / tiles),
          static_cast<int>(blockIdx.x % tiles) * Engine::rows};
}

// The first key that query t of the pair sees. Queries past the last are taken for the last.
__device__ inline int first_key(const AttentionTask& task, int pair, int t) {
  t = min(t, task.T - 1);
  const int position = task.past + t;
  const int first = task.window > 0 ? max(position - task.window + 1, 0) : 0;
  if (!task.starts) return first;
  const int start = task.starts[static_cast<int64_t>(pair / task.H) * task.T + t];
  return min(max(start, first), position);
}

// Do some queries not see all the keys before them?
__device__ inline bool bounded(const AttentionTask& task) {
  return task.starts || task.window > 0;
}

struct Least {
  static __device__ int apply(int a, int b) { return min(a, b); }
};
struct Greatest {
  static __device__ int apply(int a, int b) { return max(a, b); }
};

// start <= key <= position, where start <= position
__device__ inline bool sees_key(int position, int start, int key) {
  return static_cast<unsigned>(key - start) <= static_cast<unsigned>(position - start);
}

// What a warp's queries see, each lane knowing it of its own rows.
template <class Engine>
struct Queries {
  int start[Engine::R];  // of each row
  int position;          // of the warp's first query, among the keys
  AttentionSight sight;  // of all the warp's rows

  __device__ Queries(const AttentionTask& task, int pair, int first) : sight{0, 0} {
    position = task.past + first;
#pragma unroll
    for (int i = 0; i < Engine::R; i++) start[i] = first_key(task, pair, first + Engine::row(i));
    if (!bounded(task)) return;
    sight = {start[0], start[0]};
#pragma unroll
    for (int i = 1; i < Engine::R; i++) {
      sight.first = min(sight.first, start[i]), sight.last = max(sight.last, start[i]);
    }
    sight.first = warp_reduce<Least>(sight.first);
    sight.last = warp_reduce<Greatest>(sight.last);
  }
  // Are there any keys of [key, key + columns) that some query sees, and some that one does not?
  __device__ bool any(int key) const {
    return key < position + Engine::warp_rows && key + Engine::columns > sight.first;
  }
  __device__ bool part(int key) const {
    return key + Engine::columns > position + 1 || key < sight.last;
  }
  __device__ bool sees(int i, int key) const {
    return sees_key(position + Engine::row(i), start[i], key);
  }
};

// Scores of keys that a query does not see become -infinity.
template <class Engine>
__device__ inline void mask_keys(typename Engine::template Grid<Engine::C>& s,
                                 const Queries<Engine>& seen, int key) {
#pragma unroll
  for (int i = 0; i < Engine::R; i++) {
#pragma unroll
    for (int j = 0; j < Engine::C; j++) {
      if (!seen.sees(i, key + Engine::column(j))) s(i, j) = -INFINITY;
    }
  }
}

// The sight of all the block's rows. scratch: shared, one for each warp, nobody else's.
__device__ inline AttentionSight sight_of_block(AttentionSight sight, void* scratch) {
  auto* const sights = static_cast<AttentionSight*>(scratch);
  if (lane_index() == 0) sights[warp_index()] = sight;
  __syncthreads();
  for (int warp = 0; warp < attention_threads / warp_size; warp++) {
    sight.first = min(sight.first, sights[warp].first);
    sight.last = max(sight.last, sights[warp].last);
  }
  return sight;
}

// ---- tiles in and out ----

// Rows [at, at + columns) of two tensors to a stage, one tile behind the other.
template <class Engine, class T>
__device__ inline void load_stage(T* stage, const AttentionRows& one, const AttentionRows& other,
                                  int b, int h, int at, int limit, const AttentionTask& task) {
  constexpr int columns = Engine::columns, width = Engine::width;
  load_tile<T, columns, width>(stage, rows_of<T>(one, b, h), at, limit, task.D, task.vector);
  load_tile<T, columns, width>(stage + columns * width, rows_of<T>(other, b, h), at, limit, task.D,
                               task.vector);
}

// A warp's sums, times factor, to rows of `to` from `first` on, by way of its rows of a tile, which
// it alone reads.
template <class Engine, class T>
__device__ inline void store_sums(const Rows<T>& to,
                                  typename Engine::template Grid<Engine::N>& sums, float factor,
                                  T* tile, int first, const AttentionTask& task, bool accumulate) {
  __syncwarp();
  Engine::put(tile, sums, factor);
  __syncwarp();
  store_tile<T, Engine::warp_rows, Engine::width>(to, tile, first, task.T, task.D, task.vector,
                                                  accumulate);
}

// ---- dropout ----

template <class Engine>
struct Kept {
  uint32_t words[Engine::words];
  __device__ bool operator()(int i, int j) const {
    const int bit = Engine::element(i, j);
    return words[bit / 32] >> bit % 32 & 1;
  }
};

// Which of four elements that begin with `first`, a multiple of 4, are kept, in the lowest bits.
__device__ inline uint32_t kept_of_four(const AttentionTask& task, uint64_t first) {
  const uint4 words = philox(task.seed, task.stream, first / 4);
  const uint32_t limit = task.drop_threshold;
  return (words.x >> 8 >= limit ? 1u : 0u) | (words.y >> 8 >= limit ? 2u : 0u) |
         (words.z >> 8 >= limit ? 4u : 0u) | (words.w >> 8 >= limit ? 8u : 0u);
}

// The mask of a warp's grid of weights. keys_down: rows are keys and columns queries. query, key:
// of row and column 0.
template <class Engine, bool keys_down>
__device__ inline Kept<Engine> keep_each(const AttentionTask& task, int pair, int query, int key) {
  Kept<Engine> kept;
#pragma unroll
  for (int word = 0; word < Engine::words; word++) {
    kept.words[word] = 0;
#pragma unroll 1
    for (int bit = 0; bit < Engine::word_bits; bit++) {
      const GridIndex at = Engine::at(word, bit);
      const int row = Engine::row(at.i), column = Engine::column(at.j);
      const int64_t t = query + (keys_down ? column : row), s = key + (keys_down ? row : column);
      const uint64_t element = (static_cast<uint64_t>(pair) * task.T + t) * task.T + s;
      const uint32_t four = kept_of_four(task, element & ~uint64_t(3));
      kept.words[word] |= (four >> (element & 3) & 1) << bit;
    }
  }
  return kept;
}

// For the tensor cores' grid where T is a multiple of 4. Two neighbouring lanes, an even and an odd
// one, hold four keys of each of two queries: the even one makes the upper query's counter.
template <class Engine>
__device__ inline Kept<Engine> keep_across(const AttentionTask& task, int pair, int query,
                                           int key) {
  const int lane = lane_index(), odd = lane & 1;
  Kept<Engine> kept;
#pragma unroll
  for (int word = 0; word < Engine::words; word++) {
    const int t = query + word * 16 + odd * 8 + lane / 4, s = key + (lane & 2) * 2;
    const uint64_t first = (static_cast<uint64_t>(pair) * task.T + t) * task.T + s;
    uint32_t mine = 0;
#pragma unroll 1
    for (int n = 0; n < Engine::columns / 8; n++) {
      mine |= kept_of_four(task, first + n * 8) << n * 4;
    }
    const uint32_t other = __shfl_xor_sync(all_lanes, mine, 1);
    const uint32_t upper = odd ? other : mine, lower = odd ? mine : other;
    const uint32_t pairs = 0x33333333u;
    kept.words[word] = (upper >> odd * 2 & pairs) | (lower >> odd * 2 & pairs) << 2;
  }
  return kept;
}

// The same with keys down: four lanes, one below the other, hold four keys of each of two queries,
// twice. Each makes one of these four counters.
template <class Engine>
__device__ inline Kept<Engine> keep_down(const AttentionTask& task, int pair, int query, int key) {
  const int lane = lane_index(), which = lane / 4 % 4;
  Kept<Engine> kept;
#pragma unroll
  for (int word = 0; word < Engine::words; word++) {
    const int t = query + lane % 4 * 2 + which / 2;
    const int s = key + word * 16 + which % 2 * 8 + lane / 16 * 4;
    const uint64_t first = (static_cast<uint64_t>(pair) * task.T + t) * task.T + s;
    uint32_t mine = 0;
#pragma unroll 1
    for (int n = 0; n < Engine::columns / 8; n++) {
      mine |= kept_of_four(task, first + static_cast<uint64_t>(n) * 8 * task.T) << n * 4;
    }
    kept.words[word] = 0;
#pragma unroll
    for (int maker = 0; maker < 4; maker++) {
      const uint32_t made = __shfl_sync(all_lanes, mine, (lane & ~12) | maker * 4);
      kept.words[word] |= (made >> which & 0x11111111u) << (maker % 2 * 2 + maker / 2);
    }
  }
  return kept;
}

// To be called before scores are made: words take many registers.
template <class Engine, bool keys_down>
__device__ inline Kept<Engine> keep(const AttentionTask& task, int pair, int query, int key) {
  if (!task.drop_threshold) return {};
  if constexpr (Engine::row_lanes == 4) {
    if (task.T % 4 == 0) {
      return keys_down ? keep_down<Engine>(task, pair, query, key)
                       : keep_across<Engine>(task, pair, query, key);
    }
  }
  return keep_each<Engine, keys_down>(task, pair, query, key);
}

// What dropout has left of weights or of their gradients.
template <class Engine>
__device__ inline void drop_grid(typename Engine::template Grid<Engine::C>& x,
                                 const Kept<Engine>& kept, float keep_scale) {
#pragma unroll
  for (int i = 0; i < Engine::R; i++) {
#pragma unroll
    for (int j = 0; j < Engine::C; j++) x(i, j) = kept(i, j) ? x(i, j) * keep_scale : 0;
  }
}
