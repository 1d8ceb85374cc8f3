// Graphs: captured and built by hand, against the same calls made eagerly.
#include "driver_test.h"

#include <atomic>
#include <thread>

using namespace driver_test;

static CUstream make_stream(unsigned flags = 1) {
  CUstream stream = nullptr;
  OK(CU(cuStreamCreate)(&stream, flags));
  return stream;
}

static CUevent make_event() {
  CUevent event = nullptr;
  OK(CU(cuEventCreate)(&event, 2));
  return event;
}

static CUgraphExec instantiate(CUgraph graph) {
  CUgraphExec exec = nullptr;
  OK(CU(cuGraphInstantiateWithFlags)(&exec, graph, 0));
  return exec;
}

static size_t nodes_of(CUgraph graph) {
  size_t count = 0;
  OK(CU(cuGraphGetNodes)(graph, nullptr, &count));
  return count;
}

struct Work {
  CUfunction add, scale;
  CUdeviceptr p, q, sum;
  CUstream main, side;
  CUevent fork, join;
  uint32_t* pinned;
  static constexpr uint32_t n = 97;

  Work() {
    start();
    const CUmodule module = load();
    add = function_of(module, "add"), scale = function_of(module, "scale");
    p = upload(std::vector<uint32_t>(n, 3)), q = upload(std::vector<uint32_t>(n, 4));
    sum = upload(std::vector<uint32_t>(n, 0));
    main = make_stream(), side = make_stream();
    fork = make_event(), join = make_event();
    void* host = nullptr;
    OK(CU(cuMemAllocHost_v2)(&host, 4 * n));
    pinned = static_cast<uint32_t*>(host);
    std::fill(pinned, pinned + n, 11u);
  }
  // Two branches whose kernels do not commute, a copy each way, a fill, a host function.
  void enqueue() {
    OK(launch(add, {4}, {32}, 0, main, p, 5u, n));
    OK(CU(cuEventRecord)(fork, main));
    OK(CU(cuStreamWaitEvent)(side, fork, 0));
    OK(launch(scale, {4}, {32}, 0, side, q, 3u, n));
    OK(CU(cuMemcpyHtoDAsync_v2)(sum, pinned, 4 * n, side));
    OK(launch(add, {4}, {32}, 0, side, sum, 1u, n));
    OK(launch(scale, {4}, {32}, 0, main, p, 2u, n));
    OK(CU(cuEventRecord)(join, side));
    OK(CU(cuStreamWaitEvent)(main, join, 0));
    OK(CU(cuMemcpyDtoDAsync_v2)(q, p, 40, main));
    OK(CU(cuMemsetD32Async)(q + 40, 9, 3, main));
    OK(CU(cuLaunchHostFunc)(main, [](void* data) { ++*static_cast<uint32_t*>(data); }, pinned));
  }
  CUgraph capture() {
    CUgraph graph = nullptr;
    OK(CU(cuStreamBeginCapture_v2)(main, 0));
    enqueue();
    OK(CU(cuStreamEndCapture)(main, &graph));
    return graph;
  }
  std::vector<uint32_t> state() {
    OK(CU(cuCtxSynchronize)());
    auto all = download<uint32_t>(p, n);
    for (const CUdeviceptr at : {q, sum}) {
      const auto more = download<uint32_t>(at, n);
      all.insert(all.end(), more.begin(), more.end());
    }
    all.push_back(pinned[0]);
    return all;
  }
};

// What three rounds of the work leave, computed here.
static std::vector<uint32_t> expected(int rounds) {
  std::vector<uint32_t> p(Work::n, 3), q(Work::n, 4), sum(Work::n, 0);
  uint32_t host = 11;
  for (int r = 0; r < rounds; r++) {
    for (uint32_t i = 0; i < Work::n; i++) {
      p[i] = (p[i] + 5) * 2;
      q[i] *= 3;
      sum[i] = (i == 0 ? host : 11) + 1;
    }
    for (uint32_t i = 0; i < 10; i++) q[i] = p[i];
    for (uint32_t i = 10; i < 13; i++) q[i] = 9;
    host++;
  }
  std::vector<uint32_t> all = p;
  all.insert(all.end(), q.begin(), q.end());
  all.insert(all.end(), sum.begin(), sum.end());
  all.push_back(host);
  return all;
}

