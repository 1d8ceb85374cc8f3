// The emulated GPU's core, as its driver sees it: device memory, modules of PTX text, kernels,
// launches.
//
// Plan: a device pointer is a host address inside one large reserved arena, so that a driver copies
//   with memcpy and pinned memory is reachable from both sides. A module is parsed and decoded at
//   once: what the interpreter does not know is refused at load, with the line and the instruction.
//   A launch runs to its end before `launch` returns.
// Threads: Memory locks itself. Calls of `launch` must not overlap; one launch uses several host
//   threads of its own.
// Files: report*.cc have counters_json and occupancy, driver_profile.cc has profile_for, fault.cc
//   has class_name and fault_name. A driver checks launch limits itself before it calls `launch`.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace ptx {

// ---- The device
// -----------------------------------------------------------------------------------------------------

struct DeviceProfile {
  std::string name = "Emulated GPU (A100 limits)";
  int major = 8, minor = 0;  // compute capability
  int multiprocessors = 108;
  int max_threads_per_block = 1024;
  uint32_t max_block[3] = {1024, 1024, 64};
  uint32_t max_grid[3] = {2147483647u, 65535u, 65535u};
  size_t shared_per_block = 49152;         // static plus dynamic without opting in
  size_t shared_per_block_optin = 166912;  // after raising the kernel's maximum dynamic size
  size_t shared_per_multiprocessor = 167936;
  size_t shared_reserved_per_block = 1024;
  int registers_per_block = 65536;
  int registers_per_multiprocessor = 65536;
  int threads_per_multiprocessor = 2048;
  int blocks_per_multiprocessor = 32;
  int max_cluster = 8;  // blocks of a cluster; used from compute capability 9.0 on
  size_t total_memory = size_t(16) << 30;
  int clock_khz = 1410000, memory_clock_khz = 1215000, memory_bus_bits = 5120;
  size_t l2_bytes = size_t(40) << 20;
};
// Limits of a compute capability (75, 80, 86, 87, 89, 90, 100, 103, 120); any other takes the
// nearest below.
DeviceProfile profile_for(int major, int minor);

// ---- Memory
// ---------------------------------------------------------------------------------------------------------

enum class MemoryKind : uint8_t {
  device,   // every byte is unwritten until a copy, a memset or a kernel writes it
  host,     // pinned or managed: the host writes it unseen, so all of it counts as written
  module,   // .global variables: written, as PTX zero-fills them
  heap,     // what kernels got from malloc: theirs to free, unwritten at first
  constant  // .const variables: written; a kernel may not store to them
};

struct Allocation {
  uint64_t begin = 0, end = 0;  // device addresses, end exclusive; guard zones lie outside
  MemoryKind kind = MemoryKind::device;
  bool freed = false;     // in quarantine: still known, so that a use after free is named as one
  bool external = false;  // registered host memory outside the arena: bounds only, no shadow
  uint64_t serial = 0;    // counts allocations, for messages
  std::string label;      // a variable's name, or empty
};

// What is wrong with a range of addresses: none, unknown (outside every allocation), overrun
// (starts inside one and passes its end), freed.
enum class AddressError : uint8_t { none, unknown, overrun, freed };

struct Shadow {  // see shadow.h
  uint64_t writer, writer_stamp, reader, reader_stamp;
};

class Memory {
 public:
  explicit Memory(size_t arena_bytes = size_t(16) << 30);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Returns 0 when the arena is full. Alignment: 512 bytes. A size of 0 returns 0.
  uint64_t allocate(size_t bytes, MemoryKind kind = MemoryKind::device,
                    const std::string& label = {});
  bool release(uint64_t address);  // false when no live allocation begins there, or malloc made it
  // malloc and free of kernels. 0 when the heap of `limit` bytes is full.
  uint64_t heap_allocate(size_t bytes, size_t limit);
  bool heap_release(uint64_t address);
  bool add_external(void* host, size_t bytes);  // host memory the device may use at its own address
  bool remove_external(void* host);
  void set_limit(size_t bytes) { limit_ = bytes; }  // the memory the device is said to have
  size_t limit() const { return limit_; }
  size_t used() const;  // bytes of live device allocations
  // The allocation that holds the address, or the freed one that did; false when there is none.
  bool find(uint64_t address, Allocation* out) const;
  AddressError check(uint64_t address, size_t bytes) const;
  std::string describe(
      uint64_t address) const;  // "12 bytes past the end of allocation #3 (4096 bytes)"

  // Copies and fills from the host. They check both ends and mark what they write; `from_device`
  // carries the unwritten state along and copies poison unseen, as hardware would. Width of fill:
  // 1, 2 or 4 bytes.
  AddressError write(uint64_t to, const void* from, size_t bytes);
  AddressError read(void* to, uint64_t from, size_t bytes) const;
  AddressError copy(uint64_t to, uint64_t from, size_t bytes);
  AddressError fill(uint64_t to, uint32_t value, int width, size_t count);
  // The first unwritten byte of a range, or 0: for a driver that warns when the host reads what
  // nobody wrote.
  uint64_t first_unwritten(uint64_t address, size_t bytes) const;

