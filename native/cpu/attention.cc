// Maths: out = softmax(q k^T / sqrt(D)) v over the keys that a query sees, for B H independent
//   pairs of batch and head; the kernels' headers (simd/attention*.h) have the formulas.
// Plan: forward: a task is some blocks of 96 queries of one pair, as many pairs or parts of pairs
//   as keep the threads busy. A query's bits do not depend on the other queries of its task, so
//   that the number of tasks may follow the number of threads. Backward: a task is some blocks of
//   keys of one pair. dq is the sum over a pair's tasks, so their number is a function of the shape
//   alone; with more than one, each writes its part of dq and a second region adds them up in
//   order. Tasks of a pair cover about equal areas of the causal triangle. Scratch a thread: the
//   packed keys and values of a pair, so all memory grows with T; backward parts are 64 [T, D] at
//   most.
// Numbers: float. Work is 2 T^2 D flops a pair forward and 5 T^2 D backward; bound by flops but for
//   attention_cached with one query, which is bound by the bytes of the caches.
#include "cpu/attention_head.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/ops.h"

namespace gptloom::cpu {

namespace {

constexpr int64_t block = attention_block;
constexpr int64_t most_lanes = 16;  // rows of scratch are padded to whole vectors, at most so wide

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

int64_t forward_scratch(int64_t D, int64_t keys) {
  const int64_t width = round_up(D, most_lanes);
  return round_up(keys, block) * (D + width) + attention_queries * (2 * width + attention_pitch);
}
int64_t backward_scratch(int64_t D, int64_t keys) {
  const int64_t width = round_up(D, most_lanes);
  return round_up(keys, block) * (2 * D + 3 * width) +
         attention_queries * (3 * width + 2 * attention_pitch);
}

// f(index, thread) over [0, count), on the caller alone where waking the threads would cost more
// than it brings.
template <class F>
void spread(Context& context, int64_t count, double flops, F&& f) {
  if (flops > 5e5) return context.pool.run_near(count, f);
  for (int64_t i = 0; i < count; i++) f(i, 0);
}
double forward_flops(const Attention& spec, int64_t past) {
  return 4.0 * static_cast<double>(spec.B * spec.H * spec.T * (past + spec.T) * spec.D);
}

// Cuts [0, blocks) into at most `parts` ranges of about equal cost; returned are their bounds, the
// first 0, the last blocks.
template <class Cost>
std::vector<int64_t> equal_parts(int64_t blocks, int64_t parts, Cost&& cost) {
  int64_t total = 0, sum = 0;
  for (int64_t i = 0; i < blocks; i++) total += cost(i);
  std::vector<int64_t> bounds{0};
  for (int64_t i = 0; i < blocks; i++) {
    sum += cost(i);
    if (i + 1 == blocks || sum * parts >= total * static_cast<int64_t>(bounds.size())) {
      bounds.push_back(i + 1);
    }
  }
  return bounds;
}

// Pair b H + h of packed rows.
AttentionHead packed_head(const float* qkv, const int32_t* starts, const Attention& spec,
                          int64_t pair) {
  const int64_t b = pair / spec.H, h = pair % spec.H, C = spec.H * spec.D;
  AttentionHead head{};
  head.q = qkv + b * spec.T * 3 * C + h * spec.D;
  head.k = head.q + C;
  head.v = head.q + 2 * C;
  head.q_stride = head.kv_stride = 3 * C;
  head.starts = starts ? starts + b * spec.T : nullptr;
  head.T = spec.T;
  head.D = spec.D;
  head.window = spec.window;
  // As in random.cc.
  const double p = static_cast<double>(spec.dropout);
  head.drop_threshold = static_cast<uint32_t>(std::ceil(p * 0x1p24));
  head.keep_scale = p < 1 ? static_cast<float>(1 / (1 - p)) : 0;
  head.seed = spec.seed;
  head.stream = spec.stream;
  head.element = static_cast<uint64_t>(pair) * static_cast<uint64_t>(spec.T * spec.T);
  return head;
}

// All queries of all pairs, head(pair) and output(pair) saying where they are.
template <class Head>
void forward(Context& context, float* out, float* lse, const Attention& spec, int64_t past,
             Head&& head) {
  const int64_t pairs = spec.B * spec.H, T = spec.T, C = spec.H * spec.D;
  const int64_t wanted = (4 * context.pool.threads() + pairs - 1) / pairs;
  const std::vector<int64_t> bounds =
      equal_parts((T + block - 1) / block, context.pool.threads() == 1 ? 1 : wanted,
                  [&](int64_t i) { return past + (i + 1) * block; });
  const int64_t parts = static_cast<int64_t>(bounds.size()) - 1;
  const int64_t size = forward_scratch(spec.D, past + T);
  Scratch<float> scratch(context, context.pool.threads() * size);
  spread(context, pairs * parts, forward_flops(spec, past), [&](int64_t task, int thread) {
    const int64_t pair = task % pairs, part = parts - 1 - task / pairs;
    const int64_t b = pair / spec.H, h = pair % spec.H;
    const AttentionOutput output{out + b * T * C + h * spec.D, C, lse ? lse + pair * T : nullptr};
    context.kernels.attention.forward(head(pair), output, bounds[part] * block,
                                      std::min(bounds[part + 1] * block, T),
                                      scratch + thread * size);
  });
}

}  // namespace

void attention_forward(Context& context, float* out, float* lse, const float* qkv,
                       const int32_t* starts, const Attention& spec) {
  if (spec.B * spec.T * spec.H * spec.D == 0) return;
  forward(context, out, lse, spec, 0,
          [&](int64_t pair) { return packed_head(qkv, starts, spec, pair); });
}

void attention_backward(Context& context, float* dqkv, const float* dout, const float* qkv,
                        const float* out, const float* lse, const int32_t* starts,
                        const Attention& spec, bool accumulate) {
  const int64_t pairs = spec.B * spec.H, T = spec.T, D = spec.D, C = spec.H * D;
  if (pairs * T * D == 0) return;
  const int64_t blocks = (T + block - 1) / block;
  // Parts of some blocks at least: each part walks over the queries anew.
  const int64_t wanted = std::max<int64_t>(1, std::min(64 / pairs, blocks / 4));
  const std::vector<int64_t> bounds =
      equal_parts(blocks, wanted, [&](int64_t i) { return blocks - i; });
  const int64_t parts = static_cast<int64_t>(bounds.size()) - 1;
  int64_t keys = 0;
  for (int64_t i = 0; i < parts; i++) keys = std::max(keys, (bounds[i + 1] - bounds[i]) * block);
  const int64_t size = backward_scratch(D, keys);
  Scratch<float> scratch(context, context.pool.threads() * size);
  Scratch<float> dq_parts(context, parts > 1 ? pairs * parts * T * D : 0);
  const auto gradient = [&](int64_t pair, int64_t part) {
    const int64_t row = pair / spec.H * T, column = pair % spec.H * D;
    AttentionGradient g{};
    g.dout = dout + row * C + column;
    g.out = out + row * C + column;
    g.stride = C;
    g.lse = lse + pair * T;
    g.dq = dqkv + row * 3 * C + column;
    g.dk = g.dq + C;
    g.dv = g.dq + 2 * C;
    g.dstride = 3 * C;
    g.accumulate = accumulate;
    g.dq_part = parts > 1 ? dq_parts + (pair * parts + part) * T * D : nullptr;
    return g;
  };
  const double flops = 2.5 * forward_flops(spec, 0);
  spread(context, pairs * parts, flops, [&](int64_t task, int thread) {
    const int64_t pair = task / parts, part = task % parts;
    context.kernels.attention.backward(packed_head(qkv, starts, spec, pair), gradient(pair, part),
                                       bounds[part] * block, std::min(bounds[part + 1] * block, T),
                                       scratch + thread * size);
  });
  if (parts == 1) return;
  std::vector<int64_t> first_keys;
  for (int64_t part = 0; part < parts; part++) first_keys.push_back(bounds[part] * block);
  spread(context, pairs * blocks, flops, [&](int64_t task, int) {
    const int64_t pair = task / blocks, t = task % blocks * block;
    context.kernels.attention.sum_parts(packed_head(qkv, starts, spec, pair), gradient(pair, 0),
                                        T * D, first_keys.data(), parts, t, std::min(t + block, T));
  });
}

void attention_cached(Context& context, float* out, float* k_cache, float* v_cache,
                      const float* qkv, const Attention& spec, int64_t past, int64_t capacity) {
  const int64_t pairs = spec.B * spec.H, T = spec.T, D = spec.D, C = spec.H * D;
  if (pairs * T * D == 0) return;
  spread(context, pairs, static_cast<double>(pairs * T * D), [&](int64_t pair, int) {
    const float* k = qkv + pair / spec.H * T * 3 * C + C + pair % spec.H * D;
    const int64_t to = (pair * capacity + past) * D;
    for (int64_t t = 0; t < T; t++, k += 3 * C) {
      std::memcpy(k_cache + to + t * D, k, static_cast<size_t>(D) * sizeof(float));
      std::memcpy(v_cache + to + t * D, k + C, static_cast<size_t>(D) * sizeof(float));
    }
  });
  const auto head = [&](int64_t pair) {
    AttentionHead head = packed_head(qkv, nullptr, spec, pair);
    head.k = k_cache + pair * capacity * D;
    head.v = v_cache + pair * capacity * D;
    head.kv_stride = D;
    head.past = past;
    head.drop_threshold = 0;
    return head;
  };
  // Below some queries a block of them would be mostly padding, and packing costs more than it
  // saves.
  if (T >= 8) return forward(context, out, nullptr, spec, past, head);
  const int64_t size = round_up(past + T, most_lanes);
  Scratch<float> scratch(context, context.pool.threads() * size);
  spread(context, pairs, forward_flops(spec, past), [&](int64_t pair, int thread) {
    float* rows = out + pair / spec.H * T * C + pair % spec.H * D;
    for (int64_t t = 0; t < T; t++) {
      context.kernels.attention.row(head(pair), rows + t * C, t, scratch + thread * size);
    }
  });
}

}  // namespace gptloom::cpu
