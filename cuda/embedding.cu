// Maths: out[b, t] = wte[tokens[b, t]] + wpe[past + t - starts[b, t]]; backward adds dout[b, t] to
//   the same rows of dwte and dwpe.
// Layout: out, dout [rows = B T, C] and tables [V, C], [P, C]; 16 bytes a lane where all are
//   aligned and C is whole packets, else element by element. dwte and dwpe are float32. A key is a
//   row's place in a table; `limit` stands for one outside it, which is reported and counts as
//   zeros.
// Plan: forward: a warp a row. Backward, for each table: (1) keys of all rows; (2) a stable radix
//   sort of (key, row), 8 bits a pass: count digits in tiles of 1024 rows, scan the counts, move;
//   positions without starts are in order as they are made; (3) sums: the sorted rows are cut into
//   runs of a fixed length, each summed by one block; keys that lie within a run are added to the
//   table at once, those that cross into others leave partial sums, which (4) ends adds in order.
//   So neither rare nor frequent tokens leave most of the device without work.
// Numbers: sums in float, in the order of rows within a run and of runs: the same bits every time.
//   Bound by bytes: forward 2 to 3 C elements a row; backward one read of dout and, for each row of
//   a table that has tokens, one read and one write, for each table.
#include "common.cuh"
#include "embedding_sort.cuh"
#include "failure.h"

using gptloom::cuda::Failure;
using gptloom::cuda::FailureCode;
using gptloom::cuda::kPositionOutside;
using gptloom::cuda::kTokenOutside;
using gptloom::cuda::report;

constexpr int forward_threads = 128;
constexpr int sum_threads = 64, sum_columns = 4;  // of a lane: 16 bytes of the table

// ---- forward ----

__device__ inline bool check(Failure* failure, FailureCode code, int64_t row, int64_t value,
                             int64_t limit) {
  if (value >= 0 && value < limit) return true;
  if (lane_index() == 0) report(failure, code, row, value, limit);
  return false;
}

template <int N, class T>
__device__ void add_rows(T* out, const int32_t* tokens, const int32_t* starts, const T* wte,
                         const T* wpe, int64_t rows, int64_t columns, int64_t length,
                         int64_t vocabulary, int64_t positions, int64_t past, Failure* failure) {
  const int64_t row =
      static_cast<int64_t>(blockIdx.x) * (forward_threads / warp_size) + warp_index();
  if (row >= rows) return;
  const int64_t token = tokens[row];
  bool valid = check(failure, kTokenOutside, row, token, vocabulary);
  int64_t position = 0;
  if (wpe) {
    position = past + row % length - (starts ? starts[row] : 0);
    valid = check(failure, kPositionOutside, row, position, positions) && valid;
  }
#pragma unroll 4
  for (int64_t c = lane_index() * N; c < columns; c += warp_size * N) {
    float values[N] = {}, more[N] = {};
    if (valid) {
      load(values, wte + token * columns + c);
      if (wpe) load(more, wpe + position * columns + c);
    }
#pragma unroll
    for (int j = 0; j < N; j++) values[j] += more[j];
    store(out + row * columns + c, values);
  }
}

// ---- sums ----

// Runs times this are the blocks of sums and ends.
template <int N>
__device__ int64_t blocks_across(int64_t columns) {
  return (columns + sum_threads * N - 1) / (sum_threads * N);
}

// The run of block blockIdx.x / across, and its columns: N for each lane.
template <int N, class T>
__device__ void sum_runs(float* table, float* partials, const T* dout, const int32_t* keys,
                         const int32_t* order, int32_t rows, int64_t columns, int32_t run_rows,
                         int32_t limit) {
  constexpr int ahead = 4;  // rows that are on their way
  const int64_t across = blocks_across<N>(columns), run = blockIdx.x / across;
  const int64_t c = (blockIdx.x % across * sum_threads + threadIdx.x) * N;
  const bool inside = c < columns;  // other lanes help with keys
  const int32_t begin = static_cast<int32_t>(run * run_rows);
  const int32_t end = min(rows, begin + run_rows);
  bool first = begin > 0 && keys[begin - 1] == keys[begin];  // of a key from the run before
  float sum[N] = {};
  for (int32_t base = begin; base < end; base += warp_size) {
    // Each lane reads what belongs to one of 32 rows.
    const int32_t its = base + lane_index();
    const int32_t its_key = its < end ? keys[its] : limit, its_order = its < end ? order[its] : 0;
    const int32_t its_next = its + 1 < rows ? keys[its + 1] : -1;
    for (int i = 0; i < warp_size && base + i < end; i += ahead) {
      float values[ahead][N] = {};
#pragma unroll
      for (int k = 0; k < ahead; k++) {
        const int64_t row = __shfl_sync(all_lanes, its_order, i + k);
        if (inside && base + i + k < end) load(values[k], dout + row * columns + c);
      }
#pragma unroll
      for (int k = 0; k < ahead; k++) {
        const int32_t key = __shfl_sync(all_lanes, its_key, i + k);
        const bool goes_on = __shfl_sync(all_lanes, its_next, i + k) == key;
        if (key == limit) return;  // the rest is outside the table or the run
#pragma unroll
        for (int j = 0; j < N; j++) sum[j] += values[k][j];
        if (goes_on && base + i + k + 1 < end) continue;
        if (inside) {
          float* to = first     ? partials + 2 * run * columns + c
                      : goes_on ? partials + (2 * run + 1) * columns + c
                                : table + key * columns + c;
          if (!first && !goes_on) {
            float before[N];
            load(before, to);
#pragma unroll
            for (int j = 0; j < N; j++) sum[j] += before[j];
          }
          store(to, sum);
        }
#pragma unroll
        for (int j = 0; j < N; j++) sum[j] = 0;
        first = false;
      }
    }
  }
}

