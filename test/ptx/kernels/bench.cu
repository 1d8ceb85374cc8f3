// Kernels of the usual kinds, to try the core on what nvcc makes of them and to time it.
#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace cg = cooperative_groups;

// Plain arithmetic: a polynomial iterated in registers.
extern "C" __global__ void arithmetic(float* out, int n, int steps) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float x = i * 1e-3f, y = 0.5f;
  unsigned h = i;
  for (int k = 0; k < steps; ++k) {
    x = fmaf(x, y, 0.25f);
    y = y * 0.999f + x * 1e-3f;
    h = h * 1664525u + 1013904223u;
    h ^= h >> 7;
    x += (h & 255) * 1e-6f;
  }
  out[i] = x + y;
}

extern "C" __global__ void saxpy(const float4* __restrict__ x, float4* y, float a, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float4 u = x[i], v = y[i];
  y[i] = make_float4(a * u.x + v.x, a * u.y + v.y, a * u.z + v.z, a * u.w + v.w);
}

__device__ float warp_sum(float v) {
  for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  return v;
}

// One block a row.
extern "C" __global__ void layernorm(float* out, const float* in, const float* weight, const float* bias,
                                     int C) {
  __shared__ float part[64];
  const float* x = in + size_t(blockIdx.x) * C;
  float s = 0, s2 = 0;
  for (int c = threadIdx.x; c < C; c += blockDim.x) {
    s += x[c];
    s2 += x[c] * x[c];
  }
  s = warp_sum(s), s2 = warp_sum(s2);
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  if (lane == 0) part[warp] = s, part[32 + warp] = s2;
  __syncthreads();
  s = warp_sum(lane < warps ? part[lane] : 0.f);
  s2 = warp_sum(lane < warps ? part[32 + lane] : 0.f);
  float mean = s / C, rstd = rsqrtf(s2 / C - mean * mean + 1e-5f);
  for (int c = threadIdx.x; c < C; c += blockDim.x)
    out[size_t(blockIdx.x) * C + c] = (x[c] - mean) * rstd * weight[c] + bias[c];
}

// One warp a row of scores.
extern "C" __global__ void softmax(float* out, const float* in, int rows, int C) {
  auto tile = cg::tiled_partition<32>(cg::this_thread_block());
  int row = blockIdx.x * tile.meta_group_size() + tile.meta_group_rank();
  if (row >= rows) return;
  const float* x = in + size_t(row) * C;
  float m = -INFINITY, s = 0;
  for (int c = tile.thread_rank(); c < C; c += 32) m = fmaxf(m, x[c]);
  for (int o = 16; o; o >>= 1) m = fmaxf(m, tile.shfl_xor(m, o));
  for (int c = tile.thread_rank(); c < C; c += 32) s += expf(x[c] - m);
  for (int o = 16; o; o >>= 1) s += tile.shfl_xor(s, o);
  for (int c = tile.thread_rank(); c < C; c += 32) out[size_t(row) * C + c] = expf(x[c] - m) / s;
}

// Histogram in shared memory, then global atomics; half and bfloat16 sums by atomics.
extern "C" __global__ void histogram(unsigned* bins, const unsigned char* in, __nv_bfloat162* pair, int n) {
  __shared__ unsigned local[256];
  for (int k = threadIdx.x; k < 256; k += blockDim.x) local[k] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    atomicAdd(&local[in[i]], 1u);
  __syncthreads();
  for (int k = threadIdx.x; k < 256; k += blockDim.x)
    if (local[k]) atomicAdd(&bins[k], local[k]);
  if (threadIdx.x == 0) atomicAdd(pair, __floats2bfloat162_rn(1.f, 2.f));
}

extern "C" __global__ void transcendental(float* out, const float* in, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float x = in[i];
  float* o = out + size_t(i) * 12;
  o[0] = tanhf(x), o[1] = erff(x), o[2] = expf(x), o[3] = logf(fabsf(x) + 1e-3f), o[4] = sinf(x * 100),
  o[5] = cosf(x);
  o[6] = powf(fabsf(x), 1.7f), o[7] = log1pf(fabsf(x)), o[8] = rsqrtf(fabsf(x) + 1),
  o[9] = float(exp(double(x))), o[10] = fmodf(x, 0.7f), o[11] = cbrtf(x);
}

