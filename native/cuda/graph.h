// Chunks of launches, and CUDA graphs of those that come again.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "array.h"
#include "cuda/context.h"
#include "cuda/gpu.h"
#include "cuda/modules.h"

namespace gptloom::cuda {

// The call that launched something, for messages.
struct Op {
  const char* name;
  std::vector<Array> arrays;
  std::string text() const { return call_text(name, arrays); }
};

// A kernel, or with `kernel` null a memset.
struct Launch {
  const Kernel* kernel;
  Grid grid;
  unsigned threads, shared;
  uint32_t first, count;  // its arguments, in Chunk::arguments
  CUdeviceptr target;     // of a memset
  size_t bytes;
  uint8_t value;
  std::shared_ptr<const Op> op;
};

// Launches in order, with copies of their arguments.
class Chunk {
 public:
  static constexpr size_t kMost = 64;  // launches: enough to save time, few enough to start soon
  static constexpr size_t kLeast = 4;  // launches that are worth a graph

  bool empty() const { return launches_.empty(); }
  bool full() const { return launches_.size() == kMost; }
  void clear();
  void add(Launch launch, const void* const* args, const size_t* sizes);
  void add_memset(CUdeviceptr target, uint8_t value, size_t bytes, std::shared_ptr<const Op> op);

  const std::vector<Launch>& launches() const { return launches_; }
  // As the driver takes them: one pointer an argument. Valid until the next call.
  void** arguments(const Launch& launch) const;
  // The same kernels in the same order, so that one graph serves both.
  bool alike(const Chunk& other) const;
  uint64_t hash() const;
  // The i-th launch differs from that of a chunk that is alike.
  bool differs(const Chunk& other, size_t i) const;

 private:
  struct Argument {
    uint32_t offset, size;  // in bytes_
  };
  std::vector<Launch> launches_;
  std::vector<Argument> arguments_;
  std::vector<uint8_t> bytes_;  // each argument 16-byte aligned
  mutable std::vector<void*> pointers_;
};

CUDA_KERNEL_NODE_PARAMS kernel_params(const Chunk& chunk, const Launch& launch);
CUDA_MEMSET_NODE_PARAMS memset_params(const Launch& launch);

class GraphCache {
 public:
  explicit GraphCache(Gpu& gpu) : gpu_(gpu) {}
  ~GraphCache() { clear(); }
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;

  // Launches a chunk as a graph if one of its kind has been here before. `place` counts chunks
  // since the last await. False: the caller launches it.
  bool launch(const Chunk& chunk, uint64_t place, CUstream stream);
  void clear();

 private:
  struct Entry {
    Chunk chunk;  // as launched last
    CUgraphExec exec = nullptr;
    std::vector<CUgraphNode> nodes;
    CUgraph graph = nullptr;
    bool refused = false;  // the driver could not make or update it
  };
  bool instantiate(Entry& entry);
  bool update(Entry& entry, const Chunk& chunk);
  void destroy(Entry& entry);

  Gpu& gpu_;
  CUstream stream_ = nullptr;  // of the last launch
  std::unordered_map<uint64_t, Entry> entries_;
};

}  // namespace gptloom::cuda