static void graph_equals_eager(const char* order, const char* seed) {
  setenv("EMULATOR_ORDER", order, 1);
  setenv("EMULATOR_SEED", seed, 1);
  Work work;
  work.enqueue();
  CHECK(work.state() == expected(1));
  const CUgraph graph = work.capture();
  CHECK(work.state() == expected(1));  // a capture runs nothing
  EQUAL(nodes_of(graph), size_t(8));
  const CUgraphExec exec = instantiate(graph);
  OK(CU(cuGraphDestroy)(graph));
  OK(CU(cuGraphUpload)(exec, work.main));
  OK(CU(cuGraphLaunch)(exec, work.main));
  OK(CU(cuGraphLaunch)(exec, work.side));  // never overlaps the first, though the streams differ
  CHECK(work.state() == expected(3));
  OK(CU(cuGraphExecDestroy)(exec));
  EQUAL(CU(cuGraphLaunch)(exec, work.main), CUDA_ERROR_INVALID_HANDLE);
}

TEST(graph_equals_eager_forward) { graph_equals_eager("forward", "1"); }
TEST(graph_equals_eager_reverse) { graph_equals_eager("reverse", "1"); }
TEST(graph_equals_eager_random_1) { graph_equals_eager("random", "1"); }
TEST(graph_equals_eager_random_2) { graph_equals_eager("random", "7"); }

