// What the driver knows: settings, contexts, modules, streams, events, and how a call enters.
//
// Plan: one lock over all state. Work goes into tasks (driver_queue.h) that one worker thread runs without
// the lock, in
//   an order that the streams and events allow; so calls return before their work is done, as on hardware.
//   Handles are looked up in tables, so that a destroyed one is an error and not a crash.
#pragma once
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <set>
#include <thread>

#include "driver_api.h"
#include "driver_queue.h"
#include "emulator.h"

namespace ptx::driver {

// What the environment asks for; README.md describes each variable.
struct Settings {
  int major = 8, minor = 0;
  CheckLevel checks = CheckLevel::full;
  Order order = Order::forward;
  uint64_t seed = 1;
  int threads = 0;
  size_t memory = 0;  // 0: the profile's, at most the arena's
  uint64_t watchdog = uint64_t(1) << 36;
  bool host_reads = false;                         // warn when the host copies out what nobody wrote
  std::string counters;                            // path, or empty
  std::unordered_map<std::string, int> registers;  // of kernels, as ptxas states them
  std::string error;                               // what could not be read, one line
};
Settings read_settings();
// Registers of kernels in the text that `ptxas -v` prints, or in lines of "kernel registers".
void read_registers(const std::string& text, std::unordered_map<std::string, int>* registers);

struct Context;
struct Library;

// A handle's table. The address is the handle.
template <class T>
class Table {
 public:
  T* add(std::shared_ptr<T> item) {
    T* raw = item.get();
    items_.emplace(raw, std::move(item));
    return raw;
  }
  std::shared_ptr<T> find(const void* handle) const {
    const auto at = items_.find(handle);
    return at == items_.end() ? nullptr : at->second;
  }
  bool remove(const void* handle) { return items_.erase(handle) > 0; }
  template <class F>
  void remove_if(F gone) {
    for (auto at = items_.begin(); at != items_.end();)
      at = gone(*at->second) ? items_.erase(at) : std::next(at);
  }
  const std::unordered_map<const void*, std::shared_ptr<T>>& all() const { return items_; }

 private:
  std::unordered_map<const void*, std::shared_ptr<T>> items_;
};

struct Image;  // a loaded module

struct Function {
  Image* image = nullptr;
  std::string name;
  std::shared_ptr<const Kernel> kernel;  // replaced, never changed: pending launches hold the old one
  bool raised = false;                   // the dynamic shared memory was opted in
  int carveout = -1;
  bool large_clusters = false;
};

struct Image {
  Context* context = nullptr;  // null for a library's
  Library* library = nullptr;
  std::unique_ptr<Module> module;
  std::vector<std::unique_ptr<Function>> functions;
};

struct Library {
  std::shared_ptr<Image> image;
};

struct Event {
  Context* context = nullptr;
  unsigned flags = 0;
  std::shared_ptr<EventRecord> record;  // null until recorded
  std::shared_ptr<Capture> capture;     // recorded in a capture: what it stands for
  std::vector<Node*> tips;
};

struct Pool {
  uint64_t threshold = 0, used = 0, high = 0;
  int reuse[4] = {0, 1, 1, 1};
};

// What is known of an allocation beyond what Memory knows.
struct Block {
  Context* context = nullptr;
  size_t bytes = 0;
  unsigned flags = 0;  // cuMemHostAlloc's
  bool host = false, managed = false, registered = false;
  std::shared_ptr<Pool> pool;
  bool graph = false;  // of a graph's allocation node: lives as long as the graph
};

struct Context {
  bool primary = false, alive = true;
  unsigned flags = 0;
  uint64_t id = 0;
  int references = 0;
  CUresult error = CUDA_SUCCESS;   // sticky
  std::shared_ptr<Stream> legacy;  // the null stream
  std::unordered_map<std::thread::id, std::shared_ptr<Stream>> per_thread;
  std::map<int, size_t> limits;
  int cache_config = 0, shared_config = 0;
};

struct State {
  std::mutex mutex;
  bool initialised = false;
  Settings settings;
  DeviceProfile device;
  std::unique_ptr<Memory> memory;
  Queue queue;
  std::vector<std::unique_ptr<Context>> contexts;  // dead ones too, so that their handles stay readable
  Context* primary = nullptr;
  unsigned primary_flags = 0;
  Table<Image> images;
  Table<Library> libraries;
  Table<Stream> streams;
  Table<Event> events;
  Table<Graph> graphs;
  Table<GraphExec> execs;
  Table<Pool> pools;
  std::shared_ptr<Pool> default_pool, current_pool;
  std::unordered_map<uint64_t, Block> blocks;  // by address
  std::set<Capture*> captures;                 // active ones
  std::mutex nodes_mutex;
  std::set<const Node*> nodes;  // of live graphs
  uint64_t ids = 0, launches = 0;
  std::mutex dropped_mutex;
  std::vector<uint64_t> dropped;  // of graphs' memory: blocks to forget at the next call
};
State& state();

// One entry of the API: holds the lock, knows the context.
struct Call {
  State& s;
  std::unique_lock<std::mutex> lock;
  Context* context;
};

void forget_dropped(State& s);  // graph memory that was released meanwhile
Context* current_context();
void set_current_context(Context* context);  // replaces the top of this thread's stack
bool in_host_function();                     // on the worker, inside a callback
void complain(const char* format, ...) __attribute__((format(printf, 1, 2)));
const char* error_name(CUresult error);  // null when there is none
const char* error_text(CUresult error);

// Runs f(Call&) under the lock and turns exceptions into codes; `f` needs no context.
template <class F>
CUresult enter(F f) noexcept {
  try {
    State& s = state();
    if (in_host_function()) return CUDA_ERROR_NOT_PERMITTED;
    Call call{s, std::unique_lock<std::mutex>(s.mutex), nullptr};
    if (!s.initialised) return CUDA_ERROR_NOT_INITIALIZED;
    call.context = current_context();
    forget_dropped(s);
    return f(call);
  } catch (const std::bad_alloc&) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    complain("%s", error.what());
    return CUDA_ERROR_UNKNOWN;
  }
}