  // For the interpreter: shadows of the arena, byte for byte.
  uint8_t* base() const { return base_; }
  size_t size() const { return size_; }
  uint8_t* written() const { return written_; }  // 1 where the byte of the arena has been written
  Shadow* granules() const { return granules_; }  // who touched it last in a launch: shadow.h
  Shadow* lines() const { return lines_; }        // the same for eight granules at once
  uint32_t next_launch();                    // 1..4095, clearing the two tables above when it wraps
  std::vector<Allocation> snapshot() const;  // sorted by address, freed ones too

 private:
  struct Block;
  mutable std::mutex mutex_;
  size_t size_ = 0, limit_ = 0, used_ = 0, heap_used_ = 0, top_ = 0;
  uint8_t *base_ = nullptr, *written_ = nullptr;
  Shadow *granules_ = nullptr, *lines_ = nullptr;
  uint32_t launch_ = 0;
  uint64_t serial_ = 0;
  std::map<uint64_t, Allocation> allocations_;  // by begin; live, quarantined and external
  std::multimap<size_t, uint64_t> holes_;  // reusable ranges by size, including their guard zones
  std::vector<uint64_t> quarantine_;       // oldest first
  size_t quarantined_ = 0;
  const Allocation* locate(uint64_t address) const;
  bool retire(uint64_t address, bool heap);
  void unmap();
};

// ---- Modules
// --------------------------------------------------------------------------------------------------------

struct LoadError {
  int line = 0;  // of the PTX text, 1-based; 0 when no line is to blame
  bool unsupported =
      false;                // valid PTX, as far as one can tell, that the interpreter does not know
  std::string instruction;  // the opcode with its modifiers, when one is to blame
  std::string message;      // one line that holds all of the above
};

struct Parameter {
  std::string name;
  size_t offset = 0, size = 0, alignment = 1;  // in the kernel's parameter buffer
};

struct Variable {
  std::string name;
  uint64_t address = 0;
  size_t size = 0;
  bool constant = false;
};

struct KernelInfo {
  std::string name;
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0;
  size_t static_shared = 0;  // bytes
  size_t local_bytes =
      0;  // per thread, as declared in PTX (no spills: registers are not allocated)
  size_t const_bytes = 0;                    // of the module's .const variables
  int max_threads = 0;                       // from .maxntid or .reqntid; 0 when not stated
  uint32_t required_block[3] = {0, 0, 0};    // .reqntid
  uint32_t required_cluster[3] = {0, 0, 0};  // .reqnctapercluster
  int max_registers = 0;                     // from .maxnreg; 0 when not stated
  int ptx_version = 0;                       // 90 for .version 9.0
  int target = 0;                            // 80 for .target sm_80
  size_t instructions = 0;
};

struct Program;  // the decoded kernel, internal

class Kernel {
 public:
  KernelInfo info;
  // Set by the driver:
  size_t max_dynamic_shared =
      49152;          // what cuFuncSetAttribute raised; less the static part unless raised
  int registers = 0;  // per thread as ptxas states them; 0 when unknown (then not checked)
  std::shared_ptr<const Program> program;
};

class Module {
 public:
  // Parses and decodes `text` (need not end in NUL). Null on error. Variables live in `memory`
  // until the module dies.
  static std::unique_ptr<Module> load(const char* text, size_t length, Memory& memory,
                                      const DeviceProfile& device, LoadError* error);
  ~Module();
  Kernel* kernel(const std::string& name);  // null when there is none
  const Variable* variable(const std::string& name) const;
  std::vector<Kernel*> kernels();           // in the order of the text
  int version() const { return version_; }  // 90 for .version 9.0
  int target() const { return target_; }    // 80 for sm_80
  // The forms this module uses, e.g. "fma.rn.f32", sorted, without state-space-free duplicates.
  const std::vector<std::string>& forms() const { return forms_; }

 private:
  friend struct ModuleBuilder;
  Module(Memory& memory) : memory_(memory) {}
  Memory& memory_;
  int version_ = 0, target_ = 0;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::unordered_map<std::string, Kernel*> by_name_;
  std::unordered_map<std::string, Variable> variables_;
  std::vector<uint64_t> owned_;
  std::vector<std::string> forms_;
};

// ---- Launches
// -------------------------------------------------------------------------------------------------------

enum class FaultKind : uint8_t {
  none,
  invalid_launch,    // limits exceeded before anything ran: CUDA_ERROR_INVALID_VALUE
  out_of_resources,  // threads, registers or shared memory: CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
  out_of_bounds,  // CUDA_ERROR_ILLEGAL_ADDRESS, as are freed, uninitialised, race, async_unwaited
  freed,
  misaligned,  // CUDA_ERROR_MISALIGNED_ADDRESS
  uninitialised,
  race,
  async_unwaited,      // cp.async data touched before its wait
  barrier_divergence,  // CUDA_ERROR_LAUNCH_FAILED, as is absent_lane
  absent_lane,         // a warp-wide instruction that names or reads a lane that is not there
  deadlock,            // CUDA_ERROR_LAUNCH_TIMEOUT, as is watchdog
  watchdog,
  trap,                   // CUDA_ERROR_LAUNCH_FAILED (hardware: ILLEGAL_INSTRUCTION for trap)
  assertion,              // CUDA_ERROR_ASSERT
  invalid_address_space,  // CUDA_ERROR_INVALID_ADDRESS_SPACE
  illegal_instruction     // an operand the manual leaves undefined: CUDA_ERROR_ILLEGAL_INSTRUCTION
};
const char* fault_name(FaultKind kind);  // "out_of_bounds"

