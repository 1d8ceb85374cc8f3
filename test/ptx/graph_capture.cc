// Stream capture: calls become nodes, events fork and join.
#include <algorithm>

#include "graph.h"

namespace ptx::driver {

namespace {

thread_local int thread_mode = 0;  // cuThreadExchangeStreamCaptureMode: global
constexpr int global = 0, thread_local_mode = 1, relaxed = 2;

void add_missing(std::vector<Node*>* to, const std::vector<Node*>& from) {
  for (Node* node : from) {
    if (std::find(to->begin(), to->end(), node) == to->end()) to->push_back(node);
  }
}

void join(Stream& stream, const std::shared_ptr<Capture>& capture) {
  stream.capture = capture;
  capture->members.push_back(&stream);
}

// Nodes that nothing depends on must be among the origin's: else a branch was never joined.
bool joined(const Capture& capture, const Stream& origin) {
  std::set<const Node*> inner;
  for (const auto& node : capture.graph->nodes) inner.insert(node->after.begin(), node->after.end());
  for (size_t i = capture.first; i < capture.graph->nodes.size(); i++) {
    Node* const node = capture.graph->nodes[i].get();
    const bool leaf = !inner.count(node);
    if (leaf && std::find(origin.tips.begin(), origin.tips.end(), node) == origin.tips.end()) return false;
  }
  return true;
}

}  // namespace

CUresult forbidden_in_capture(Call& call) {
  if (thread_mode == relaxed) return CUDA_SUCCESS;
  for (Capture* capture : call.s.captures) {
    const bool own = capture->thread == std::this_thread::get_id();
    const bool counts =
        capture->mode == global ? own || thread_mode == global : capture->mode == thread_local_mode && own;
    if (!counts) continue;
    capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  return CUDA_SUCCESS;
}

CUresult capture_allows(Call&, const Stream& stream) {
  if (stream.capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  return CUDA_SUCCESS;
}

CUresult capture_operation(Call& call, Stream& stream, Operation operation) {
  if (const CUresult error = capture_allows(call, stream)) return error;
  Node* const node = append(call.s, *stream.capture->graph, std::move(operation), stream.tips);
  stream.tips = {node};
  return CUDA_SUCCESS;
}

CUresult capture_wait(Call& call, Stream& stream, const std::shared_ptr<Event>& event, bool external) {
  if (external && stream.capture) return capture_operation(call, stream, WaitOp{event});
  if (!event->capture) {  // work from before the capture cannot be waited for inside it
    stream.capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
  }
  if (!call.s.captures.count(event->capture.get())) return CUDA_ERROR_INVALID_VALUE;  // it has ended
  if (event->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (stream.legacy) {
    event->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
  }
  if (!stream.capture) {
    join(stream, event->capture);
  } else if (stream.capture != event->capture) {
    stream.capture->invalid = event->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_MERGE;
  }
  add_missing(&stream.tips, event->tips);
  return CUDA_SUCCESS;
}

void drop_capture(Call& call, const std::shared_ptr<Capture>& capture) {
  const std::shared_ptr<Capture> keep = capture;
  for (Stream* member : keep->members) {
    member->capture.reset();
    member->tips.clear();
  }
  keep->members.clear();
  call.s.captures.erase(keep.get());
}

namespace {

CUresult begin(Call& call, CUstream handle, const std::shared_ptr<Graph>& graph, std::vector<Node*> tips,
               int mode) {
  const auto stream = stream_of(call, handle);
  if (!stream) return CUDA_ERROR_INVALID_HANDLE;
  if (mode < global || mode > relaxed) return CUDA_ERROR_INVALID_VALUE;
  if (stream->legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
  auto capture = std::make_shared<Capture>();
  capture->graph = graph;
  capture->first = graph->nodes.size();
  capture->id = ++call.s.ids;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = stream.get();
  join(*stream, capture);
  stream->tips = std::move(tips);
  call.s.captures.insert(capture.get());
  return CUDA_SUCCESS;
}

CUresult info(CUstream handle, int* status, uint64_t* id, CUgraph* graph, const CUgraphNode** dependencies,
              const CUgraphEdgeData** edges, size_t* count) {
  return enter_context([&](Call& call) {
    const auto stream = stream_of(call, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!status) return CUDA_ERROR_INVALID_VALUE;
    const Capture* const capture = stream->capture.get();
    *status = !capture ? 0 : capture->invalid ? 2 : 1;
    if (*status != 1) return CUDA_SUCCESS;
    if (id) *id = capture->id;
    if (graph) *graph = reinterpret_cast<CUgraph>(capture->graph.get());
    if (dependencies) *dependencies = reinterpret_cast<const CUgraphNode*>(stream->tips.data());
    if (edges) *edges = nullptr;
    if (count) *count = stream->tips.size();
    return CUDA_SUCCESS;
  });
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  return enter_context(
      [&](Call& call) { return begin(call, stream, std::make_shared<Graph>(), {}, mode); });
}

CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph handle, const CUgraphNode* dependencies,
                                     const CUgraphEdgeData*, size_t count, int mode) {
  return enter_context([&](Call& call) -> CUresult {
    const auto graph = call.s.graphs.find(handle);
    if (!graph) return CUDA_ERROR_INVALID_HANDLE;
    std::vector<Node*> tips;
    for (size_t i = 0; i < count; i++) {
      tips.push_back(dependencies ? node_of(call.s, dependencies[i]) : nullptr);
      if (!tips.back() || tips.back()->graph != graph.get()) return CUDA_ERROR_INVALID_VALUE;
    }
    return begin(call, stream, graph, tips, mode);
  });
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* out) {
  return enter_context([&](Call& call) -> CUresult {
    const auto stream = stream_of(call, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = nullptr;
    const std::shared_ptr<Capture> capture = stream->capture;
    if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->mode != relaxed && capture->thread != std::this_thread::get_id())
      return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    const bool whole = capture->origin == stream.get() && joined(*capture, *stream);
    const bool origin = capture->origin == stream.get();
    drop_capture(call, capture);
    if (capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!origin) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    if (!whole) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    if (!call.s.graphs.find(capture->graph.get())) call.s.graphs.add(capture->graph);
    *out = reinterpret_cast<CUgraph>(capture->graph.get());
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamIsCapturing(CUstream stream, int* status) {
  return info(stream, status, nullptr, nullptr, nullptr, nullptr, nullptr);
}

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                   const CUgraphNode** dependencies, size_t* count) {
  return info(stream, status, id, graph, dependencies, nullptr, count);
}

CUresult cuStreamGetCaptureInfo_v3(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                   const CUgraphNode** dependencies, const CUgraphEdgeData** edges,
                                   size_t* count) {
  return info(stream, status, id, graph, dependencies, edges, count);
}

CUresult cuThreadExchangeStreamCaptureMode(int* mode) {
  if (!mode || *mode < global || *mode > relaxed) return CUDA_ERROR_INVALID_VALUE;
  std::swap(*mode, thread_mode);
  return CUDA_SUCCESS;
}