// The same with a live current context: a fault of one launch answers every later call.
template <class F>
CUresult enter_context(F f) noexcept {
  return enter([&](Call& call) -> CUresult {
    if (!call.context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!call.context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (call.context->error) return call.context->error;
    return f(call);
  });
}

// ---- streams (driver_stream.cc)
// -------------------------------------------------------------------------------------

constexpr unsigned non_blocking = 1;

// The stream of a handle: null, legacy and per-thread ones too. Null when it is none of the context's.
std::shared_ptr<Stream> stream_of(Call& call, CUstream handle);
// The null stream, or the thread's own while a _ptsz or _ptds entry runs.
CUstream default_stream();
struct PerThreadScope {
  PerThreadScope();
  ~PerThreadScope();
  bool before;
};

// Hands an operation to the stream: to its capture, or to the queue. `task` gets the task, null when
// captured. `also`: what it waits for beside the stream's order.
CUresult enqueue(Call& call, Stream& stream, Operation operation, std::shared_ptr<Task>* task = nullptr,
                 const std::vector<std::shared_ptr<Task>>& also = {});
// Enqueues on the default stream and waits; what a synchronous copy does.
CUresult run_now(Call& call, Operation operation);
CUresult wait_for(Call& call, const std::shared_ptr<Task>& task);  // and returns the context's sticky error
CUresult wait_idle(Call& call, Context* context);                  // every task of the context
// CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, invalidating the capture, when one forbids calls that may
// synchronise.
CUresult forbidden_in_capture(Call& call);
CUresult not_with_legacy_capture(Call& call, const Stream& stream);

// ---- the rest
// -------------------------------------------------------------------------------------------------------

struct Loading {
  const void* bytes = nullptr;
  size_t size = SIZE_MAX;  // SIZE_MAX when the caller does not know
  unsigned count = 0;
  CUjit_option* options = nullptr;
  void** values = nullptr;
};
CUresult load_image(Call& call, const Loading& loading, std::shared_ptr<Image>* out);
CUresult read_file(const char* path, std::string* out);
std::shared_ptr<Image> image_of(const State& s,
                                const Function* function);  // null for a handle that is none
Function* function_of(Call& call, CUfunction handle);       // null for a handle that is none
CUresult make_kernel(Call& call, const CUlaunchConfig& config, CUfunction handle, void** params,
                     void** extra, KernelOp* out);
CUresult make_copy(Call& call, const CUDA_MEMCPY3D& params, bool snapshot, CopyOp* out);
CUresult make_fill(Call& call, const CUDA_MEMSET_NODE_PARAMS& params, FillOp* out);
CUresult release_block(Call& call, uint64_t address);
std::shared_ptr<void> own_graph_memory(uint64_t address);
uint64_t allocate_block(Call& call, size_t bytes, MemoryKind kind, Block block);
void drop_context(Call& call, Context* context);  // frees all that belongs to it
Occupancy occupancy_of(const State& s, const Kernel& kernel, int threads, size_t dynamic_shared);

}  // namespace ptx::driver