struct Fault {
  FaultKind kind = FaultKind::none;
  std::string message;  // the whole paragraph, ready for stderr, without a newline at its end
  std::string kernel, source;  // source: "file.cu:12" when the PTX has .loc, else empty
  std::string instruction;     // the PTX line as decoded, e.g. "ld.global.f32"
  int line = 0;                // of the PTX text
  uint32_t block[3] = {0, 0, 0}, thread[3] = {0, 0, 0};
  uint64_t address = 0;
};

enum class Class : uint8_t {
  integer,
  float32,
  float64,
  half,
  special,
  conversion,
  move,
  predicate,
  control,
  load_global,
  store_global,
  load_shared,
  store_shared,
  local,
  parameter,
  atomic,
  warp,
  barrier,
  matrix_load,
  tensor,
  async,
  other,
  count
};
const char* class_name(Class kind);

struct MemoryTraffic {
  uint64_t requests = 0;      // warp instructions
  uint64_t bytes = 0;         // asked by active lanes
  uint64_t sectors = 0;       // 32-byte sectors touched, summed over requests
  uint64_t unique_bytes = 0;  // distinct bytes over the whole launch (0 below CheckLevel::full)
};

struct Counters {
  std::string kernel;
  uint32_t grid[3] = {0, 0, 0}, block[3] = {0, 0, 0};
  size_t static_shared = 0, dynamic_shared = 0, local_bytes = 0;
  int registers = 0;  // 0 when unknown
  uint64_t warp_instructions[size_t(Class::count)] = {};
  uint64_t lane_instructions[size_t(Class::count)] = {};
  uint64_t warp_total = 0, lane_total = 0;  // lane_total / (32 warp_total) is the lane efficiency
  uint64_t branches = 0, divergent_branches = 0;
  MemoryTraffic global_read, global_write;  // cp.async counts as a read, atomics as both
  MemoryTraffic local_read, local_write;
  uint64_t shared_requests = 0, shared_wavefronts = 0, shared_ideal_wavefronts = 0,
           shared_bytes = 0;
  uint64_t atomics = 0;   // lanes
  uint64_t barriers = 0;  // warp arrivals at block barriers
  uint64_t tensor_flops = 0, float32_flops = 0, float64_flops = 0, half_flops = 0;
  double seconds = 0;  // of the interpreter, on the host
  double lane_efficiency() const {
    return warp_total ? double(lane_total) / (32.0 * double(warp_total)) : 0;
  }
};
// One JSON object without a newline: the counters, theoretical occupancy and a roofline estimate
// for A100, RTX 4090 and H100 (registers unknown: occupancy by the other limits, and it says so).
std::string counters_json(const Counters& counters);

struct Occupancy {
  int blocks = 0, warps = 0;  // per multiprocessor
  double fraction = 0;
  const char* limiter = "";  // "threads", "blocks", "registers" or "shared memory"
};
Occupancy occupancy(const DeviceProfile& device, int threads, int registers, size_t shared_bytes);

enum class CheckLevel : uint8_t {
  none,    // no checks but those that keep the host process safe (bounds), no counters of memory
  bounds,  // bounds, freed, alignment, counters
  full     // and unwritten reads, races, cp.async
};

enum class Order : uint8_t { forward, reverse, random };

struct LaunchConfig {
  uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1}, cluster[3] = {1, 1, 1};
  size_t dynamic_shared = 0;
  size_t heap_bytes = size_t(8) << 20;  // that malloc in kernels may hand out, over all launches
  bool cooperative = false;      // every block resident and interleaved
  Order order = Order::forward;  // of blocks and of the warps in a block
  uint64_t seed = 0;             // for Order::random
  CheckLevel checks = CheckLevel::full;
  int threads = 0;                        // host threads; 0: as many as the machine has
  uint64_t watchdog = uint64_t(1) << 36;  // lane instructions of the whole launch; 0: never
  std::function<void(const char*, size_t)> print;  // device printf; default: stdout
};

struct LaunchResult {
  Fault fault;  // kind none: ok
  Counters counters;
  bool ok() const { return fault.kind == FaultKind::none; }
};

// Runs a kernel to its end. `arguments` is cuLaunchKernel's kernelParams: one pointer a parameter.
// When it is null, `buffer` holds all parameters at their offsets (CU_LAUNCH_PARAM_BUFFER_POINTER),
// `buffer_bytes` long.
LaunchResult launch(const Kernel& kernel, const LaunchConfig& config, Memory& memory,
                    const DeviceProfile& device, void* const* arguments,
                    const void* buffer = nullptr, size_t buffer_bytes = 0);

}  // namespace ptx
