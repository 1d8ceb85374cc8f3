// Executable graphs: a frozen copy of the nodes, launched as one task.
#include <algorithm>

#include "graph.h"

namespace ptx::driver {

namespace {

CUresult instantiate(CUgraphExec* out, CUgraph handle, unsigned long long flags) {
  return enter_context([&](Call& call) -> CUresult {
    const auto graph = call.s.graphs.find(handle);
    if (!graph) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (flags & 4) return CUDA_ERROR_NOT_SUPPORTED;  // CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH
    auto exec = std::make_shared<GraphExec>();
    exec->context = call.context;
    exec->flags = flags;
    exec->steps = std::make_shared<std::vector<Step>>();
    if (const CUresult error = make_steps(*graph, exec->steps.get())) return error;
    *out = reinterpret_cast<CUgraphExec>(call.s.execs.add(std::move(exec)));
    return CUDA_SUCCESS;
  });
}

template <class F>
CUresult with_exec(CUgraphExec handle, F f) {
  return enter_context([&](Call& call) -> CUresult {
    const auto exec = call.s.execs.find(handle);
    return exec ? f(call, *exec) : CUDA_ERROR_INVALID_HANDLE;
  });
}

// Pending launches keep the steps that they were launched with.
std::vector<Step>& writable(GraphExec& exec) {
  if (exec.steps.use_count() > 1) exec.steps = std::make_shared<std::vector<Step>>(*exec.steps);
  return *exec.steps;
}

Step* step_of(GraphExec& exec, CUgraphNode node) {
  for (Step& step : writable(exec)) {
    if (step.node == reinterpret_cast<Node*>(node)) return &step;
  }
  return nullptr;
}

template <class Op, class F>
CUresult change(CUgraphExec handle, CUgraphNode node, const void* params, F make) {
  return with_exec(handle, [&](Call& call, GraphExec& exec) -> CUresult {
    Step* const step = step_of(exec, node);
    Op* const op = step ? std::get_if<Op>(&step->operation) : nullptr;
    if (!op || !params) return CUDA_ERROR_INVALID_VALUE;
    Op changed;
    const CUresult error = make(call, &changed);
    if (!error) *op = std::move(changed);
    return error;
  });
}

// A launch inside a capture becomes a child graph.
CUresult capture_launch(Call& call, Stream& stream, const GraphExec& exec) {
  ChildOp child{std::make_shared<Graph>()};
  child.graph->child = true;
  for (const Step& step : *exec.steps) {
    std::vector<Node*> after;
    for (const size_t before : step.after) after.push_back(child.graph->nodes[before].get());
    append(call.s, *child.graph, step.enabled ? step.operation : Operation(EmptyOp{}), after);
  }
  return capture_operation(call, stream, std::move(child));
}

CUresult launch_graph(Call& call, Stream& stream, GraphExec& exec) {
  if (stream.capture) return capture_launch(call, stream, exec);
  LaunchOp op;
  op.steps = exec.steps;
  std::vector<std::shared_ptr<Task>> also = {exec.last};
  std::vector<std::pair<std::shared_ptr<Event>, std::shared_ptr<EventRecord>>> recorded;
  for (const Step& step : *exec.steps) {
    const auto* wait = std::get_if<WaitOp>(&step.operation);
    if (wait && step.enabled && wait->event->record) also.push_back(wait->event->record->task);
    const auto* record = std::get_if<RecordOp>(&step.operation);
    if (!record || !step.enabled) continue;
    op.records.push_back(std::make_shared<EventRecord>());
    recorded.emplace_back(record->event, op.records.back());
  }
  std::shared_ptr<Task> task;
  const CUresult error = enqueue(call, stream, std::move(op), &task, also);
  if (error) return error;
  for (auto& [event, record] : recorded) {
    record->task = task;
    event->capture.reset();
    event->record = record;
  }
  exec.last = task;
  return CUDA_SUCCESS;
}

constexpr int updated = 0, failed = 1, topology_changed = 2, type_changed = 3, unsupported = 6;

int compare(const std::vector<Step>& now, const std::vector<Step>& next, const Node** at) {
  if (now.size() != next.size()) return topology_changed;
  for (size_t i = 0; i < now.size(); i++) {
    *at = next[i].node;
    if (type_of(now[i].operation) != type_of(next[i].operation)) return type_changed;
    if (now[i].after != next[i].after) return topology_changed;
    const CUgraphNodeType type = type_of(now[i].operation);
    if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC || type == CU_GRAPH_NODE_TYPE_MEM_FREE) return unsupported;
  }
  *at = nullptr;
  return updated;
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuGraphInstantiate_v2(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* log,
                               size_t bytes) {
  if (error_node) *error_node = nullptr;
  if (log && bytes) *log = 0;
  return instantiate(exec, graph, 0);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long flags) {
  return instantiate(exec, graph, flags);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec* exec, CUgraph graph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS* params) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const CUresult error = instantiate(exec, graph, params->flags);
  params->hErrNode_out = nullptr;
  params->result_out = error ? 1 : 0;  // CUDA_GRAPH_INSTANTIATE_ERROR, _SUCCESS
  return error;
}

CUresult cuGraphExecGetFlags(CUgraphExec handle, uint64_t* flags) {
  return with_exec(handle, [&](Call&, GraphExec& exec) {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = exec.flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphExecDestroy(CUgraphExec handle) {
  return with_exec(handle, [&](Call& call, GraphExec&) {
    call.s.execs.remove(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphUpload(CUgraphExec handle, CUstream stream) {
  return with_exec(handle, [&](Call& call, GraphExec&) {
    return stream_of(call, stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
  return with_exec(handle, [&](Call& call, GraphExec& exec) -> CUresult {
    const auto stream = stream_of(call, stream_handle);
    return stream ? launch_graph(call, *stream, exec) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuGraphExecUpdate_v2(CUgraphExec handle, CUgraph graph_handle, CUgraphExecUpdateResultInfo* info) {
  return with_exec(handle, [&](Call& call, GraphExec& exec) -> CUresult {
    const auto graph = call.s.graphs.find(graph_handle);
    if (!graph) return CUDA_ERROR_INVALID_HANDLE;
    if (!info) return CUDA_ERROR_INVALID_VALUE;
    *info = {updated, nullptr, nullptr};
    std::vector<Step> next;
    const Node* at = nullptr;
    info->result = make_steps(*graph, &next) ? failed : compare(*exec.steps, next, &at);
    if (info->result != updated) {
      info->errorNode = reinterpret_cast<CUgraphNode>(const_cast<Node*>(at));
      return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    std::vector<Step>& steps = writable(exec);
    for (size_t i = 0; i < steps.size(); i++) steps[i].operation = std::move(next[i].operation);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS* params) {
  return change<KernelOp>(exec, node, params,
                          [&](Call& call, KernelOp* op) { return make_kernel_node(call, *params, op); });
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_KERNEL_NODE_PARAMS_v1* params) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  const CUDA_KERNEL_NODE_PARAMS now = newer(*params);
  return cuGraphExecKernelNodeSetParams_v2(exec, node, &now);
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D* params,
                                        CUcontext) {
  return change<CopyOp>(exec, node, params,
                        [&](Call& call, CopyOp* op) { return make_copy(call, *params, false, op); });
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_MEMSET_NODE_PARAMS* params, CUcontext) {
  return change<FillOp>(exec, node, params,
                        [&](Call& call, FillOp* op) { return make_fill(call, *params, op); });
}

CUresult cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                      const CUDA_HOST_NODE_PARAMS* params) {
  return change<HostOp>(exec, node, params, [&](Call& call, HostOp* op) {
    op->function = params->fn;
    op->data = params->userData;
    op->context = call.context;
    return params->fn ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphNodeSetEnabled(CUgraphExec handle, CUgraphNode node, PTX_uint enabled) {
  return with_exec(handle, [&](Call&, GraphExec& exec) {
    Step* const step = step_of(exec, node);
    if (!step) return CUDA_ERROR_INVALID_VALUE;
    const CUgraphNodeType type = type_of(step->operation);  // the kinds that the manual allows
    if (type != CU_GRAPH_NODE_TYPE_KERNEL && type != CU_GRAPH_NODE_TYPE_MEMCPY &&
        type != CU_GRAPH_NODE_TYPE_MEMSET)
      return CUDA_ERROR_INVALID_VALUE;
    step->enabled = enabled != 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeGetEnabled(CUgraphExec handle, CUgraphNode node, PTX_uint* enabled) {
  return with_exec(handle, [&](Call&, GraphExec& exec) {
    const Step* const step = step_of(exec, node);
    if (!step || !enabled) return CUDA_ERROR_INVALID_VALUE;
    *enabled = step->enabled;
    return CUDA_SUCCESS;
  });
}
