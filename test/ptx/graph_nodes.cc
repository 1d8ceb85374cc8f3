// Nodes of each kind: adding, reading and changing them.
#include <cstring>

#include "graph.h"

namespace ptx::driver {

CUlaunchConfig config_of(const CUDA_KERNEL_NODE_PARAMS& p) {
  return {p.gridDimX,  p.gridDimY,       p.gridDimZ, p.blockDimX, p.blockDimY,
          p.blockDimZ, p.sharedMemBytes, nullptr,    nullptr,     0};
}

CUDA_KERNEL_NODE_PARAMS newer(const CUDA_KERNEL_NODE_PARAMS_v1& p) {
  CUDA_KERNEL_NODE_PARAMS result = {};
  std::memcpy(&result, &p, sizeof p);  // the newer one begins like the older
  return result;
}

CUresult make_kernel_node(Call& call, const CUDA_KERNEL_NODE_PARAMS& p, KernelOp* op) {
  const CUfunction function = p.func ? p.func : reinterpret_cast<CUfunction>(p.kern);
  return make_kernel(call, config_of(p), function, p.kernelParams, p.extra, op);
}

namespace {

// Makes the operation by make(Call&, Op*) and adds it as a node.
template <class Op, class F>
CUresult add(CUgraphNode* out, CUgraph graph, const CUgraphNode* after, size_t count, const void* params,
             F make) {
  return enter_context([&](Call& call) -> CUresult {
    Op op;
    if (!params) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = make(call, &op)) return error;
    return add_node(call, call.s.graphs.find(graph).get(), after, count, std::move(op), out);
  });
}

// f(Call&, Op&) on a node of that kind.
template <class Op, class F>
CUresult with(CUgraphNode handle, const void* params, F f) {
  return enter_context([&](Call& call) -> CUresult {
    Node* const node = node_of(call.s, handle);
    if (!node) return CUDA_ERROR_INVALID_HANDLE;
    Op* const op = std::get_if<Op>(&node->operation);
    return op && params ? f(call, *op) : CUDA_ERROR_INVALID_VALUE;
  });
}

template <class Op, class F>
CUresult change(CUgraphNode handle, const void* params, F make) {
  return with<Op>(handle, params, [&](Call& call, Op& op) -> CUresult {
    Op changed;
    const CUresult error = make(call, &changed);
    if (!error) op = std::move(changed);
    return error;
  });
}

CUDA_KERNEL_NODE_PARAMS params_of(KernelOp& op) {
  op.pointers.clear();
  for (const Parameter& parameter : op.kernel->info.parameters)
    op.pointers.push_back(op.arguments.data() + parameter.offset);
  const LaunchConfig& c = op.config;
  return {reinterpret_cast<CUfunction>(op.function),
          c.grid[0],
          c.grid[1],
          c.grid[2],
          c.block[0],
          c.block[1],
          c.block[2],
          static_cast<unsigned>(c.dynamic_shared),
          op.pointers.data(),
          nullptr,
          nullptr,
          nullptr};
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuGraphAddKernelNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                 const CUDA_KERNEL_NODE_PARAMS* params) {
  return add<KernelOp>(node, graph, after, count, params,
                       [&](Call& call, KernelOp* op) { return make_kernel_node(call, *params, op); });
}

CUresult cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                              const CUDA_KERNEL_NODE_PARAMS_v1* params) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS now = newer(*params);
  return cuGraphAddKernelNode_v2(node, graph, after, count, &now);
}

CUresult cuGraphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                              const CUDA_MEMCPY3D* params, CUcontext) {
  return add<CopyOp>(node, graph, after, count, params,
                     [&](Call& call, CopyOp* op) { return make_copy(call, *params, false, op); });
}

CUresult cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                              const CUDA_MEMSET_NODE_PARAMS* params, CUcontext) {
  return add<FillOp>(node, graph, after, count, params,
                     [&](Call& call, FillOp* op) { return make_fill(call, *params, op); });
}

