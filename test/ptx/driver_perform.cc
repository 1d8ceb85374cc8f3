// What each operation does when its turn comes; runs on the worker, without the lock.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "driver_state.h"
#include "report.h"

namespace ptx::driver {

namespace {

thread_local bool inside_host_function = false;

CUresult code_of(FaultKind kind) {
  switch (kind) {
    case FaultKind::none: return CUDA_SUCCESS;
    case FaultKind::invalid_launch: return CUDA_ERROR_INVALID_VALUE;
    case FaultKind::out_of_resources: return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    case FaultKind::out_of_bounds:
    case FaultKind::freed:
    case FaultKind::uninitialised:
    case FaultKind::race:
    case FaultKind::async_unwaited: return CUDA_ERROR_ILLEGAL_ADDRESS;
    case FaultKind::misaligned: return CUDA_ERROR_MISALIGNED_ADDRESS;
    case FaultKind::barrier_divergence:
    case FaultKind::absent_lane:
    case FaultKind::trap: return CUDA_ERROR_LAUNCH_FAILED;
    case FaultKind::deadlock:
    case FaultKind::watchdog: return CUDA_ERROR_LAUNCH_TIMEOUT;
    case FaultKind::assertion: return CUDA_ERROR_ASSERT;
    case FaultKind::invalid_address_space: return CUDA_ERROR_INVALID_ADDRESS_SPACE;
    case FaultKind::illegal_instruction: return CUDA_ERROR_ILLEGAL_INSTRUCTION;
  }
  return CUDA_ERROR_UNKNOWN;
}

void write_counters(const State& state, const Counters& counters) {
  FILE* file = std::fopen(state.settings.counters.c_str(), "a");
  if (!file) {
    complain("cannot write the counters to %s", state.settings.counters.c_str());
    return;
  }
  std::fprintf(file, "%s\n", counters_json(counters).c_str());
  std::fclose(file);
}

Outcome perform_kernel(State& state, const KernelOp& op) {
  LaunchConfig config = op.config;
  config.seed = config.seed * 0x9e3779b97f4a7c15u + state.launches++;  // only the worker counts launches
  const LaunchResult result = launch(*op.kernel, config, *state.memory, state.device, nullptr,
                                     op.arguments.data(), op.arguments.size());
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.fault.message.c_str());
    std::fflush(stderr);
    return {code_of(result.fault.kind), 1e-6};
  }
  if (!state.settings.counters.empty()) write_counters(state, result.counters);
  const Machine machine = machine_of(state.device);
  return {CUDA_SUCCESS, estimate(result.counters, machine).seconds + 2e-6};
}

// One row. What Memory does not know is plain host memory.
AddressError copy_row(Memory& memory, const CopyOp& op, uint64_t to, uint64_t from, size_t bytes) {
  if (op.to_known && op.from_known) return memory.copy(to, from, bytes);
  if (op.to_known) return memory.write(to, reinterpret_cast<const void*>(from), bytes);
  if (op.from_known) return memory.read(reinterpret_cast<void*>(to), from, bytes);
  std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
  return AddressError::none;
}

Outcome perform_copy(State& state, const CopyOp& op) {
  const uint64_t base = op.staged ? reinterpret_cast<uint64_t>(op.staged->data()) : op.from;
  const size_t pitch = op.staged ? op.width : op.from_pitch;
  const size_t slice = op.staged ? op.width * op.height : op.from_slice;
  for (size_t z = 0; z < op.depth; z++) {
    for (size_t y = 0; y < op.height; y++) {
      const uint64_t to = op.to + z * op.to_slice + y * op.to_pitch, from = base + z * slice + y * pitch;
      const AddressError error = copy_row(*state.memory, op, to, from, op.width);
      if (error == AddressError::none) continue;
      // The ranges were checked when the call was made: memory was freed since.
      const bool bad_to = op.to_known && state.memory->check(to, op.width) != AddressError::none;
      complain("a copy of %zu bytes that waited in a stream met memory freed meanwhile: %s", op.width,
               state.memory->describe(bad_to ? to : from).c_str());
      return {CUDA_ERROR_ILLEGAL_ADDRESS, 1e-6};
    }
  }
  const double bytes = static_cast<double>(op.width) * static_cast<double>(op.height * op.depth);
  const bool link = !op.to_known || !op.from_known;  // over PCIe, 25 GB/s
  return {CUDA_SUCCESS, bytes / (link ? 25e9 : machine_of(state.device).bandwidth / 2) + 1e-6};
}

