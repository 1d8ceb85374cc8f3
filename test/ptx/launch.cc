// A launch: limits, blocks set up and spread over host threads, counters gathered.
#include <algorithm>
#include <chrono>
#include <thread>

#include "ops.h"
#include "shadow.h"

namespace ptx {

namespace {

std::unique_ptr<Block> make_block(Worker& worker) {
  if (!worker.spare.empty()) {
    auto block = std::move(worker.spare.back());
    worker.spare.pop_back();
    return block;
  }
  Launch& launch = *worker.launch;
  const Program& program = *launch.program;
  auto block = std::make_unique<Block>();
  const uint32_t* dim = launch.config.block;
  block->launch = &launch;
  block->worker = &worker;
  block->threads = dim[0] * dim[1] * dim[2];
  const size_t warps = (block->threads + 31) / 32;
  block->registers.resize(program.register_bytes * warps + 64);
  block->local.resize(program.local_bytes * warps * 32);
  block->shared.resize(launch.shared_bytes + 32);
  if (launch.config.checks == CheckLevel::full) {
    block->granules = (launch.shared_bytes >> program.shared_shift) + 1;
    block->writers.assign(block->granules, 0);
    block->writer_notes.assign(block->granules, 0);
    block->last_reads.assign(block->granules, 0);
    const uint32_t* cluster = launch.config.cluster;
    block->readers.assign(block->granules * warps * cluster[0] * cluster[1] * cluster[2], 0);
  }
  block->warps.resize(warps);
  uint8_t* regs = block->registers.data();
  regs += (64 - reinterpret_cast<uintptr_t>(regs) % 64) % 64;
  for (size_t k = 0; k < warps; ++k) {
    Warp& w = block->warps[k];
    w.regs = regs + k * program.register_bytes;
    w.local = block->local.data() + k * 32 * program.local_bytes;
    w.block = block.get();
    w.worker = &worker;
    w.program = &program;
    w.index = uint32_t(k);
    const uint32_t lanes = std::min<uint32_t>(32, block->threads - uint32_t(k) * 32);
    w.started = lanes == 32 ? all_lanes : (1u << lanes) - 1;
    if (!program.initial.empty()) memcpy(w.regs, program.initial.data(), program.initial.size());
  }
  return block;
}

void start_block(Block& block, Cluster& cluster, uint64_t linear, const uint32_t* id, uint32_t rank,
                 uint32_t time) {
  Launch& launch = *block.launch;
  const Program& program = *launch.program;
  block.cluster = &cluster;
  block.linear = linear;
  for (int k = 0; k < 3; ++k) block.id[k] = id[k];
  block.rank = rank;
  block.live = block.threads;
  block.done = false;
  block.acquire_time = block.seen_time = 0;
  block.release_time =
      linear < launch.release_times.size() ? &launch.release_times[linear] : nullptr;
  if (time == 1) {
    std::fill(block.writers.begin(), block.writers.end(), 0);
    std::fill(block.readers.begin(), block.readers.end(), 0);
    std::fill(block.last_reads.begin(), block.last_reads.end(), 0);
  }
  block.start = time;  // of what is there at first; everything since is later
  block.clock = time + 1;
  memset(block.shared.data(), 0xff, block.shared.size());  // NaN to whoever reads it unwritten
  if (program.uses_reserved_shared) {  // zero at first
    const size_t at = launch.shared_bytes - reserved_shared_bytes;
    memset(&block.shared[at], 0, reserved_shared_bytes);
    if (block.granules)
      std::fill(block.writers.begin() + long(at >> program.shared_shift), block.writers.end(),
                block.start << 6);
  }
  for (auto& barrier : block.barriers) barrier = Barrier();
  block.mbarriers.clear();
  block.released.clear();
  for (Warp& w : block.warps) {
    w.live = w.started;
    w.groups.assign(1, Group{0, w.started});
    w.turns = 0;
    w.pending.clear();
    w.suspects.clear();
    w.activations.clear();
    std::fill(w.activation, w.activation + 32, -1);
    w.cluster_arrived = 0;
    w.barrier_id = -1;
    w.floor = block.clock;
    w.in_step = true;
    w.order = rank * uint32_t(block.warps.size()) + w.index;
    w.known.assign(block.warps.size() * cluster.blocks.size(), block.start << 6 | 63);
    w.known[w.order] = ~0u;
    update_safe(w);
    for (int l = 0; l < 32; ++l) w.committed[l] = 0, w.lane_time[l] = block.clock, w.skip_pc[l] = 0;
    for (auto& [offset, bytes, value] : program.presets) memset(w.regs + offset, value, bytes);
    fill_specials(launch, block, w);
  }
}

// Unit u of the schedule: the blocks of one cluster.
std::unique_ptr<Cluster> start_unit(Worker& worker, uint64_t u) {
  const Launch& launch = *worker.launch;
  const uint32_t *grid = launch.config.grid, *c = launch.config.cluster;
  const uint64_t across = grid[0] / c[0], down = grid[1] / c[1];
  const uint64_t corner[3] = {u % across * c[0], u / across % down * c[1],
                              u / across / down * c[2]};
  auto cluster = std::make_unique<Cluster>();
  const uint32_t blocks = c[0] * c[1] * c[2];
  uint32_t time = 0;
  for (uint32_t rank = 0; rank < blocks; ++rank) {
    cluster->blocks.push_back(make_block(worker));
    time = std::max(time, cluster->blocks.back()->clock);
  }
  time = time > 60000000u ? 1 : time + 1;  // stamps hold 26 bits
  for (uint32_t rank = 0; rank < blocks; ++rank) {
    const uint32_t id[3] = {uint32_t(corner[0]) + rank % c[0],
                            uint32_t(corner[1]) + rank / c[0] % c[1],
                            uint32_t(corner[2]) + rank / c[0] / c[1]};
    start_block(*cluster->blocks[rank], *cluster,
                (uint64_t(id[2]) * grid[1] + id[1]) * grid[0] + id[0], id, rank, time);
  }
  return cluster;
}

size_t bytes_of(const Cluster& cluster) {
  const Block& block = *cluster.blocks[0];
  const size_t words = block.writers.size() * 3 + block.readers.size();
  return (block.registers.size() + block.local.size() + block.shared.size() + words * 4) *
         cluster.blocks.size();
}

// Runs units until none are left. Usually one at a time; a cooperative launch keeps its share all
// resident, and units that make no progress get company, in case they wait for a later one.
void work(Worker& worker, uint64_t units, int workers, int index) {
  Launch& launch = *worker.launch;
  std::vector<std::unique_ptr<Cluster>> resident;
  auto admit = [&] {
    uint64_t k = launch.next.fetch_add(1);
    if (k >= units) return false;
    if (launch.config.order == Order::reverse) k = units - 1 - k;
    if (!launch.order.empty()) k = launch.order[k];
    resident.push_back(start_unit(worker, k));
    return true;
  };
  if (launch.config.cooperative) {
    for (uint64_t k = uint64_t(index); k < units; k += uint64_t(workers))
      resident.push_back(start_unit(worker, k));
  }
  constexpr size_t most_bytes = size_t(512) << 20;
  constexpr uint64_t worth_helping = 200000;  // lane instructions: less is done before a thread starts
  size_t at = 0;
  while (!launch.stop) {
    if (index == 0 && launch.help &&
        (launch.config.cooperative || launch.instructions > worth_helping)) {
      launch.help();
      launch.help = nullptr;
    }
    if (resident.empty() && (launch.config.cooperative || !admit())) return;
    if (at >= resident.size()) {
      at = 0;
      const bool stuck = std::all_of(resident.begin(), resident.end(),
                                     [](const auto& unit) { return unit->idle >= 4; });
      if (stuck && !launch.config.cooperative &&
          resident.size() * bytes_of(*resident[0]) < most_bytes)
        admit();
    }
    Cluster& cluster = *resident[at];
    if (!run_slice(worker, cluster, resident.size() == 1)) {
      ++at;
      continue;
    }
    for (auto& block : cluster.blocks) worker.spare.push_back(std::move(block));
    resident.erase(resident.begin() + long(at));
  }
}

LaunchResult refuse(const Kernel& kernel, FaultKind kind, const std::string& what) {
  LaunchResult result;
  result.fault.kind = kind;
  result.fault.kernel = kernel.info.name;
  result.fault.message = "kernel " + kernel.info.name + " cannot be launched: " + what;
  return result;
}

std::string triple(const uint32_t* v) {
  return "(" + std::to_string(v[0]) + "," + std::to_string(v[1]) + "," + std::to_string(v[2]) + ")";
}

// What speaks against the launch; empty when nothing does.
std::string wrong_shape(const KernelInfo& info, const LaunchConfig& c,
                        const DeviceProfile& device) {
  uint64_t threads = 1;
  for (int k = 0; k < 3; ++k) {
    if (!c.grid[k] || c.grid[k] > device.max_grid[k]) return "the grid is " + triple(c.grid);
    if (!c.block[k] || c.block[k] > device.max_block[k]) return "the block is " + triple(c.block);
    if (!c.cluster[k] || c.grid[k] % c.cluster[k])
      return "the grid is no multiple of the cluster " + triple(c.cluster);
    threads *= c.block[k];
  }
  const uint64_t cluster = uint64_t(c.cluster[0]) * c.cluster[1] * c.cluster[2];
  if (cluster > uint64_t(std::max(1, device.max_cluster)))
    return "the cluster " + triple(c.cluster) + " is too large";
  const std::string has = std::to_string(threads) + " threads a block, ";
  if (threads > uint64_t(device.max_threads_per_block))
    return has + "the device allows " + std::to_string(device.max_threads_per_block);
  if (info.max_threads && threads > uint64_t(info.max_threads))
    return has + "its launch bounds allow " + std::to_string(info.max_threads);
  for (int k = 0; k < 3; ++k)
    if (info.required_block[0] && info.required_block[k] != c.block[k])
      return "it requires blocks of " + triple(info.required_block);
  return {};
}

bool check_limits(const Kernel& kernel, const LaunchConfig& c, const DeviceProfile& device,
                  LaunchResult* out) {
  const KernelInfo& info = kernel.info;
  std::string wrong = wrong_shape(info, c, device);
  if (wrong.empty() && (c.dynamic_shared > kernel.max_dynamic_shared ||
                        info.static_shared + c.dynamic_shared > device.shared_per_block_optin))
    wrong = std::to_string(info.static_shared) + " bytes of static and " +
            std::to_string(c.dynamic_shared) + " of dynamic shared memory; the kernel may use " +
            std::to_string(kernel.max_dynamic_shared) + " dynamic bytes, the device has " +
            std::to_string(device.shared_per_block_optin);
  if (!wrong.empty()) return *out = refuse(kernel, FaultKind::invalid_launch, wrong), false;
  const uint64_t warps = (uint64_t(c.block[0]) * c.block[1] * c.block[2] + 31) / 32,
                 registers = (uint64_t(kernel.registers) * 32 + 255) / 256 * 256 * warps;
  if (kernel.registers && registers > uint64_t(device.registers_per_block))
    return *out = refuse(kernel, FaultKind::out_of_resources,
                         std::to_string(registers) + " registers a block, the device has " +
                             std::to_string(device.registers_per_block)),
           false;
  return true;
}

void add(MemoryTraffic& a, const MemoryTraffic& b) {
  a.requests += b.requests, a.bytes += b.bytes, a.sectors += b.sectors,
      a.unique_bytes += b.unique_bytes;
}

void gather(const std::vector<std::unique_ptr<Worker>>& workers, const Program& program,
            Counters& c) {
  for (auto& worker : workers) {
    const Tally& t = worker->tally;
    for (size_t pc = 0; pc < program.code.size(); ++pc) {
      const Inst& inst = program.code[pc];
      if (!inst.counted || !t.warps[pc]) continue;
      c.warp_instructions[size_t(inst.cls)] += t.warps[pc];
      c.lane_instructions[size_t(inst.cls)] += t.lanes[pc];
      c.warp_total += t.warps[pc];
      c.lane_total += t.lanes[pc];
      if (inst.cls == Class::tensor)
        c.tensor_flops += uint64_t(inst.flops) * 16 * t.warps[pc];
      else if (inst.cls == Class::float64)
        c.float64_flops += inst.flops * t.lanes[pc];
      else if (inst.cls == Class::half)
        c.half_flops += inst.flops * t.lanes[pc];
      else
        c.float32_flops += inst.flops * t.lanes[pc];
    }
    add(c.global_read, t.global_read);
    add(c.global_write, t.global_write);
    add(c.local_read, t.local_read);
    add(c.local_write, t.local_write);
    c.shared_requests += t.shared_requests, c.shared_wavefronts += t.shared_wavefronts;
    c.shared_ideal_wavefronts += t.shared_ideal, c.shared_bytes += t.shared_bytes;
    c.atomics += t.atomics, c.barriers += t.barriers, c.branches += t.branches,
        c.divergent_branches += t.divergent;
  }
}

// The parameters' bytes, from one place or from pointers; the number of one that nobody gave, or -1.
int take_parameters(const KernelInfo& info, void* const* arguments, const void* buffer,
                    size_t buffer_bytes, std::vector<uint8_t>& out) {
  out.assign(info.parameter_bytes, 0);
  for (size_t k = 0; k < info.parameters.size(); ++k) {
    const Parameter& p = info.parameters[k];
    if (arguments)
      memcpy(&out[p.offset], arguments[k], p.size);
    else if (buffer && p.offset + p.size <= buffer_bytes)
      memcpy(&out[p.offset], static_cast<const uint8_t*>(buffer) + p.offset, p.size);
    else
      return int(k);
  }
  return -1;
}

void shuffle_units(Launch& launch, uint64_t units) {
  uint64_t state = launch.config.seed * 2 + 1;
  launch.order.resize(units);
  for (uint64_t k = 0; k < units; ++k) launch.order[k] = uint32_t(k);
  for (uint64_t k = units; k > 1; --k) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::swap(launch.order[k - 1], launch.order[(state >> 20) % k]);
  }
}

void prepare(Launch& launch, const Kernel& kernel, const LaunchConfig& c, Memory& memory,
             const DeviceProfile& device) {
  const Program& program = *kernel.program;
  launch.program = &program;
  launch.kernel = &kernel;
  launch.config = c;
  launch.memory = &memory;
  launch.device = &device;
  const size_t align = program.shared_alignment, fixed = kernel.info.static_shared;
  launch.shared_bytes =
      (c.dynamic_shared ? (fixed + align - 1) / align * align : fixed) + c.dynamic_shared;
  launch.own_shared = launch.shared_bytes;
  if (program.uses_reserved_shared)
    launch.shared_bytes = (launch.shared_bytes + 15) / 16 * 16 + reserved_shared_bytes;
  if (c.cooperative && program.uses_grid_workspace) {
    launch.workspace = memory.allocate(512, MemoryKind::module, "the grid's workspace");
    memory.fill(launch.workspace, 0, 1, 512);
  }
  launch.allocations = memory.snapshot();
  launch.serial = memory.next_launch();
  launch.total = uint64_t(c.grid[0]) * c.grid[1] * c.grid[2];
  launch.races = launch.total < (uint64_t(1) << 27) - 1 && c.checks == CheckLevel::full;
  if (!launch.races) return;
  launch.release_times = std::vector<std::atomic<uint32_t>>(launch.total);
  launch.signal_times = std::vector<std::atomic<uint32_t>>(launch.total);
}

std::unique_ptr<Worker> make_worker(Launch& launch, int index) {
  auto worker = std::make_unique<Worker>();
  const Program& program = *launch.program;
  worker->launch = &launch;
  worker->random = launch.config.seed * 0x9E3779B97F4A7C15u + uint64_t(index) * 77 + 1;
  worker->patterns.reset(new Pattern[2 + 2 * program.accesses.size()]);
  worker->tally.warps.assign(program.code.size() + 1, 0);
  worker->tally.lanes.assign(program.code.size() + 1, 0);
  return worker;
}

// The first worker begins alone: most launches are over before another thread would have started.
void run_workers(Launch& launch, uint64_t units, std::vector<std::unique_ptr<Worker>>& workers) {
  const int count = int(workers.size());
  auto guarded = [&](int k) {
    try {
      work(*workers[size_t(k)], units, count, k);
    } catch (const FaultError& error) {
      std::lock_guard<std::mutex> lock(launch.mutex);
      if (launch.fault.kind == FaultKind::none) launch.fault = error.fault;
      launch.stop = true;
    } catch (const std::bad_alloc&) {
      std::lock_guard<std::mutex> lock(launch.mutex);
      launch.fault = refuse(*launch.kernel, FaultKind::out_of_resources,
                            "the host has no memory for its blocks")
                         .fault;
      launch.stop = true;
    }
  };
  std::vector<std::thread> threads;
  launch.help = [&] {
    for (int k = 1; k < count; ++k) threads.emplace_back(guarded, k);
  };
  guarded(0);
  for (auto& thread : threads) thread.join();
}

}  // namespace

