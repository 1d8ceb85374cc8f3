// Graphs and their edges.
#include "graph.h"

#include <algorithm>
#include <cstring>

namespace ptx::driver {

namespace {

void forget(State& s, const Node* node) {
  const std::lock_guard<std::mutex> lock(s.nodes_mutex);
  s.nodes.erase(node);
}

}  // namespace

Graph::~Graph() {
  for (const auto& node : nodes) forget(state(), node.get());
}

CUgraphNodeType type_of(const Operation& operation) {
  constexpr CUgraphNodeType types[] = {
      // in the order of Operation
      CU_GRAPH_NODE_TYPE_KERNEL,       CU_GRAPH_NODE_TYPE_MEMCPY,     CU_GRAPH_NODE_TYPE_MEMSET,
      CU_GRAPH_NODE_TYPE_HOST,         CU_GRAPH_NODE_TYPE_EMPTY,      CU_GRAPH_NODE_TYPE_GRAPH,
      CU_GRAPH_NODE_TYPE_EVENT_RECORD, CU_GRAPH_NODE_TYPE_WAIT_EVENT, CU_GRAPH_NODE_TYPE_MEM_ALLOC,
      CU_GRAPH_NODE_TYPE_MEM_FREE,     CU_GRAPH_NODE_TYPE_GRAPH};
  static_assert(sizeof types / sizeof *types == std::variant_size_v<Operation>);
  return types[operation.index()];
}

Node* node_of(const State& s, CUgraphNode handle) {
  const std::lock_guard<std::mutex> lock(const_cast<State&>(s).nodes_mutex);
  const Node* const node = reinterpret_cast<Node*>(handle);
  return s.nodes.count(node) ? const_cast<Node*>(node) : nullptr;
}

Node* append(State& s, Graph& graph, Operation operation, const std::vector<Node*>& after) {
  auto node = std::make_unique<Node>();
  node->graph = &graph;
  node->operation = std::move(operation);
  node->after = after;
  graph.nodes.push_back(std::move(node));
  const std::lock_guard<std::mutex> lock(s.nodes_mutex);
  s.nodes.insert(graph.nodes.back().get());
  return graph.nodes.back().get();
}

CUresult add_node(Call& call, Graph* graph, const CUgraphNode* after, size_t count, Operation operation,
                  CUgraphNode* out) {
  if (!graph) return CUDA_ERROR_INVALID_HANDLE;
  if (!out || (count && !after)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<Node*> nodes;
  for (size_t i = 0; i < count; i++) {
    Node* const node = node_of(call.s, after[i]);
    if (!node || node->graph != graph) return CUDA_ERROR_INVALID_VALUE;
    if (std::find(nodes.begin(), nodes.end(), node) != nodes.end()) return CUDA_ERROR_INVALID_VALUE;
    nodes.push_back(node);
  }
  *out = reinterpret_cast<CUgraphNode>(append(call.s, *graph, std::move(operation), nodes));
  return CUDA_SUCCESS;
}

std::shared_ptr<Graph> clone(State& s, const Graph& graph) {
  auto copy = std::make_shared<Graph>();
  std::unordered_map<const Node*, Node*> at;
  for (const auto& node : graph.nodes) {
    Operation operation = node->operation;
    if (auto* child = std::get_if<ChildOp>(&operation)) {
      child->graph = clone(s, *child->graph);
      child->graph->child = true;
    }
    Node* const made = append(s, *copy, std::move(operation), {});
    made->original = node.get();
    at[node.get()] = made;
  }
  for (size_t i = 0; i < graph.nodes.size(); i++) {
    for (Node* before : graph.nodes[i]->after) copy->nodes[i]->after.push_back(at[before]);
  }
  return copy;
}

namespace {

// Adds a graph's nodes to the steps. A child's first nodes wait for what the child waits for, and whoever
// waits for the child waits for its last ones.
CUresult add_steps(const Graph& graph, const std::vector<size_t>& outer, std::vector<Step>* steps,
                   std::vector<size_t>* leaves) {
  std::unordered_map<const Node*, std::vector<size_t>> done;  // steps to wait for in place of the node
  std::set<const Node*> inner;
  for (const auto& node : graph.nodes) inner.insert(node->after.begin(), node->after.end());
  while (done.size() < graph.nodes.size()) {
    const size_t before = done.size();
    for (const auto& node : graph.nodes) {
      const auto ready = [&](const Node* other) { return done.count(other) > 0; };
      if (done.count(node.get()) || !std::all_of(node->after.begin(), node->after.end(), ready)) continue;
      std::vector<size_t> after = node->after.empty() ? outer : std::vector<size_t>{};
      for (const Node* other : node->after)
        after.insert(after.end(), done[other].begin(), done[other].end());
      std::sort(after.begin(), after.end());
      after.erase(std::unique(after.begin(), after.end()), after.end());
      std::vector<size_t>& result = done[node.get()];
      const auto* child = std::get_if<ChildOp>(&node->operation);
      if (child && !child->graph->nodes.empty()) {
        if (const CUresult error = add_steps(*child->graph, after, steps, &result)) return error;
      } else {
        steps->push_back({node.get(), child ? Operation(EmptyOp{}) : node->operation, after, true});
        result = {steps->size() - 1};
      }
    }
    if (done.size() == before) return CUDA_ERROR_INVALID_VALUE;  // a circle
  }
  for (const auto& node : graph.nodes) {
    if (!inner.count(node.get()))
      leaves->insert(leaves->end(), done[node.get()].begin(), done[node.get()].end());
  }
  return CUDA_SUCCESS;
}

template <class F>
CUresult with_graph(CUgraph handle, F f) {
  return enter_context([&](Call& call) -> CUresult {
    const auto graph = call.s.graphs.find(handle);
    return graph ? f(call, graph) : CUDA_ERROR_INVALID_HANDLE;
  });
}

template <class F>
CUresult with_node(CUgraphNode handle, F f) {
  return enter_context([&](Call& call) -> CUresult {
    Node* const node = node_of(call.s, handle);
    return node ? f(call, *node) : CUDA_ERROR_INVALID_HANDLE;
  });
}

// The API's lists: a null pointer asks for the count, a short one is filled, a long one ends in nulls.
CUresult list(const std::vector<Node*>& nodes, CUgraphNode* out, size_t* count) {
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  if (!out) {
    *count = nodes.size();
    return CUDA_SUCCESS;
  }
  for (size_t i = 0; i < *count; i++)
    out[i] = i < nodes.size() ? reinterpret_cast<CUgraphNode>(nodes[i]) : nullptr;
  *count = std::min(*count, nodes.size());
  return CUDA_SUCCESS;
}

std::vector<Node*> dependents(const Node& node) {
  std::vector<Node*> result;
  for (const auto& other : node.graph->nodes) {
    if (std::count(other->after.begin(), other->after.end(), &node)) result.push_back(other.get());
  }
  return result;
}

// f(from, to) for each pair of nodes of the graph.
template <class F>
CUresult each_edge(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to, size_t count, F f) {
  return with_graph(handle, [&](Call& call, const std::shared_ptr<Graph>& graph) -> CUresult {
    if (count && (!from || !to)) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++) {
      Node *const a = node_of(call.s, from[i]), *const b = node_of(call.s, to[i]);
      if (!a || !b || a == b || a->graph != graph.get() || b->graph != graph.get())
        return CUDA_ERROR_INVALID_VALUE;
      if (const CUresult error = f(a, b)) return error;
    }
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult make_steps(const Graph& graph, std::vector<Step>* steps) {
  std::vector<size_t> leaves;
  return add_steps(graph, {}, steps, &leaves);
}

}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuGraphCreate(CUgraph* out, PTX_uint flags) {
  return enter_context([&](Call& call) {
    if (!out || flags) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUgraph>(call.s.graphs.add(std::make_shared<Graph>()));
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphDestroy(CUgraph handle) {
  return with_graph(handle, [&](Call& call, const std::shared_ptr<Graph>& graph) {
    if (graph->child) return CUDA_ERROR_INVALID_VALUE;
    call.s.graphs.remove(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphClone(CUgraph* out, CUgraph original) {
  return with_graph(original, [&](Call& call, const std::shared_ptr<Graph>& graph) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUgraph>(call.s.graphs.add(clone(call.s, *graph)));
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeFindInClone(CUgraphNode* out, CUgraphNode original, CUgraph handle) {
  return with_graph(handle, [&](Call&, const std::shared_ptr<Graph>& graph) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    for (const auto& node : graph->nodes) {
      if (node->original != reinterpret_cast<Node*>(original)) continue;
      *out = reinterpret_cast<CUgraphNode>(node.get());
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphDestroyNode(CUgraphNode handle) {
  return with_node(handle, [&](Call& call, Node& node) {
    Graph& graph = *node.graph;
    for (const auto& other : graph.nodes)
      other->after.erase(std::remove(other->after.begin(), other->after.end(), &node), other->after.end());
    forget(call.s, &node);
    const auto same = [&](const auto& other) { return other.get() == &node; };
    graph.nodes.erase(std::find_if(graph.nodes.begin(), graph.nodes.end(), same));
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode* nodes, size_t* count) {
  return with_graph(handle, [&](Call&, const std::shared_ptr<Graph>& graph) {
    std::vector<Node*> all;
    for (const auto& node : graph->nodes) all.push_back(node.get());
    return list(all, nodes, count);
  });
}

CUresult cuGraphGetRootNodes(CUgraph handle, CUgraphNode* nodes, size_t* count) {
  return with_graph(handle, [&](Call&, const std::shared_ptr<Graph>& graph) {
    std::vector<Node*> roots;
    for (const auto& node : graph->nodes) {
      if (node->after.empty()) roots.push_back(node.get());
    }
    return list(roots, nodes, count);
  });
}

CUresult cuGraphGetEdges(CUgraph handle, CUgraphNode* from, CUgraphNode* to, size_t* count) {
  return with_graph(handle, [&](Call&, const std::shared_ptr<Graph>& graph) {
    if (!count || !from != !to) return CUDA_ERROR_INVALID_VALUE;
    std::vector<Node*> sources, targets;
    for (const auto& node : graph->nodes) {
      for (Node* before : node->after) sources.push_back(before), targets.push_back(node.get());
    }
    size_t copy = *count;
    list(sources, from, &copy);
    return list(targets, to, count);
  });
}

// Edge data: only the plain kind of edge exists here, all zeros.
CUresult cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edges,
                            size_t* count) {
  const CUresult error = cuGraphGetEdges(graph, from, to, count);
  if (!error && edges && from) std::memset(edges, 0, *count * sizeof *edges);
  return error;
}

CUresult cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType* type) {
  return with_node(handle, [&](Call&, Node& node) {
    if (!type) return CUDA_ERROR_INVALID_VALUE;
    *type = type_of(node.operation);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeGetDependencies(CUgraphNode handle, CUgraphNode* nodes, size_t* count) {
  return with_node(handle, [&](Call&, Node& node) { return list(node.after, nodes, count); });
}

CUresult cuGraphNodeGetDependencies_v2(CUgraphNode handle, CUgraphNode* nodes, CUgraphEdgeData* edges,
                                       size_t* count) {
  const CUresult error = cuGraphNodeGetDependencies(handle, nodes, count);
  if (!error && edges && nodes) std::memset(edges, 0, *count * sizeof *edges);
  return error;
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode handle, CUgraphNode* nodes, size_t* count) {
  return with_node(handle, [&](Call&, Node& node) { return list(dependents(node), nodes, count); });
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode handle, CUgraphNode* nodes, CUgraphEdgeData* edges,
                                         size_t* count) {
  const CUresult error = cuGraphNodeGetDependentNodes(handle, nodes, count);
  if (!error && edges && nodes) std::memset(edges, 0, *count * sizeof *edges);
  return error;
}

CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                size_t count) {
  return each_edge(graph, from, to, count, [](Node* a, Node* b) {
    if (std::count(b->after.begin(), b->after.end(), a)) return CUDA_ERROR_INVALID_VALUE;
    b->after.push_back(a);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                   const CUgraphEdgeData*, size_t count) {
  return cuGraphAddDependencies(graph, from, to, count);
}

CUresult cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                   size_t count) {
  return each_edge(graph, from, to, count, [](Node* a, Node* b) {
    const auto at = std::find(b->after.begin(), b->after.end(), a);
    if (at == b->after.end()) return CUDA_ERROR_INVALID_VALUE;
    b->after.erase(at);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                      const CUgraphEdgeData*, size_t count) {
  return cuGraphRemoveDependencies(graph, from, to, count);
}