TEST(graph_capture_state) {
  Work work;
  int status = 9;
  OK(CU(cuStreamIsCapturing)(work.main, &status));
  EQUAL(status, 0);
  OK(CU(cuStreamBeginCapture_v2)(work.main, 2));
  OK(launch(work.add, {4}, {32}, 0, work.main, work.p, 5u, Work::n));
  uint64_t id = 0;
  CUgraph graph = nullptr, ended = nullptr;
  const CUgraphNode* tips = nullptr;
  size_t count = 0;
  OK(CU(cuStreamGetCaptureInfo_v2)(work.main, &status, &id, &graph, &tips, &count));
  EQUAL(status, 1);
  CHECK(id > 0 && graph && count == 1 && tips);
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  OK(CU(cuGraphNodeGetType)(tips[0], &type));
  EQUAL(int(type), int(CU_GRAPH_NODE_TYPE_KERNEL));
  EQUAL(CU(cuStreamBeginCapture_v2)(work.main, 0), CUDA_ERROR_ILLEGAL_STATE);
  EQUAL(CU(cuStreamBeginCapture_v2)(nullptr, 0), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  OK(CU(cuStreamEndCapture)(work.main, &ended));
  CHECK(ended == graph);
  EQUAL(CU(cuStreamEndCapture)(work.main, &ended), CUDA_ERROR_ILLEGAL_STATE);
}

TEST(graph_capture_unjoined) {
  Work work;
  CUgraph graph = nullptr;
  OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
  OK(CU(cuEventRecord)(work.fork, work.main));
  OK(CU(cuStreamWaitEvent)(work.side, work.fork, 0));
  OK(launch(work.add, {4}, {32}, 0, work.side, work.p, 5u, Work::n));
  EQUAL(CU(cuStreamEndCapture)(work.main, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
  CHECK(graph == nullptr);
  OK(launch(work.add, {4}, {32}, 0, work.side, work.p, 5u, Work::n));  // both streams are free again
  OK(CU(cuStreamSynchronize)(work.side));
}

TEST(graph_capture_forbids) {
  Work work;
  CUgraph graph = nullptr;
  OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
  EQUAL(CU(cuStreamSynchronize)(work.main), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EQUAL(launch(work.add, {4}, {32}, 0, work.main, work.p, 5u, Work::n),
        CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EQUAL(CU(cuStreamEndCapture)(work.main, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
  CUdeviceptr address = 0;
  EQUAL(CU(cuMemAlloc_v2)(&address, 4), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EQUAL(CU(cuStreamEndCapture)(work.main, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  OK(CU(cuStreamBeginCapture_v2)(work.main, 2));  // relaxed: allocating is the caller's risk
  OK(CU(cuMemAlloc_v2)(&address, 4));
  OK(CU(cuStreamEndCapture)(work.main, &graph));
  const CUstream blocking = make_stream(0);
  OK(CU(cuStreamBeginCapture_v2)(blocking, 2));
  EQUAL(launch(work.add, {4}, {32}, 0, nullptr, work.p, 5u, Work::n), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  EQUAL(CU(cuStreamEndCapture)(blocking, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

TEST(graph_capture_events) {
  Work work;
  CUgraph graph = nullptr;
  OK(CU(cuEventRecord)(work.fork, work.side));
  OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
  EQUAL(CU(cuStreamWaitEvent)(work.main, work.fork, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  CU(cuStreamEndCapture)(work.main, &graph);
  OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
  OK(CU(cuEventRecord)(work.fork, work.main));
  EQUAL(CU(cuEventQuery)(work.fork), CUDA_ERROR_CAPTURED_EVENT);
  OK(CU(cuStreamBeginCapture_v2)(work.side, 0));
  EQUAL(CU(cuStreamWaitEvent)(work.side, work.fork, 0), CUDA_ERROR_STREAM_CAPTURE_MERGE);
  EQUAL(CU(cuStreamEndCapture)(work.main, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EQUAL(CU(cuStreamEndCapture)(work.side, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

static CUDA_KERNEL_NODE_PARAMS kernel_params(CUfunction function, void** params) {
  return {function, 4, 1, 1, 32, 1, 1, 0, params, nullptr, nullptr, nullptr};
}

TEST(graph_by_hand) {
  setenv("EMULATOR_ORDER", "reverse", 1);
  Work work;
  CUgraph graph = nullptr;
  OK(CU(cuGraphCreate)(&graph, 0));
  uint32_t five = 5, two = 2, n = Work::n;
  void *add_params[] = {&work.p, &five, &n}, *scale_params[] = {&work.p, &two, &n};
  CUgraphNode add = nullptr, scale = nullptr, copy = nullptr, fill = nullptr, host = nullptr,
              empty = nullptr;
  const auto first = kernel_params(work.add, add_params), second = kernel_params(work.scale, scale_params);
  OK(CU(cuGraphAddKernelNode_v2)(&scale, graph, nullptr, 0, &second));  // added first, made to wait below
  OK(CU(cuGraphAddKernelNode_v2)(&add, graph, nullptr, 0, &first));
  OK(CU(cuGraphAddDependencies)(graph, &add, &scale, 1));
  const CUDA_MEMSET_NODE_PARAMS memset = {work.q, 0, 8, 4, n, 1};
  OK(CU(cuGraphAddMemsetNode)(&fill, graph, nullptr, 0, &memset, nullptr));
  CUDA_MEMCPY3D box = {};
  box.srcMemoryType = CU_MEMORYTYPE_DEVICE, box.srcDevice = work.p;
  box.dstMemoryType = CU_MEMORYTYPE_DEVICE, box.dstDevice = work.q;
  box.WidthInBytes = 40, box.Height = 1, box.Depth = 1;
  const CUgraphNode both[] = {scale, fill};
  OK(CU(cuGraphAddMemcpyNode)(&copy, graph, both, 2, &box, nullptr));
  OK(CU(cuGraphAddEmptyNode)(&empty, graph, &copy, 1));
  const CUDA_HOST_NODE_PARAMS call = {[](void* data) { ++*static_cast<uint32_t*>(data); }, work.pinned};
  OK(CU(cuGraphAddHostNode)(&host, graph, &empty, 1, &call));
  size_t roots = 9, edges = 0;
  OK(CU(cuGraphGetRootNodes)(graph, nullptr, &roots));
  EQUAL(roots, size_t(2));
  OK(CU(cuGraphGetEdges)(graph, nullptr, nullptr, &edges));
  EQUAL(edges, size_t(5));
  const CUgraphExec exec = instantiate(graph);
  OK(CU(cuGraphLaunch)(exec, nullptr));
  OK(CU(cuCtxSynchronize)());
  EQUAL(download<uint32_t>(work.p, n)[0], 16u);
  EQUAL(download<uint32_t>(work.q, n)[9], 16u);
  EQUAL(download<uint32_t>(work.q, n)[10], 8u);
  EQUAL(work.pinned[0], 12u);
  // Other parameters for the executable graph alone.
  five = 100;
  OK(CU(cuGraphExecKernelNodeSetParams_v2)(exec, add, &first));
  OK(CU(cuGraphNodeSetEnabled)(exec, scale, 0));
  OK(CU(cuGraphLaunch)(exec, nullptr));
  OK(CU(cuCtxSynchronize)());
  EQUAL(download<uint32_t>(work.p, n)[0], 116u);
  CUDA_KERNEL_NODE_PARAMS seen = {};
  OK(CU(cuGraphKernelNodeGetParams_v2)(add, &seen));
  EQUAL(*static_cast<uint32_t*>(seen.kernelParams[1]), 5u);
  // A circle is refused.
  OK(CU(cuGraphAddDependencies)(graph, &scale, &add, 1));
  CUgraphExec none = nullptr;
  EQUAL(CU(cuGraphInstantiateWithFlags)(&none, graph, 0), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuGraphRemoveDependencies)(graph, &scale, &add, 1));
  OK(CU(cuGraphDestroyNode)(fill));
  EQUAL(nodes_of(graph), size_t(5));
  EQUAL(CU(cuGraphDestroyNode)(fill), CUDA_ERROR_INVALID_HANDLE);
}

TEST(graph_exec_update) {
  Work work;
  const auto build = [&](uint32_t value, bool longer) {
    CUgraph graph = nullptr;
    OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
    OK(launch(work.add, {4}, {32}, 0, work.main, work.p, value, Work::n));
    if (longer) OK(CU(cuMemsetD32Async)(work.q, 0, 1, work.main));
    OK(CU(cuStreamEndCapture)(work.main, &graph));
    return graph;
  };
  const CUgraphExec exec = instantiate(build(5, false));
  CUgraphExecUpdateResultInfo info = {};
  OK(CU(cuGraphExecUpdate_v2)(exec, build(50, false), &info));
  OK(CU(cuGraphLaunch)(exec, work.main));
  OK(CU(cuStreamSynchronize)(work.main));
  EQUAL(download<uint32_t>(work.p, 1)[0], 53u);
  EQUAL(CU(cuGraphExecUpdate_v2)(exec, build(5, true), &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
  EQUAL(info.result, 2);  // CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED
}

TEST(graph_children_and_clones) {
  setenv("EMULATOR_ORDER", "reverse", 1);
  Work work;
  CUgraph outer = nullptr, copy = nullptr;
  CUgraphNode child = nullptr, before = nullptr, found = nullptr;
  OK(CU(cuGraphCreate)(&outer, 0));
  const CUDA_MEMSET_NODE_PARAMS memset = {work.p, 0, 1, 4, Work::n, 1};
  OK(CU(cuGraphAddMemsetNode)(&before, outer, nullptr, 0, &memset, nullptr));
  OK(CU(cuGraphAddChildGraphNode)(&child, outer, &before, 1, work.capture()));
  OK(CU(cuGraphClone)(&copy, outer));
  OK(CU(cuGraphNodeFindInClone)(&found, child, copy));
  OK(CU(cuGraphDestroy)(outer));
  OK(CU(cuGraphLaunch)(instantiate(copy), work.main));
  const auto state = work.state();
  EQUAL(state[0], 12u);  // (1 + 5) * 2
  CUgraph inner = nullptr;
  OK(CU(cuGraphChildGraphNodeGetGraph)(found, &inner));
  EQUAL(nodes_of(inner), size_t(8));
}

// Launches of one executable graph keep their order, whatever their streams; each has the parameters of its
// time.
TEST(graph_launches_keep_their_order) {
  setenv("EMULATOR_ORDER", "reverse", 1);
  Work work;
  static std::atomic<bool> gate{false};
  CUgraph graph = nullptr;
  CUgraphNode fill = nullptr;
  CUDA_MEMSET_NODE_PARAMS memset = {work.p, 0, 1, 4, Work::n, 1};
  OK(CU(cuGraphCreate)(&graph, 0));
  OK(CU(cuGraphAddMemsetNode)(&fill, graph, nullptr, 0, &memset, nullptr));
  const CUgraphExec exec = instantiate(graph);
  const auto wait = [](void*) {
    while (!gate) std::this_thread::yield();
  };
  OK(CU(cuLaunchHostFunc)(work.side, wait, nullptr));
  OK(CU(cuGraphLaunch)(exec, work.side));
  memset.value = 2;
  OK(CU(cuGraphExecMemsetNodeSetParams)(exec, fill, &memset, nullptr));
  OK(CU(cuGraphLaunch)(exec, work.main));
  gate = true;
  EQUAL(work.state()[0], 2u);
}

TEST(graph_launch_inside_a_capture) {
  Work work;
  const CUgraphExec exec = instantiate(work.capture());
  CUgraph graph = nullptr;
  OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
  OK(CU(cuGraphLaunch)(exec, work.main));
  OK(CU(cuGraphLaunch)(exec, work.main));
  OK(CU(cuStreamEndCapture)(work.main, &graph));
  EQUAL(nodes_of(graph), size_t(2));
  OK(CU(cuGraphLaunch)(instantiate(graph), work.main));
  CHECK(work.state() == expected(2));
}

TEST(graph_memory) {
  Work work;
  CUgraph graph = nullptr;
  CUdeviceptr scratch = 0;
  OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
  OK(CU(cuMemAllocAsync)(&scratch, 4 * Work::n, work.main));
  OK(CU(cuMemcpyDtoDAsync_v2)(scratch, work.p, 4 * Work::n, work.main));
  OK(launch(work.add, {4}, {32}, 0, work.main, scratch, 5u, Work::n));
  OK(CU(cuMemcpyDtoDAsync_v2)(work.q, scratch, 4 * Work::n, work.main));
  OK(CU(cuMemFreeAsync)(scratch, work.main));
  OK(CU(cuStreamEndCapture)(work.main, &graph));
  size_t free = 0, total = 0, later = 0;
  OK(CU(cuMemGetInfo_v2)(&free, &total));
  const CUgraphExec exec = instantiate(graph);
  OK(CU(cuGraphLaunch)(exec, work.main));
  OK(CU(cuGraphLaunch)(exec, work.main));
  OK(CU(cuStreamSynchronize)(work.main));
  CHECK(download<uint32_t>(work.q, Work::n) == std::vector<uint32_t>(Work::n, 8));
  OK(CU(cuGraphExecDestroy)(exec));
  OK(CU(cuGraphDestroy)(graph));
  OK(CU(cuCtxSynchronize)());
  OK(CU(cuMemGetInfo_v2)(&later, &total));
  CHECK(later > free);  // it went with the graph
}

TEST(graph_events) {
  setenv("EMULATOR_ORDER", "reverse", 1);
  Work work;
  CUgraph graph = nullptr;
  CUgraphNode wait = nullptr, add = nullptr, record = nullptr;
  uint32_t five = 5, n = Work::n;
  void* params[] = {&work.p, &five, &n};
  const auto kernel = kernel_params(work.add, params);
  OK(CU(cuGraphCreate)(&graph, 0));
  OK(CU(cuGraphAddEventWaitNode)(&wait, graph, nullptr, 0, work.fork));
  OK(CU(cuGraphAddKernelNode_v2)(&add, graph, &wait, 1, &kernel));
  OK(CU(cuGraphAddEventRecordNode)(&record, graph, &add, 1, work.join));
  const CUgraphExec exec = instantiate(graph);
  OK(launch(work.scale, {4}, {32}, 0, work.side, work.p, 4u, n));
  OK(CU(cuEventRecord)(work.fork, work.side));
  OK(CU(cuGraphLaunch)(exec, work.main));
  OK(CU(cuEventSynchronize)(work.join));
  EQUAL(download<uint32_t>(work.p, n)[0], 17u);  // 3 * 4 + 5
}

TEST(graph_fault) {
  Work work;
  CUgraph graph = nullptr;
  OK(CU(cuStreamBeginCapture_v2)(work.main, 0));
  OK(launch(work.add, {4}, {32}, 0, work.main, work.p, 5u, Work::n + 1));
  OK(CU(cuStreamEndCapture)(work.main, &graph));
  OK(CU(cuGraphLaunch)(instantiate(graph), work.main));
  EQUAL(CU(cuStreamSynchronize)(work.main), CUDA_ERROR_ILLEGAL_ADDRESS);
  EQUAL(CU(cuStreamSynchronize)(work.main), CUDA_ERROR_ILLEGAL_ADDRESS);
}
