// Operations, and the queue that runs them: a graph of tasks, one worker thread.
//
// Plan: a task knows what it waits for, which is the stream's last task, the events it was told to wait
// for, and
//   what the null stream imposes. Among those that are ready the worker takes the oldest, the newest or a
//   random one, as the schedule says, so a wait that a program forgets between streams shows. A graph's
//   launch is one task.
// Clock: the device's time is the sum of estimates (report_roofline.cc) of what has run: deterministic, in
// seconds.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <variant>

#include "driver_types.h"
#include "emulator.h"

namespace ptx::driver {

struct Context;
struct Event;
struct Function;
struct Graph;
struct GraphExec;
struct Image;
struct Node;
struct State;
struct Task;

struct EventRecord {
  std::shared_ptr<Task> task;
  double time = 0;  // of the device's clock, once the task is done
};

struct KernelOp {
  Function* function = nullptr;
  std::shared_ptr<Image> image;  // keeps the code
  std::shared_ptr<const Kernel> kernel;
  LaunchConfig config;
  std::vector<uint8_t> arguments;
  std::vector<void*> pointers;  // into `arguments`, for cuGraphKernelNodeGetParams
};

struct CopyOp {
  CUDA_MEMCPY3D params = {};  // for cuGraphMemcpyNodeGetParams
  uint64_t to = 0, from = 0;
  bool to_known = false, from_known = false;  // addresses that Memory knows; others are plain host memory
  size_t width = 0, height = 1, depth = 1;
  size_t to_pitch = 0, from_pitch = 0, to_slice = 0, from_slice = 0;
  std::shared_ptr<std::vector<uint8_t>> staged;  // pageable source, copied when the call was made
};

struct FillOp {
  CUDA_MEMSET_NODE_PARAMS params = {};
};

struct HostOp {
  CUhostFn function = nullptr;
  void* data = nullptr;
  CUstreamCallback callback = nullptr;  // of cuStreamAddCallback, in place of `function`
  CUstream stream = nullptr;
  Context* context = nullptr;
};

struct EmptyOp {};
struct ChildOp {
  std::shared_ptr<Graph> graph;  // a copy of its own
};
struct RecordOp {
  std::shared_ptr<Event> event;
  std::shared_ptr<EventRecord> record;  // null in a graph: made at launch
};
struct WaitOp {
  std::shared_ptr<Event> event;
};
struct AllocOp {
  CUDA_MEM_ALLOC_NODE_PARAMS params = {};
  std::shared_ptr<void> owner;
};
struct FreeOp {
  uint64_t address = 0;
};
struct LaunchOp {  // of an executable graph
  std::shared_ptr<const std::vector<struct Step>> steps;
  std::vector<std::shared_ptr<EventRecord>> records;  // of its event nodes
};

using Operation = std::variant<KernelOp, CopyOp, FillOp, HostOp, EmptyOp, ChildOp, RecordOp, WaitOp,
                               AllocOp, FreeOp, LaunchOp>;

// A node of an executable graph.
struct Step {
  const Node* node = nullptr;  // of the graph it came from; compared, never followed
  Operation operation;
  std::vector<size_t> after;  // earlier steps
  bool enabled = true;
};

struct Capture {
  std::shared_ptr<Graph> graph;
  uint64_t id = 0;
  int mode = 0;  // 0 global, 1 thread-local, 2 relaxed
  std::thread::id thread;
  struct Stream* origin = nullptr;
  std::vector<struct Stream*> members;
  bool invalid = false;
  size_t first = 0;  // nodes that stood in the graph before
};

struct Stream {
  Context* context = nullptr;
  unsigned flags = 0;
  int priority = 0;
  uint64_t id = 0;
  bool legacy = false;
  std::shared_ptr<Task> last;  // null when nothing was ever enqueued
  std::shared_ptr<Capture> capture;
  std::vector<Node*> tips;  // what the capture's next node here waits for
  std::map<int, CUlaunchAttributeValue> attributes;
};

struct Task {
  uint64_t serial = 0;
  Context* context = nullptr;
  Operation operation;
  int blockers = 0;
  std::vector<std::shared_ptr<Task>> dependents;
  bool done = false;
};

struct Outcome {
  CUresult error = CUDA_SUCCESS;
  double seconds = 0;  // of the emulated device
};
// Runs without the lock. `dead`: the context has failed, so only what must happen does.
Outcome perform(State& state, Context& context, const Operation& operation, bool dead);

class Queue {
 public:
  // All with State::mutex held.
  std::shared_ptr<Task> add(State& state, Context* context, Operation operation,
                            const std::vector<std::shared_ptr<Task>>& after);
  void wait(std::unique_lock<std::mutex>& lock, const Task& task);
  void wait_idle(std::unique_lock<std::mutex>& lock, const Context* context);  // null: every context
  bool idle(const Context* context) const;
  double clock() const { return clock_; }
  void stop(std::unique_lock<std::mutex>& lock);  // at exit: ends after the running task

 private:
  void work(State& state);
  size_t pick(const State& state);
  std::condition_variable added_, finished_;
  std::vector<std::shared_ptr<Task>> ready_;
  std::unordered_map<const Context*, size_t> pending_;
  std::thread worker_;
  uint64_t serial_ = 0, random_ = 0;
  double clock_ = 0;
  bool stopping_ = false;
};

}  // namespace ptx::driver
