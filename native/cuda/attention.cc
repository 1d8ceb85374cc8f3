// Which attention kernels run, on which grid; cuda/attention.cu has the kernels.
//
// Plan: head sizes to 128 go by tiles, where a block may have enough shared memory for them; all
//   others by rows. Nothing here depends on the device but that: the same bits everywhere.
#include <cmath>
#include <string>

#include "../../cuda/attention.h"
#include "cuda/kernels.h"
#include "cuda/ops.h"
#include "error.h"

namespace gptloom::cuda {

namespace {

// Rows of heads within packed rows of `columns`, from column `first` on.
AttentionRows packed_rows(const Array& x, int64_t T, int64_t D, int64_t columns, int64_t first) {
  char* const data = static_cast<char*>(x.data);
  return {data + first * static_cast<int64_t>(dtype_size(x.dtype)), T * columns, D, columns};
}

AttentionTask packed_task(const Array& out, const Array& qkv, const Attention& spec) {
  AttentionTask task{};
  const int64_t heads = spec.heads;
  const int64_t B = qkv.shape[0], T = qkv.shape[1], C = out.shape[2], D = heads ? C / heads : 0;
  task.q = packed_rows(qkv, T, D, 3 * C, 0);
  task.k = packed_rows(qkv, T, D, 3 * C, C);
  task.v = packed_rows(qkv, T, D, 3 * C, 2 * C);
  task.out = packed_rows(out, T, D, C, 0);
  task.pairs = B * heads;
  task.H = static_cast<int32_t>(heads);
  task.D = static_cast<int32_t>(D);
  task.T = static_cast<int32_t>(T);
  task.scale = 1 / std::sqrt(static_cast<float>(D));
  task.window = static_cast<int32_t>(std::min<int64_t>(spec.window, INT32_MAX));
  // As native/cpu/random.cc says.
  const double p = static_cast<double>(spec.dropout);
  task.drop_threshold = static_cast<uint32_t>(std::ceil(p * 0x1p24));
  task.keep_scale = p < 1 ? static_cast<float>(1 / (1 - p)) : 0;
  task.seed = spec.seed;
  task.stream = spec.stream;
  return task;
}

const char* name_of(AttentionPass pass) {
  return pass == kAttentionForward   ? "attention_forward_"
         : pass == kAttentionQueries ? "attention_backward_queries_"
                                     : "attention_backward_keys_";
}

int width_of(const AttentionTask& task) { return static_cast<int>(divide_up(task.D, 32) * 32); }

bool fits_tiles(const Context& context, AttentionPass pass, const AttentionTask& task,
                bool tensor) {
  return task.D <= 128 && (!tensor || context.compute_capability() >= 80) &&
         attention_shared(pass, width_of(task), tensor) <= context.shared_memory();
}

// The passes that leave notes for each other go the same way.
void launch(Context& context, AttentionPass pass, const AttentionTask& task, const Array& x,
            bool tiles) {
  const bool tensor = is_bf16(x);
  std::string name = name_of(pass);
  if (tiles) {
    const int width = width_of(task);
    name += "d" + std::to_string(width) + (tensor ? "_bf16" : "_f32");
    const int64_t count = divide_up(task.T, attention_tile(pass, width, tensor).rows);
    context.launch(name.c_str(), blocks(task.pairs * count), attention_threads,
                   static_cast<unsigned>(attention_shared(pass, width, tensor)), task);
    return;
  }
  name += tensor ? "any_bf16" : "any_f32";
  const int64_t row = 4 * static_cast<int64_t>(sizeof(float)) * task.D;  // bytes of one warp
  const int64_t warps = std::max<int64_t>(1, std::min<int64_t>(4, (48 << 10) / row));
  if (warps * row > static_cast<int64_t>(context.shared_memory())) {
    throw Error("ERR_DEVICE", "Heads of " + std::to_string(task.D) +
                                  " channels are too large for this GPU; use more heads");
  }
  context.launch(name.c_str(), blocks(divide_up(task.pairs * task.T, warps)),
                 static_cast<unsigned>(32 * warps), static_cast<unsigned>(warps * row), task);
}

}  // namespace

void attention_forward(Context& context, Array out, Array lse, Array qkv, Array starts,
                       const Attention& spec) {
  if (out.count() == 0) return;
  AttentionTask task = packed_task(out, qkv, spec);
  task.starts = starts.i32();
  task.lse = lse.f32();
  task.vector = task.D % packet(qkv) == 0 && aligned(out.data, qkv.data);
  launch(context, kAttentionForward, task, qkv,
         fits_tiles(context, kAttentionForward, task, is_bf16(qkv)));
}

void attention_backward(Context& context, Array dqkv, Array dout, Array qkv, Array out, Array lse,
                        Array starts, const Attention& spec, bool accumulate) {
  if (out.count() == 0) return;
  AttentionTask task = packed_task(out, qkv, spec);
  const int64_t T = task.T, D = task.D, C = spec.heads * D;
  task.dout = packed_rows(dout, T, D, C, 0);
  task.dq = packed_rows(dqkv, T, D, 3 * C, 0);
  task.dk = packed_rows(dqkv, T, D, 3 * C, C);
  task.dv = packed_rows(dqkv, T, D, 3 * C, 2 * C);
  task.starts = starts.i32();
  task.lse = lse.f32();
  task.accumulate = accumulate;
  task.vector = D % packet(qkv) == 0 && aligned(dqkv.data, dout.data, qkv.data, out.data);
  const bool tensor = is_bf16(qkv), tiles = fits_tiles(context, kAttentionQueries, task, tensor) &&
                                            fits_tiles(context, kAttentionKeys, task, tensor);
  const int64_t padded = divide_up(T, attention_padding) * attention_padding;
  Scratch<AttentionQuery> queries(context, task.pairs * padded);
  task.queries = queries;
  const bool bounded = tiles && (starts || task.window > 0);
  const int64_t rows = tiles ? attention_tile(kAttentionQueries, width_of(task), tensor).rows : 1;
  Scratch<AttentionSight> sights(context, bounded ? task.pairs * divide_up(T, rows) : 1);
  task.sights = bounded ? sights.data() : nullptr;
  launch(context, kAttentionQueries, task, qkv, tiles);
  launch(context, kAttentionKeys, task, qkv, tiles);
}

void attention_cached(Context& context, Array out, Array k_cache, Array v_cache, Array qkv,
                      const Attention& spec, int64_t past) {
  if (out.count() == 0) return;
  AttentionTask task = packed_task(out, qkv, spec);
  task.new_k = task.k;
  task.new_v = task.v;
  const int64_t T = task.T, D = task.D, heads = spec.heads, capacity = k_cache.shape[2];
  task.k = {k_cache.data, heads * capacity * D, capacity * D, D};
  task.v = {v_cache.data, heads * capacity * D, capacity * D, D};
  task.past = static_cast<int32_t>(past);
  task.vector = D % packet(qkv) == 0 && aligned(out.data, qkv.data, k_cache.data, v_cache.data);
  if (T == 1 && task.vector && D <= 32 * packet(qkv)) {
    const int64_t seen = spec.window > 0 ? std::min(spec.window, past + 1) : past + 1;
    const int64_t splits = divide_up(seen, attention_split);
    task.lanes = 1;
    while (task.lanes * packet(qkv) < D) task.lanes *= 2;
    task.part = static_cast<int32_t>(divide_up(D + 2, 8) * 8);  // whole sectors
    Scratch<float> parts(context, task.pairs * splits * task.part);
    task.parts = parts;
    context.launch(by_type(qkv, "attention_cached_split_f32", "attention_cached_split_bf16"),
                   blocks(task.pairs * splits), attention_threads,
                   static_cast<unsigned>(attention_threads / task.lanes * task.part * 4), task);
    context.launch(by_type(qkv, "attention_cached_join_f32", "attention_cached_join_bf16"),
                   blocks(task.pairs), attention_threads, 0, task);
    return;
  }
  const int64_t step = task.vector ? packet(qkv) : 1;
  context.launch(by_type(qkv, "attention_cached_append_f32", "attention_cached_append_bf16"),
                 blocks(divide_up(task.pairs * T * D / step, attention_threads)), attention_threads,
                 0, task);
  launch(context, kAttentionForward, task, qkv,
         fits_tiles(context, kAttentionForward, task, is_bf16(qkv)));
}

}  // namespace gptloom::cuda