// Where a key begins in this run and goes on in others: adds their parts up.
template <int N>
__device__ void sum_ends(float* table, const float* partials, const int32_t* keys, int32_t rows,
                         int64_t columns, int32_t run_rows, int32_t limit) {
  const int64_t across = blocks_across<N>(columns), run = blockIdx.x / across;
  const int64_t c = (blockIdx.x % across * sum_threads + threadIdx.x) * N;
  const int32_t begin = static_cast<int32_t>(run * run_rows), end = begin + run_rows;
  if (c >= columns || end >= rows) return;
  const int32_t key = keys[end - 1];
  if (key == limit || keys[end] != key || (begin > 0 && keys[begin - 1] == key)) return;
  int32_t low = end, high = rows;  // the last row of the key
  while (high - low > 1) {
    const int32_t middle = low + (high - low) / 2;
    (keys[middle] == key ? low : high) = middle;
  }
  const int64_t last = low / run_rows;
  float sum[N], values[N];
  load(sum, partials + (2 * run + 1) * columns + c);
#pragma unroll 4
  for (int64_t part = run + 1; part <= last; part++) {
    load(values, partials + 2 * part * columns + c);
#pragma unroll
    for (int j = 0; j < N; j++) sum[j] += values[j];
  }
  float* to = table + key * columns + c;
  load(values, to);
#pragma unroll
  for (int j = 0; j < N; j++) values[j] += sum[j];
  store(to, values);
}

// ---- kernels ----

extern "C" {

__global__ void embedding_tokens(int32_t* keys, int32_t* order, const int32_t* tokens, int32_t rows,
                                 int32_t limit, Failure* failure) {
  const int32_t row = static_cast<int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row >= rows) return;
  const int32_t token = tokens[row];
  const bool valid = token >= 0 && token < limit;
  if (!valid) report(failure, kTokenOutside, row, token, limit);
  keys[row] = valid ? token : limit;
  order[row] = row;
}

// With starts in the order of rows, else in the order of positions.
__global__ void embedding_positions(int32_t* keys, int32_t* order, const int32_t* starts,
                                    int32_t rows, int32_t length, int32_t limit, Failure* failure) {
  const int32_t i = static_cast<int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= rows) return;
  const int32_t batch = rows / length;
  const int32_t row = starts ? i : i % batch * length + i / batch;
  const int64_t position = row % length - (starts ? static_cast<int64_t>(starts[row]) : 0);
  const bool valid = position >= 0 && position < limit;
  if (!valid) report(failure, kPositionOutside, row, position, limit);
  keys[i] = valid ? static_cast<int32_t>(position) : limit;
  order[i] = row;
}

}  // extern "C"

#define FORWARD(name, T, N)                                                                        \
  extern "C" __global__ void __launch_bounds__(forward_threads) embedding_forward_##name(          \
      T* out, const int32_t* tokens, const int32_t* starts, const T* wte, const T* wpe,            \
      int64_t rows, int64_t columns, int64_t length, int64_t vocabulary, int64_t positions,        \
      int64_t past, Failure* failure) {                                                            \
    add_rows<N>(out, tokens, starts, wte, wpe, rows, columns, length, vocabulary, positions, past, \
                failure);                                                                          \
  }
FORWARD(f32, float, 4)
FORWARD(bf16, bf16, 8)
FORWARD(any_f32, float, 1)
FORWARD(any_bf16, bf16, 1)
#undef FORWARD

#define SUMS(name, T, N)                                                                       \
  extern "C" __global__ void __launch_bounds__(sum_threads) embedding_sums_##name(             \
      float* table, float* partials, const T* dout, const int32_t* keys, const int32_t* order, \
      int32_t rows, int64_t columns, int32_t run_rows, int32_t limit) {                        \
    sum_runs<N>(table, partials, dout, keys, order, rows, columns, run_rows, limit);           \
  }
SUMS(f32, float, sum_columns)
SUMS(bf16, bf16, sum_columns)
SUMS(any_f32, float, 1)
SUMS(any_bf16, bf16, 1)
#undef SUMS

#define ENDS(name, N)                                                                          \
  extern "C" __global__ void __launch_bounds__(sum_threads)                                    \
      embedding_##name(float* table, const float* partials, const int32_t* keys, int32_t rows, \
                       int64_t columns, int32_t run_rows, int32_t limit) {                     \
    sum_ends<N>(table, partials, keys, rows, columns, run_rows, limit);                        \
  }
ENDS(ends, sum_columns)
ENDS(ends_any, 1)
#undef ENDS
