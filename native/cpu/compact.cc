// Compact weights: bfloat16, or int8 in blocks of 32 with a float scale each.
//
// Maths: of a block of 32 weights along K, scale = max |w| / 127 and int8 = w / scale to the
//   nearest, as GGUF's Q8_0 but for the scale, which is a float32 here; bfloat16 is w to the nearest.
// Layout: cpu/compact.h.
// Plan: packing splits over panels of 32 columns, looking tokens up over rows; products are
//   matmul.cc's.
// Numbers: int8 is off by up to max |w| / 254 of its block, bfloat16 by 2^-9 |w|. As int8, a column
//   of a block that holds an infinity or a NaN becomes NaN, so that it shows.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "bfloat16.h"
#include "cpu/ops.h"
#include "cpu/split.h"

namespace gptloom::cpu {

namespace {

constexpr int64_t kLanes = CompactWeight::lanes, kBlock = CompactWeight::block;

// One column of a block, `n` weights that stand `stride` apart.
void pack_int8(unsigned char* block, int64_t lane, const float* w, int64_t stride, int64_t n) {
  float most = 0;
  bool finite = true;
  for (int64_t i = 0; i < n; i++) {
    most = std::max(most, std::fabs(w[i * stride]));
    finite = finite && std::isfinite(w[i * stride]);
  }
  const float scale = finite ? most / 127 : NAN;
  std::memcpy(block + lane * static_cast<int64_t>(sizeof scale), &scale, sizeof scale);
  unsigned char* to = block + CompactWeight::scales_bytes + lane;
  // Below the normal numbers a scale has too few bits to divide by.
  const bool usable = finite && scale >= 1e-37f;
  for (int64_t i = 0; i < n; i++) {
    const float ratio = usable ? w[i * stride] / scale : 0;
    const float whole = std::min(127.0f, std::max(-127.0f, std::nearbyint(ratio)));
    const auto value = static_cast<int8_t>(whole);
    std::memcpy(to + i * kLanes, &value, 1);
  }
}

}  // namespace

void compact_pack(Context& context, const CompactWeight& out, const float* weight, int64_t N,
                  bool transpose) {
  const int64_t K = out.K, column_stride = transpose ? K : 1, stride = transpose ? 1 : N;
  split_pieces(context, CompactWeight::panels(N), N * K, [&](int64_t piece) {
    const int64_t column = piece * kLanes;
    unsigned char* const panel = out.panel(column);
    std::memset(panel, 0, static_cast<size_t>(out.panel_bytes()));
    for (int64_t lane = 0; lane < std::min(kLanes, N - column); lane++) {
      const float* w = weight + (column + lane) * column_stride;
      if (out.int8) {
        for (int64_t k = 0; k < K; k += kBlock)
          pack_int8(panel + CompactWeight::block_at(k), lane, w + k * stride, stride,
                    std::min(kBlock, K - k));
      } else {
        auto* to = reinterpret_cast<uint16_t*>(panel) + lane;
        for (int64_t k = 0; k < K; k++) to[k * kLanes] = to_bfloat16(w[k * stride]);
      }
    }
  });
}

// out[K] = column `column`.
void compact_column(float* out, const CompactWeight& weight, int64_t column) {
  const unsigned char* panel = weight.panel(column);
  const int64_t lane = column % kLanes;
  for (int64_t k = 0; k < weight.K; k++) {
    if (!weight.int8) {
      out[k] = from_bfloat16(reinterpret_cast<const uint16_t*>(panel)[k * kLanes + lane]);
      continue;
    }
    const unsigned char* block = panel + CompactWeight::block_at(k);
    const unsigned char* at = block + CompactWeight::scales_bytes + k % kBlock * kLanes + lane;
    out[k] = reinterpret_cast<const float*>(block)[lane] * *reinterpret_cast<const int8_t*>(at);
  }
}

}  // namespace gptloom::cpu