LaunchResult launch(const Kernel& kernel, const LaunchConfig& config, Memory& memory,
                    const DeviceProfile& device, void* const* arguments, const void* buffer,
                    size_t buffer_bytes) {
  LaunchResult result;
  const KernelInfo& info = kernel.info;
  LaunchConfig c = config;
  if (c.cluster[0] * c.cluster[1] * c.cluster[2] == 1 && info.required_cluster[0])
    for (int k = 0; k < 3; ++k) c.cluster[k] = std::max(1u, info.required_cluster[k]);
  if (!check_limits(kernel, c, device, &result)) return result;
  const auto begin = std::chrono::steady_clock::now();
  Launch launch;
  const int missing = take_parameters(info, arguments, buffer, buffer_bytes, launch.parameters);
  if (missing >= 0)
    return refuse(kernel, FaultKind::invalid_launch,
                  "no argument was given for parameter " + std::to_string(missing));
  prepare(launch, kernel, c, memory, device);
  const uint64_t units = launch.total / (uint64_t(c.cluster[0]) * c.cluster[1] * c.cluster[2]);
  if (c.order == Order::random && units < (uint64_t(1) << 26)) shuffle_units(launch, units);
  int count = c.threads > 0 ? c.threads : int(std::max(1u, std::thread::hardware_concurrency()));
  count = launch.program->uses_heap ? 1 : int(std::min<uint64_t>(uint64_t(count), units));
  std::vector<std::unique_ptr<Worker>> workers;
  for (int k = 0; k < count; ++k) workers.push_back(make_worker(launch, k));
  run_workers(launch, units, workers);
  if (launch.workspace) memory.release(launch.workspace);
  result.fault = launch.fault;
  Counters& out = result.counters;
  gather(workers, *launch.program, out);
  out.kernel = info.name;
  for (int k = 0; k < 3; ++k) out.grid[k] = c.grid[k], out.block[k] = c.block[k];
  out.static_shared = info.static_shared;
  out.dynamic_shared = c.dynamic_shared;
  out.local_bytes = info.local_bytes;
  out.registers = kernel.registers;
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace ptx
