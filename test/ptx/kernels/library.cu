// What CUDA's own device libraries make of their promises: cooperative groups, barriers, pipelines,
// wmma and CUB, each in one block of 128 threads.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cub/block/block_radix_sort.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/warp/warp_scan.cuh>
#include <cuda/atomic>
#include <cuda/barrier>
#include <cuda/pipeline>
#include <cuda_fp16.h>
#include <mma.h>

#pragma nv_diag_suppress static_var_with_dynamic_init  // as the library itself advises

namespace cg = cooperative_groups;

// out[t] = {sum over 16, inclusive scan, lanes with our remainder by 4, maximum over 32, neighbour}
extern "C" __global__ void groups(int* out, const int* in) {
  __shared__ int held[128];
  auto block = cg::this_thread_block();
  auto tile = cg::tiled_partition<16>(block);
  auto warp = cg::tiled_partition<32>(block);
  int t = threadIdx.x, v = in[t];
  out[t * 5] = cg::reduce(tile, v, cg::plus<int>());
  out[t * 5 + 1] = cg::inclusive_scan(tile, v);
  int label = 0;
  if (t % 3) label = int(cg::labeled_partition(cg::coalesced_threads(), v & 3).size());
  out[t * 5 + 2] = label;
  out[t * 5 + 3] = cg::reduce(warp, v, cg::greater<int>());
  cg::memcpy_async(block, held, in, sizeof(int) * 128);
  cg::wait(block);
  out[t * 5 + 4] = held[127 - t];
}

extern "C" __global__ void barriers(int* out, const int* in) {
  __shared__ cuda::barrier<cuda::thread_scope_block> bar;
  __shared__ int held[128];
  if (threadIdx.x == 0) init(&bar, blockDim.x);
  __syncthreads();
  cuda::memcpy_async(&held[threadIdx.x], &in[threadIdx.x], sizeof(int), bar);
  bar.arrive_and_wait();
  int v = held[127 - threadIdx.x];
  auto token = bar.arrive();
  bar.wait(std::move(token));
  held[threadIdx.x] = v * 2;
  bar.arrive_and_wait();
  out[threadIdx.x] = held[threadIdx.x ^ 1];
}

extern "C" __global__ void pipeline(int* out, const int4* in) {
  __shared__ int4 held[3][32];
  auto pipe = cuda::make_pipeline();
  int sum = 0, t = threadIdx.x;
  auto fetch = [&](int i) {
    pipe.producer_acquire();
    cuda::memcpy_async(&held[i % 3][t], &in[i * 32 + t], cuda::aligned_size_t<16>(16), pipe);
    pipe.producer_commit();
  };
  fetch(0), fetch(1);
  for (int i = 0; i < 8; ++i) {
    if (i + 2 < 8) fetch(i + 2);
    else pipe.producer_acquire(), pipe.producer_commit();
    cuda::pipeline_consumer_wait_prior<2>(pipe);
    __syncthreads();
    sum = sum * 3 + held[i % 3][31 - t].x + held[i % 3][t].w;
    __syncthreads();
    pipe.consumer_release();
  }
  out[t] = sum;
}

extern "C" __global__ void collectives(int* out, const int* in) {
  using Scan = cub::BlockScan<int, 128>;
  using Reduce = cub::BlockReduce<int, 128>;
  using Sort = cub::BlockRadixSort<int, 128, 4>;
  using Warp = cub::WarpScan<int>;
  __shared__ union {
    Scan::TempStorage scan;
    Reduce::TempStorage reduce;
    Sort::TempStorage sort;
    Warp::TempStorage warp[4];
  } temp;
  int t = threadIdx.x, v = in[t], x, y;
  Scan(temp.scan).ExclusiveSum(v, x);
  __syncthreads();
  int sum = Reduce(temp.reduce).Sum(v);
  __syncthreads();
  int keys[4] = {v, v * 3 % 17, v * 7 % 31, x};
  Sort(temp.sort).Sort(keys);
  __syncthreads();
  Warp(temp.warp[t / 32]).InclusiveSum(v, y);
  out[t * 7] = x, out[t * 7 + 1] = t ? 0 : sum, out[t * 7 + 2] = y;
  for (int k = 0; k < 4; ++k) out[t * 7 + 3 + k] = keys[k];
}

// A flag handed over with release and acquire, and a sum by atomic_ref.
extern "C" __global__ void flags(int* out, int* state) {
  cuda::atomic_ref<int, cuda::thread_scope_device> flag(state[0]), sum(state[1]);
  sum.fetch_add(int(threadIdx.x), cuda::memory_order_relaxed);
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    out[0] = 42;
    flag.store(1, cuda::memory_order_release);
  }
  if (blockIdx.x == 1 && threadIdx.x == 0) {
    while (!flag.load(cuda::memory_order_acquire)) __nanosleep(20);
    out[1] = out[0] + 1;
  }
}

extern "C" __global__ void fragments(float* c, const half* a, const half* b) {
  using namespace nvcuda;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> fa;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::col_major> fb;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
  wmma::fill_fragment(fc, 1.f);
  wmma::load_matrix_sync(fa, a, 16);
  wmma::load_matrix_sync(fb, b, 16);
  wmma::mma_sync(fc, fa, fb, fc);
  for (int i = 0; i < fc.num_elements; ++i) fc.x[i] *= 2;
  wmma::store_matrix_sync(c, fc, 16, wmma::mem_row_major);
}

__device__ __noinline__ int collatz(int n) {
  int steps = 0;
  while (n != 1) {
    n = n & 1 ? 3 * n + 1 : n / 2;
    ++steps;
  }
  return steps;
}
extern "C" __global__ void branches(int* out) {
  int t = threadIdx.x, table[16], s = collatz(t + 1);
  for (int i = 0; i < 16; ++i) table[i] = i * s;
  switch (t % 9) {
    case 0: s += 1; break;
    case 1: s *= 3; break;
    case 2: s -= 4; break;
    case 3: s ^= 9; break;
    case 4: s |= 5; break;
    case 5: s += 100; break;
    case 6: s = s / 3 + s % 7; break;
    case 7: return;
  }
  out[t] = s + table[(t * 5) & 15];
}