namespace ptx::driver {
namespace {

CUresult make_host(Call& call, const CUDA_HOST_NODE_PARAMS& params, HostOp* op) {
  if (!params.fn) return CUDA_ERROR_INVALID_VALUE;
  op->function = params.fn;
  op->data = params.userData;
  op->context = call.context;
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace ptx::driver

CUresult cuGraphAddHostNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                            const CUDA_HOST_NODE_PARAMS* params) {
  return add<HostOp>(node, graph, after, count, params,
                     [&](Call& call, HostOp* op) { return make_host(call, *params, op); });
}

CUresult cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                  CUgraph child) {
  return add<ChildOp>(node, graph, after, count, child, [&](Call& call, ChildOp* op) {
    const auto original = call.s.graphs.find(child);
    if (!original) return CUDA_ERROR_INVALID_HANDLE;
    op->graph = clone(call.s, *original);
    op->graph->child = true;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count) {
  return add<EmptyOp>(node, graph, after, count, node, [](Call&, EmptyOp*) { return CUDA_SUCCESS; });
}

CUresult cuGraphAddEventRecordNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                   CUevent event) {
  return add<RecordOp>(node, graph, after, count, event, [&](Call& call, RecordOp* op) {
    op->event = call.s.events.find(event);
    return op->event ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuGraphAddEventWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                 CUevent event) {
  return add<WaitOp>(node, graph, after, count, event, [&](Call& call, WaitOp* op) {
    op->event = call.s.events.find(event);
    return op->event ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuGraphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                                CUDA_MEM_ALLOC_NODE_PARAMS* params) {
  return add<AllocOp>(node, graph, after, count, params, [&](Call& call, AllocOp* op) {
    if (params->bytesize == 0) return CUDA_ERROR_INVALID_VALUE;
    Block block;
    block.graph = true;
    params->dptr = allocate_block(call, params->bytesize, ptx::MemoryKind::device, block);
    if (!params->dptr) return CUDA_ERROR_OUT_OF_MEMORY;
    op->params = *params;
    op->owner = own_graph_memory(params->dptr);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddMemFreeNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                               CUdeviceptr address) {
  return add<FreeOp>(node, graph, after, count, node, [&](Call& call, FreeOp* op) {
    op->address = address;
    return call.s.blocks.count(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* params) {
  return with<KernelOp>(node, params, [&](Call&, KernelOp& op) {
    *params = params_of(op);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1* params) {
  return with<KernelOp>(node, params, [&](Call&, KernelOp& op) {
    const CUDA_KERNEL_NODE_PARAMS all = params_of(op);
    std::memcpy(params, &all, sizeof *params);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* params) {
  return change<KernelOp>(node, params,
                          [&](Call& call, KernelOp* op) { return make_kernel_node(call, *params, op); });
}

CUresult cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* params) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS now = newer(*params);
  return cuGraphKernelNodeSetParams_v2(node, &now);
}

CUresult cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* params) {
  return with<CopyOp>(node, params, [&](Call&, CopyOp& op) {
    *params = op.params;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* params) {
  return change<CopyOp>(node, params,
                        [&](Call& call, CopyOp* op) { return make_copy(call, *params, false, op); });
}

CUresult cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* params) {
  return with<FillOp>(node, params, [&](Call&, FillOp& op) {
    *params = op.params;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* params) {
  return change<FillOp>(node, params, [&](Call& call, FillOp* op) { return make_fill(call, *params, op); });
}

CUresult cuGraphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS* params) {
  return with<HostOp>(node, params, [&](Call&, HostOp& op) {
    *params = {op.function, op.data};
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* params) {
  return change<HostOp>(node, params, [&](Call& call, HostOp* op) { return make_host(call, *params, op); });
}

CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph* graph) {
  return with<ChildOp>(node, graph, [&](Call& call, ChildOp& op) {
    if (!call.s.graphs.find(op.graph.get())) call.s.graphs.add(op.graph);
    *graph = reinterpret_cast<CUgraph>(op.graph.get());
    return CUDA_SUCCESS;
  });
}
