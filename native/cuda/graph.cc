#include "cuda/graph.h"

#include <cstring>
#include <utility>

namespace gptloom::cuda {

namespace {

constexpr size_t kMostGraphs = 512;  // some 64 kernels each

uint64_t mix(uint64_t hash, uint64_t value) {
  return (hash ^ value) * 0x9e3779b97f4a7c15u >> 7 ^ hash << 21;
}

}  // namespace

void Chunk::clear() {
  launches_.clear();
  arguments_.clear();
  bytes_.clear();
}

void Chunk::add(Launch launch, const void* const* args, const size_t* sizes) {
  launch.first = static_cast<uint32_t>(arguments_.size());
  for (size_t i = 0; i < launch.count; i++) {
    const size_t offset = bytes_.size();
    arguments_.push_back({static_cast<uint32_t>(offset), static_cast<uint32_t>(sizes[i])});
    bytes_.resize(offset + (sizes[i] + 15) / 16 * 16);
    std::memcpy(bytes_.data() + offset, args[i], sizes[i]);
  }
  launches_.push_back(std::move(launch));
}

void Chunk::add_memset(CUdeviceptr target, uint8_t value, size_t bytes,
                       std::shared_ptr<const Op> op) {
  launches_.push_back({nullptr, Grid{}, 0, 0, 0, 0, target, bytes, value, std::move(op)});
}

void** Chunk::arguments(const Launch& launch) const {
  pointers_.clear();
  for (uint32_t i = 0; i < launch.count; i++) {
    const Argument& argument = arguments_[launch.first + i];
    pointers_.push_back(const_cast<uint8_t*>(bytes_.data()) + argument.offset);
  }
  pointers_.push_back(nullptr);
  return pointers_.data();
}

bool Chunk::alike(const Chunk& other) const {
  if (launches_.size() != other.launches_.size()) return false;
  for (size_t i = 0; i < launches_.size(); i++)
    if (launches_[i].kernel != other.launches_[i].kernel) return false;
  return true;
}

uint64_t Chunk::hash() const {
  uint64_t hash = launches_.size();
  for (const Launch& launch : launches_)
    hash = mix(hash, reinterpret_cast<uintptr_t>(launch.kernel));
  return hash;
}

bool Chunk::differs(const Chunk& other, size_t i) const {
  const Launch &a = launches_[i], &b = other.launches_[i];
  if (!a.kernel) return a.target != b.target || a.bytes != b.bytes || a.value != b.value;
  if (a.grid.x != b.grid.x || a.grid.y != b.grid.y || a.grid.z != b.grid.z ||
      a.threads != b.threads || a.shared != b.shared || a.count != b.count)
    return true;
  for (uint32_t j = 0; j < a.count; j++) {
    const Argument &x = arguments_[a.first + j], &y = other.arguments_[b.first + j];
    if (x.size != y.size ||
        std::memcmp(bytes_.data() + x.offset, other.bytes_.data() + y.offset, x.size) != 0)
      return true;
  }
  return false;
}

CUDA_KERNEL_NODE_PARAMS kernel_params(const Chunk& chunk, const Launch& launch) {
  return {launch.kernel->function,
          launch.grid.x,
          launch.grid.y,
          launch.grid.z,
          launch.threads,
          1,
          1,
          launch.shared,
          chunk.arguments(launch),
          nullptr};
}

CUDA_MEMSET_NODE_PARAMS memset_params(const Launch& launch) {
  return {launch.target, 0, launch.value, 1, launch.bytes, 1};
}

bool GraphCache::launch(const Chunk& chunk, uint64_t place, CUstream stream) {
  stream_ = stream;
  const uint64_t key = mix(chunk.hash(), place);
  const auto found = entries_.find(key);
  if (found == entries_.end() || !found->second.chunk.alike(chunk)) {
    if (found != entries_.end()) destroy(found->second);
    if (entries_.size() >= kMostGraphs) clear();
    Entry entry;
    entry.chunk = chunk;
    entries_[key] = std::move(entry);
    return false;
  }
  Entry& entry = found->second;
  if (entry.refused) return false;
  if (!(entry.exec ? update(entry, chunk) : (entry.chunk = chunk, instantiate(entry)))) {
    destroy(entry);
    entry.refused = true;
    return false;
  }
  gpu_.check(gpu_.driver().GraphLaunch(entry.exec, stream), "launching a graph");
  return true;
}

// A chain: every node waits for the one before it, as in a stream.
bool GraphCache::instantiate(Entry& entry) {
  const Driver& driver = gpu_.driver();
  if (driver.GraphCreate(&entry.graph, 0) != kSuccess) return false;
  for (const Launch& launch : entry.chunk.launches()) {
    CUgraphNode node = nullptr;
    const CUgraphNode* before = entry.nodes.empty() ? nullptr : &entry.nodes.back();
    CUresult result;
    if (launch.kernel) {
      const CUDA_KERNEL_NODE_PARAMS params = kernel_params(entry.chunk, launch);
      result = driver.GraphAddKernelNode(&node, entry.graph, before, before != nullptr, &params);
    } else {
      const CUDA_MEMSET_NODE_PARAMS params = memset_params(launch);
      result = driver.GraphAddMemsetNode(&node, entry.graph, before, before != nullptr, &params,
                                         gpu_.context());
    }
    if (result != kSuccess) return false;
    entry.nodes.push_back(node);
  }
  return driver.GraphInstantiateWithFlags(&entry.exec, entry.graph, 0) == kSuccess;
}

bool GraphCache::update(Entry& entry, const Chunk& chunk) {
  const Driver& driver = gpu_.driver();
  for (size_t i = 0; i < entry.nodes.size(); i++) {
    if (!chunk.differs(entry.chunk, i)) continue;
    const Launch& launch = chunk.launches()[i];
    CUresult result;
    if (launch.kernel) {
      const CUDA_KERNEL_NODE_PARAMS params = kernel_params(chunk, launch);
      result = driver.GraphExecKernelNodeSetParams(entry.exec, entry.nodes[i], &params);
    } else {
      const CUDA_MEMSET_NODE_PARAMS params = memset_params(launch);
      result =
          driver.GraphExecMemsetNodeSetParams(entry.exec, entry.nodes[i], &params, gpu_.context());
    }
    if (result != kSuccess) return false;
  }
  entry.chunk = chunk;
  return true;
}

void GraphCache::destroy(Entry& entry) {
  if (entry.exec) {
    gpu_.driver().StreamSynchronize(stream_);  // it may be running
    gpu_.driver().GraphExecDestroy(entry.exec);
  }
  if (entry.graph) gpu_.driver().GraphDestroy(entry.graph);
  entry.exec = nullptr;
  entry.graph = nullptr;
  entry.nodes.clear();
}

void GraphCache::clear() {
  for (auto& [key, entry] : entries_) destroy(entry);
  entries_.clear();
}

}  // namespace gptloom::cuda
