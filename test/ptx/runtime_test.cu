// Programs as others write them: the runtime's API, launches with <<<>>>, cooperative groups,
// virtual functions, recursion, locks, pipelines. Built with nvcc -cudart shared.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda_pipeline.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace cg = cooperative_groups;

static int passed = 0, failed = 0;
static void report(bool ok, const char* name) {
  ++(ok ? passed : failed);
  if (!ok) std::printf("FAIL %s: %s\n", name, cudaGetErrorString(cudaGetLastError()));
}

template <class T>
class Device {
 public:
  explicit Device(const std::vector<T>& from) : size_(from.size()) {
    cudaMalloc(reinterpret_cast<void**>(&at_), size_ * sizeof(T));
    cudaMemcpy(at_, from.data(), size_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  explicit Device(size_t size) : Device(std::vector<T>(size)) {}
  ~Device() { cudaFree(at_); }
  operator T*() { return at_; }
  std::vector<T> get() {
    std::vector<T> out(size_);
    if (cudaDeviceSynchronize() == cudaSuccess)
      cudaMemcpy(out.data(), at_, size_ * sizeof(T), cudaMemcpyDeviceToHost);
    return out;
  }

 private:
  T* at_ = nullptr;
  size_t size_;
};

// ---- A warp a row: normalised by its mean and deviation.

__global__ void normalise(float* out, const float* in, int rows, int width) {
  const auto warp = cg::tiled_partition<32>(cg::this_thread_block());
  const int row = blockIdx.x * warp.meta_group_size() + warp.meta_group_rank();
  if (row >= rows) return;
  float sum = 0, squares = 0;
  for (int k = warp.thread_rank(); k < width; k += 32) {
    const float value = in[row * width + k];
    sum += value, squares += value * value;
  }
  sum = cg::reduce(warp, sum, cg::plus<float>());
  squares = cg::reduce(warp, squares, cg::plus<float>());
  const float mean = sum / width, scale = rsqrtf(squares / width - mean * mean + 1e-5f);
  for (int k = warp.thread_rank(); k < width; k += 32)
    __stcs(out + row * width + k, (__ldcs(in + row * width + k) - mean) * scale);
}

static void test_groups() {
  const int rows = 7, width = 75;
  std::vector<float> in(rows * width);
  for (size_t k = 0; k < in.size(); ++k) in[k] = std::sin(float(k * k % 1009));
  Device<float> from(in), to(in.size());
  normalise<<<2, 128>>>(to, from, rows, width);
  const auto got = to.get();
  double worst = 0;
  for (int r = 0; r < rows; ++r) {
    double mean = 0, variance = 0;
    for (int k = 0; k < width; ++k) mean += in[r * width + k] / double(width);
    for (int k = 0; k < width; ++k)
      variance += (in[r * width + k] - mean) * (in[r * width + k] - mean) / width;
    for (int k = 0; k < width; ++k)
      worst = std::fmax(worst, std::fabs(got[r * width + k] -
                                         (in[r * width + k] - mean) / std::sqrt(variance + 1e-5)));
  }
  report(worst < 1e-4, "cooperative groups");
}

// Lanes that keep their value take places together.
__global__ void compact(int* out, int* count, const int* in, int n) {
  const int k = blockIdx.x * blockDim.x + threadIdx.x;
  if (k >= n || in[k] % 3) return;
  const auto group = cg::coalesced_threads();
  int first = 0;
  if (group.thread_rank() == 0) first = atomicAdd(count, group.size());
  out[group.shfl(first, 0) + group.thread_rank()] = in[k];
}

static void test_coalesced() {
  const int n = 1000;
  std::vector<int> in(n);
  long want = 0;
  for (int k = 0; k < n; ++k) in[k] = k * 7 % 64, want += in[k] % 3 ? 0 : in[k];
  Device<int> from(in), to(n), count(1);
  compact<<<8, 128>>>(to, count, from, n);
  long sum = 0;
  for (int value : to.get()) sum += value;
  report(sum == want, "coalesced threads");
}

// ---- Calls

struct Shape {
  __device__ virtual float area() const { return 1; }
};
struct Square : Shape {
  float side;
  __device__ explicit Square(float side) : side(side) {}
  __device__ float area() const override { return side * side; }
};
struct Strip : Shape {
  float length;
  __device__ explicit Strip(float length) : length(length) {}
  __device__ float area() const override { return length / 4; }
};

__device__ int ways(int stairs) { return stairs < 2 ? 1 : ways(stairs - 1) + ways(stairs - 2); }

__global__ void call(float* areas, int* counts) {
  const int t = threadIdx.x;
  Shape unit;
  Square square(t);
  Strip strip(t);
  const Shape* shape = t % 3 == 0 ? &unit : t % 3 == 1 ? static_cast<Shape*>(&square) : &strip;
  areas[t] = shape->area();
  counts[t] = ways(t % 9);
}

static void test_calls() {
  Device<float> areas(96);
  Device<int> counts(96);
  call<<<1, 96>>>(areas, counts);
  const auto area = areas.get();
  const auto count = counts.get();
  const int want[9] = {1, 1, 2, 3, 5, 8, 13, 21, 34};
  bool right = true;
  for (int t = 0; t < 96; ++t)
    right &= count[t] == want[t % 9] && area[t] == (t % 3 == 0   ? 1.f
                                                    : t % 3 == 1 ? t * t
                                                                 : t / 4.f);
  report(right, "virtual functions and recursion");
}

// ---- Agreement

__device__ int shared_total;
__constant__ int step[2] = {3, 4};

__global__ void locked(int* lock) {
  for (bool done = false; !done;) {
    if (atomicCAS(lock, 0, 1)) continue;
    __threadfence();
    shared_total += step[threadIdx.x & 1];
    __threadfence();
    atomicExch(lock, 0);
    done = true;
  }
}

static void test_lock() {
  Device<int> lock(1);
  locked<<<3, 64>>>(lock);
  int total = 0;
  report(!cudaMemcpyFromSymbol(&total, shared_total, sizeof total) && total == 3 * 64 * 7 / 2,
         "a lock between threads");
}

// Each block adds the sum of those before it, which it waits for.
__global__ void scan(int* out, const int* in, volatile int* sums) {
  __shared__ int part[64], before;
  const int t = threadIdx.x, k = blockIdx.x * 64 + t;
  part[t] = in[k];
  __syncthreads();
  for (int reach = 1; reach < 64; reach *= 2) {
    const int left = t >= reach ? part[t - reach] : 0;
    __syncthreads();
    part[t] += left;
    __syncthreads();
  }
  if (t == 0) {
    int sum = 0;
    while (blockIdx.x && !(sum = sums[blockIdx.x - 1])) {
    }
    before = sum;
    sums[blockIdx.x] = sum + part[63];
  }
  __syncthreads();
  out[k] = before + part[t];
}

static void test_scan() {
  const int n = 64 * 40;
  std::vector<int> in(n);
  for (int k = 0; k < n; ++k) in[k] = 1 + k % 5;
  Device<int> from(in), to(n), sums(40);
  scan<<<40, 64>>>(to, from, sums);
  const auto got = to.get();
  bool right = true;
  for (int k = 0, sum = 0; k < n; ++k) right &= got[k] == (sum += in[k]);
  report(right, "blocks that wait for those before them");
}

__global__ void staged(float4* out, const float4* in) {
  extern __shared__ float4 stage[];
  const int t = threadIdx.x, n = blockDim.x;
  for (int s = 0; s < 2; ++s) {
    __pipeline_memcpy_async(&stage[s * n + t], &in[s * n + t], 16, s * 4);
    __pipeline_commit();
  }
  __pipeline_wait_prior(1);
  __syncthreads();
  out[t] = stage[n - 1 - t];
  __pipeline_wait_prior(0);
  __syncthreads();
  out[n + t] = stage[2 * n - 1 - t];
}

static void test_pipeline() {
  std::vector<float4> in(256);
  for (int k = 0; k < 256; ++k) in[k] = make_float4(k, k + 0.25f, k + 0.5f, k + 0.75f);
  Device<float4> from(in), to(256);
  cudaFuncSetAttribute(staged, cudaFuncAttributeMaxDynamicSharedMemorySize, 65536);
  staged<<<1, 128, 65536>>>(to, from);
  const auto got = to.get();
  bool right = true;
  for (int k = 0; k < 128; ++k)
    right &= got[k].w == in[127 - k].w && got[128 + k].z == in[255 - k].z && got[128 + k].w == 0;
  report(right, "a pipeline in 64 KB of shared memory");
}

// ---- Memory from malloc, groups of several warps

struct Node {
  int value;
  Node* next;
};

__global__ void push(Node** head, int n) {
  for (int k = 0; k < n; ++k) {
    Node* made = new Node;
    made->value = threadIdx.x;
    auto* at = reinterpret_cast<unsigned long long*>(head);
    unsigned long long seen = *const_cast<volatile unsigned long long*>(at), old;
    do {
      old = seen;
      made->next = reinterpret_cast<Node*>(old);
      seen = atomicCAS(at, old, reinterpret_cast<unsigned long long>(made));
    } while (seen != old);
  }
}

__global__ void pop_all(int* sum, Node* head) {
  for (*sum = 0; head;) {
    Node* next = head->next;
    *sum += head->value;
    delete head;
    head = next;
  }
}

static void test_heap() {
  Device<Node*> head(1);
  Device<int> sum(1);
  push<<<1, 32>>>(head, 5);
  pop_all<<<1, 1>>>(sum, head.get()[0]);
  report(sum.get()[0] == 5 * 31 * 16, "a list of what malloc gave");
}

__global__ void sums_of_halves(int* out) {
  __shared__ cg::block_tile_memory<256> memory;
  const auto half = cg::tiled_partition<128>(cg::this_thread_block(memory));
  out[threadIdx.x] = cg::reduce(half, int(threadIdx.x), cg::plus<int>());
}

static void test_wide_tiles() {
  Device<int> out(256);
  sums_of_halves<<<2, 256>>>(out);
  const auto got = out.get();
  report(got[0] == 127 * 64 && got[255] == (128 + 255) * 64, "groups of several warps");
}

// ---- Graphs made by hand

__global__ void scale(int* x, int by) { x[threadIdx.x] *= by; }

static void test_graph() {
  Device<int> x(64);
  std::vector<int> in(64), out(64);
  for (int k = 0; k < 64; ++k) in[k] = k;
  int* at = x;
  int by = 3;
  void* arguments[] = {&at, &by};
  cudaKernelNodeParams kernel{};
  kernel.func = reinterpret_cast<void*>(scale);
  kernel.gridDim = dim3(1), kernel.blockDim = dim3(64), kernel.kernelParams = arguments;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaGraphNode_t load, node, store;
  size_t nodes = 0;
  const size_t bytes = 64 * sizeof(int);
  bool right = !cudaGraphCreate(&graph, 0) &&
               !cudaGraphAddMemcpyNode1D(&load, graph, nullptr, 0, at, in.data(), bytes,
                                         cudaMemcpyHostToDevice) &&
               !cudaGraphAddKernelNode(&node, graph, &load, 1, &kernel) &&
               !cudaGraphAddMemcpyNode1D(&store, graph, &node, 1, out.data(), at, bytes,
                                         cudaMemcpyDeviceToHost) &&
               !cudaGraphGetNodes(graph, nullptr, &nodes) && nodes == 3 &&
               !cudaGraphInstantiateWithFlags(&exec, graph, 0) && !cudaGraphLaunch(exec, nullptr) &&
               !cudaDeviceSynchronize();
  for (int k = 0; k < 64; ++k) right &= out[k] == 3 * k;
  by = 5;
  right = right && !cudaGraphExecKernelNodeSetParams(exec, node, &kernel) &&
          !cudaGraphLaunch(exec, nullptr) && !cudaDeviceSynchronize();
  for (int k = 0; k < 64; ++k) right &= out[k] == 5 * k;
  report(right && !cudaGraphExecDestroy(exec) && !cudaGraphDestroy(graph), "a graph made by hand");
}

// ---- Boxes of pitched memory

static void test_boxes() {
  const cudaExtent extent = make_cudaExtent(44, 3, 5);
  std::vector<char> in(44 * 3 * 5), out(in.size());
  for (size_t k = 0; k < in.size(); ++k) in[k] = char(k);
  cudaPitchedPtr box;
  bool right = !cudaMalloc3D(&box, extent) && box.pitch >= 44 && !cudaMemset3D(box, 1, extent);
  cudaMemcpy3DParms load{}, store{};
  load.srcPtr = make_cudaPitchedPtr(in.data(), 44, 44, 3), load.dstPtr = box;
  load.extent = extent, load.kind = cudaMemcpyHostToDevice;
  // All but the first four bytes of each row, the first row of each plane and the first plane.
  store.srcPtr = box, store.dstPtr = make_cudaPitchedPtr(out.data(), 44, 44, 3);
  store.srcPos = store.dstPos = make_cudaPos(4, 1, 1), store.extent = make_cudaExtent(40, 2, 4);
  store.kind = cudaMemcpyDeviceToHost;
  right = right && !cudaMemcpy3D(&load) && !cudaMemcpy3DAsync(&store, nullptr) &&
          !cudaDeviceSynchronize();
  for (size_t k = 0; k < in.size(); ++k) {
    const bool inside = k % 44 >= 4 && k / 44 % 3 && k / 132;
    right &= out[k] == (inside ? in[k] : 0);
  }
  report(right && !cudaFree(box.ptr), "boxes");
}

static void test_errors() {
  void* none = nullptr;
  report(cudaMalloc(&none, size_t(1) << 60) == cudaErrorMemoryAllocation &&
             cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess,
         "the last error");
  normalise<<<1, 2048>>>(nullptr, nullptr, 0, 0);
  report(cudaGetLastError() != cudaSuccess && cudaDeviceSynchronize() == cudaSuccess,
         "a launch that is too large");
  normalise<<<0, 32>>>(nullptr, nullptr, 0, 0);
  const std::string name = cudaGetErrorName(cudaErrorMemoryAllocation);
  report(cudaGetLastError() == cudaErrorInvalidConfiguration && name == "cudaErrorMemoryAllocation",
         "the runtime's own names");
  report(cudaMallocArray(nullptr, nullptr, 0, 0, 0) == cudaErrorNotSupported &&
             cudaGetLastError() == cudaErrorNotSupported,
         "what is missing");
}

__device__ int counted = 3;
__global__ void count() { ++counted; }

// After a reset, kernels and variables are loaded anew.
static void test_reset() {
  int before = 0, after = 0;
  count<<<1, 1>>>();
  cudaMemcpyFromSymbol(&before, counted, sizeof before);
  scale<<<1, 32>>>(nullptr, 1);
  bool right = cudaDeviceSynchronize() == cudaErrorIllegalAddress && !cudaDeviceReset() &&
               !cudaGetLastError();
  count<<<1, 1>>>();
  right = right && !cudaMemcpyFromSymbol(&after, counted, sizeof after);
  report(right && before == 4 && after == 4, "a reset after an error");
}

int main() {
  for (auto test : {test_groups, test_coalesced, test_calls, test_lock, test_scan, test_pipeline,
                    test_heap, test_wide_tiles, test_graph, test_boxes, test_errors, test_reset})
    test();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