Outcome perform_fill(State& state, const FillOp& op) {
  const CUDA_MEMSET_NODE_PARAMS& p = op.params;
  for (size_t y = 0; y < p.height; y++) {
    const AddressError error =
        state.memory->fill(p.dst + y * p.pitch, p.value, static_cast<int>(p.elementSize), p.width);
    if (error == AddressError::none) continue;
    complain("a memset that waited in a stream met memory freed meanwhile: %s",
             state.memory->describe(p.dst + y * p.pitch).c_str());
    return {CUDA_ERROR_ILLEGAL_ADDRESS, 1e-6};
  }
  const double bytes = static_cast<double>(p.elementSize) * static_cast<double>(p.width * p.height);
  return {CUDA_SUCCESS, bytes / machine_of(state.device).bandwidth + 1e-6};
}

void perform_host(const HostOp& op, bool dead) {
  inside_host_function = true;
  if (op.callback) op.callback(op.stream, op.context->error, op.data);
  else if (!dead) op.function(op.data);
  inside_host_function = false;
}

Outcome perform_steps(State& state, Context& context, const std::vector<Step>& steps) {
  // The schedule decides among the nodes that are ready, as the queue does among tasks.
  std::vector<size_t> ready;
  std::vector<size_t> blockers(steps.size());
  std::vector<std::vector<size_t>> next(steps.size());
  for (size_t i = 0; i < steps.size(); i++) {
    blockers[i] = steps[i].after.size();
    for (const size_t before : steps[i].after) next[before].push_back(i);
    if (blockers[i] == 0) ready.push_back(i);
  }
  double seconds = 0;
  uint64_t random = state.settings.seed + state.launches;
  while (!ready.empty()) {
    auto at = ready.begin();
    if (state.settings.order == Order::forward) at = std::min_element(ready.begin(), ready.end());
    if (state.settings.order == Order::reverse) at = std::max_element(ready.begin(), ready.end());
    if (state.settings.order == Order::random) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      at += static_cast<ptrdiff_t>((random >> 33) % ready.size());
    }
    const size_t i = *at;
    ready.erase(at);
    if (steps[i].enabled) {
      const Outcome outcome = perform(state, context, steps[i].operation, false);
      seconds += outcome.seconds;
      if (outcome.error) return {outcome.error, seconds};
    }
    for (const size_t later : next[i]) {
      if (--blockers[later] == 0) ready.push_back(later);
    }
  }
  return {CUDA_SUCCESS, seconds};
}

Outcome perform_free(State& state, uint64_t address) {
  const std::lock_guard<std::mutex> lock(state.mutex);
  const auto at = state.blocks.find(address);
  if (at == state.blocks.end() || at->second.graph) return {};
  if (at->second.pool) at->second.pool->used -= at->second.bytes;
  state.blocks.erase(at);
  state.memory->release(address);
  return {};
}

}  // namespace

bool in_host_function() { return inside_host_function; }

Outcome perform(State& state, Context& context, const Operation& operation, bool dead) {
  if (const auto* op = std::get_if<HostOp>(&operation)) {
    perform_host(*op, dead);
    return {};
  }
  if (const auto* op = std::get_if<FreeOp>(&operation)) return perform_free(state, op->address);
  if (dead) return {};
  if (const auto* op = std::get_if<KernelOp>(&operation)) return perform_kernel(state, *op);
  if (const auto* op = std::get_if<CopyOp>(&operation)) return perform_copy(state, *op);
  if (const auto* op = std::get_if<FillOp>(&operation)) return perform_fill(state, *op);
  if (const auto* op = std::get_if<LaunchOp>(&operation)) return perform_steps(state, context, *op->steps);
  return {};  // events and allocations: their order in the queue is all there is to them
}

}  // namespace ptx::driver
