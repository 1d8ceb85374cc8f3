// Graphs: nodes with operations and edges; what a stream's capture builds and an executable graph is made
// of.
#pragma once
#include "driver_state.h"

namespace ptx::driver {

struct Node {
  Graph* graph = nullptr;
  Operation operation;
  std::vector<Node*> after;        // what it depends on, without repeats
  const Node* original = nullptr;  // of a clone
};

struct Graph {
  ~Graph();
  std::vector<std::unique_ptr<Node>> nodes;
  bool child = false;  // owned by a node of another graph
};

struct GraphExec {
  Context* context = nullptr;
  unsigned long long flags = 0;
  std::shared_ptr<std::vector<Step>> steps;  // in an order that respects the edges
  std::shared_ptr<Task> last;                // launches of one executable graph never overlap
};

CUgraphNodeType type_of(const Operation& operation);
Node* node_of(const State& s, CUgraphNode handle);  // null for a handle that is none
// Adds a node; INVALID_VALUE when a dependency is of another graph.
CUresult add_node(Call& call, Graph* graph, const CUgraphNode* after, size_t count, Operation operation,
                  CUgraphNode* out);
Node* append(State& s, Graph& graph, Operation operation, const std::vector<Node*>& after);
std::shared_ptr<Graph> clone(State& s, const Graph& graph);
// Steps of all nodes, those of child graphs in place; an error when the edges run in a circle.
CUresult make_steps(const Graph& graph, std::vector<Step>* steps);

// Capture.
CUresult capture_operation(Call& call, Stream& stream, Operation operation);
CUresult capture_wait(Call& call, Stream& stream, const std::shared_ptr<Event>& event, bool external);
CUresult capture_allows(Call& call,
                        const Stream& stream);  // the error of an invalid one, or of another thread's
void drop_capture(Call& call, const std::shared_ptr<Capture>& capture);

// The parameters that several entries share.
CUlaunchConfig config_of(const CUDA_KERNEL_NODE_PARAMS& p);
CUDA_KERNEL_NODE_PARAMS newer(const CUDA_KERNEL_NODE_PARAMS_v1& p);
CUresult make_kernel_node(Call& call, const CUDA_KERNEL_NODE_PARAMS& p, KernelOp* op);

}  // namespace ptx::driver