// C = A B, row-major A (M x K) and B (K x N) in bfloat16, 64 x 64 tiles, cp.async in two stages, ldmatrix,
// mma.sync.
__device__ void copy16(void* to, const void* from, bool valid) {
  unsigned address = unsigned(__cvta_generic_to_shared(to));
  int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes));
}
extern "C" __global__ void __launch_bounds__(128)
    matmul(float* c, const __nv_bfloat16* a, const __nv_bfloat16* b, int M, int N, int K) {
  constexpr int T = 64, KT = 32, PA = KT + 8, PB = T + 8;
  __shared__ __align__(16) __nv_bfloat16 as[2][T * PA], bs[2][KT * PB];
  const int m0 = blockIdx.y * T, n0 = blockIdx.x * T, t = threadIdx.x, lane = t % 32, warp = t / 32;
  float acc[8][4] = {};
  auto fetch = [&](int stage, int k0) {
    for (int i = t; i < T * KT / 8; i += 128) {
      int r = i / (KT / 8), k = i % (KT / 8) * 8;
      bool ok = m0 + r < M && k0 + k < K;
      copy16(&as[stage][r * PA + k], ok ? a + size_t(m0 + r) * K + k0 + k : a, ok);
    }
    for (int i = t; i < KT * T / 8; i += 128) {
      int k = i / (T / 8), n = i % (T / 8) * 8;
      bool ok = k0 + k < K && n0 + n < N;
      copy16(&bs[stage][k * PB + n], ok ? b + size_t(k0 + k) * N + n0 + n : b, ok);
    }
    asm volatile("cp.async.commit_group;");
  };
  fetch(0, 0);
  for (int k0 = 0, stage = 0; k0 < K; k0 += KT, stage ^= 1) {
    if (k0 + KT < K) {
      fetch(stage ^ 1, k0 + KT);
      asm volatile("cp.async.wait_group 1;");
    } else {
      asm volatile("cp.async.wait_group 0;");
    }
    __syncthreads();
    for (int kk = 0; kk < KT; kk += 16) {
      unsigned ar[4], br[4];
      unsigned at =
          unsigned(__cvta_generic_to_shared(&as[stage][(warp * 16 + lane % 16) * PA + kk + lane / 16 * 8]));
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(ar[0]), "=r"(ar[1]), "=r"(ar[2]), "=r"(ar[3])
                   : "r"(at));
      for (int n = 0; n < T; n += 16) {
        unsigned bt =
            unsigned(__cvta_generic_to_shared(&bs[stage][(kk + lane % 16) * PB + n + lane / 16 * 8]));
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(br[0]), "=r"(br[1]), "=r"(br[2]), "=r"(br[3])
                     : "r"(bt));
        for (int h = 0; h < 2; ++h) {
          float* d = acc[n / 8 + h];
          asm volatile(
              "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
              "{%0,%1,%2,%3};"
              : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
              : "r"(ar[0]), "r"(ar[1]), "r"(ar[2]), "r"(ar[3]), "r"(br[2 * h]), "r"(br[2 * h + 1]));
        }
      }
    }
    __syncthreads();
  }
  for (int j = 0; j < 8; ++j)
    for (int e = 0; e < 4; ++e) {
      int r = m0 + warp * 16 + lane / 4 + (e / 2) * 8, col = n0 + j * 8 + lane % 4 * 2 + e % 2;
      if (r < M && col < N) c[size_t(r) * N + col] = acc[j][e];
    }
}

// Every block waits for all others: cooperative launches only.
extern "C" __global__ void grid_sum(float* out, const float* in, float* part, int n) {
  auto grid = cg::this_grid();
  float s = 0;
  for (int i = grid.thread_rank(); i < n; i += grid.size()) s += in[i];
  s = warp_sum(s);
  if (threadIdx.x % 32 == 0) part[grid.thread_rank() / 32] = s;
  grid.sync();
  if (grid.thread_rank() == 0) {
    float total = 0;
    for (int k = 0; k < int(grid.size() / 32); ++k) total += part[k];
    out[0] = total;
  }
}

// A tile product in float32 through shared memory, without tensor cores.
extern "C" __global__ void tiled(float* c, const float* a, const float* b, int n) {
  __shared__ float as[16][16], bs[16][17];
  int r = blockIdx.y * 16 + threadIdx.y, col = blockIdx.x * 16 + threadIdx.x;
  float s = 0;
  for (int k = 0; k < n; k += 16) {
    as[threadIdx.y][threadIdx.x] = r < n && k + threadIdx.x < n ? a[r * n + k + threadIdx.x] : 0.f;
    bs[threadIdx.y][threadIdx.x] = k + threadIdx.y < n && col < n ? b[(k + threadIdx.y) * n + col] : 0.f;
    __syncthreads();
    for (int j = 0; j < 16; ++j) s += as[threadIdx.y][j] * bs[j][threadIdx.x];
    __syncthreads();
  }
  if (r < n && col < n) c[r * n + col] = s;
}
