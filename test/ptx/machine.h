// The machine: decoded instructions, warps, blocks, and what a launch shares.
//
// Layout: a warp's registers are one buffer, structure of arrays: a slot holds 32 lanes of 2, 4, 8
//   or 16 bytes, a predicate is one 32-bit mask. Operands are byte offsets into it; constants and
//   special registers have slots too.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>

#include "emulator.h"
#include "syntax.h"

namespace ptx {

struct Warp;
struct Block;
struct Worker;
struct Launch;
struct Inst;
using Fn = void (*)(Warp&, const Inst&, uint32_t mask);

constexpr uint32_t no_slot = ~0u;
constexpr uint32_t all_lanes = ~0u;

enum class Kind : uint8_t {
  plain,  // fn runs for the active lanes
  branch,
  table,  // to target; table: a register indexes `targets`
  exit,
  together,       // fn runs once the lanes named in slot `sync` are all here (no_slot: all 32)
  warp_barrier,   // bar.warp.sync: like together, but other pcs will do
  block_barrier,  // bar, barrier
  cluster_wait,   // barrier.cluster.wait
  call,           // of a callee's code: the one at index imm, or by the address in a
  ret,            // from a callee
  yield           // plain, then another warp gets its turn
};

// A memory access. Vectors: `count` elements of `bytes` each.
struct Access {
  Space space = Space::generic;
  Ty type = Ty::none;
  uint8_t bytes = 0, count = 1;
  bool wide = true;        // the base register has 64 bits
  bool strong = false;     // volatile, relaxed, acquire, release: no race by itself
  bool read_only = false;  // .nc
  bool acquire = false, release = false;
  bool seed = false;     // a plain load that seeds a compare-and-swap loop on the same address
  bool cluster = false;  // .shared::cluster
  uint32_t base = no_slot;
  int64_t offset = 0;
  // Where some byte has been written, the rest may be padding that a struct's copy takes along.
  uint32_t element(uint32_t all) const {
    return std::min<uint32_t>(type == Ty::none ? 4 : type == Ty::b16 ? 2 : bytes, all);
  }
};

struct Inst {
  Fn fn = nullptr;
  uint32_t d = no_slot, a = no_slot, b = no_slot, c = no_slot;
  uint32_t x = 0, extra = 0;  // further operands: Program::extra[x .. x + extra)
  uint32_t imm = 0;           // what fn makes of it
  uint32_t guard = no_slot;
  uint32_t target = 0;
  uint32_t sync = no_slot;
  Kind kind = Kind::plain;
  Class cls = Class::other;
  bool guard_negated = false, counted = true;
  uint8_t defs = 0;    // how many of the further operands it writes: the first ones
  uint16_t flops = 0;  // per lane; of tensor instructions per warp and 16
  int access = -1;     // index into Program::accesses
  int line = 0, location = -1, form = -1;
};

// A slot's bytes as a block begins: ones, NaN as a float, where it may be read before it is written.
struct Preset {
  uint32_t offset, bytes;
  uint8_t value;
};

struct Fill {
  int special;
  uint32_t slot;
};

struct Slice {  // of a stack frame
  uint32_t offset, bytes;
};

struct Callee {
  std::string name;
  uint64_t address = 0;
  uint32_t pc = 0, frame_bytes = 0;
  std::vector<Slice> parameters, results;
};

struct CallSite {
  bool framed = false;       // the caller is a callee itself
  uint32_t frame_bytes = 0;  // of the caller: the callee's frame begins behind it
  std::vector<Slice> arguments, results;
  std::vector<uint32_t> candidates;  // callees that an indirect call may reach
};

struct Program {
  std::string name;
  std::vector<Inst> code;
  std::vector<uint32_t> extra;
  std::vector<Access> accesses;
  std::vector<std::vector<uint32_t>> targets;  // of branch tables, and pool of vprintf's operands
  std::vector<std::string> forms;              // opcode texts
  std::vector<Location> locations;
  std::unordered_map<int, std::string> files;
  std::vector<uint8_t> initial;  // the constant slots' contents
  std::vector<Fill> specials;
  std::vector<Preset> presets;
  std::vector<Callee> callees;
  std::vector<CallSite> calls;
  std::vector<std::pair<uint32_t, uint32_t>> layout;  // slots a call saves: offset, bytes a lane
  size_t register_bytes = 0, fixed_bytes = 0;
  size_t local_bytes = 0;  // per lane, the stack of real calls included
  size_t static_shared = 0, shared_alignment = 16;
  int shared_shift = 2, global_shift = 2;  // granule of race shadows: the smallest store
  bool uses_cluster = false, uses_grid_workspace = false, uses_fences = false;
  bool uses_heap = false, uses_reserved_shared = false;
};

enum Special : int {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  smid,
  nsmid,
  gridid,
  gridid64,
  lanemask_eq,
  lanemask_lt,
  lanemask_le,
  lanemask_gt,
  lanemask_ge,
  dynamic_smem,
  total_smem,
  reserved_smem_begin,
  reserved_smem_end,
  reserved_smem_bytes,
  cluster_ctaid_x,
  cluster_ctaid_y,
  cluster_ctaid_z,
  cluster_nctaid_x,
  cluster_nctaid_y,
  cluster_nctaid_z,
  clusterid_x,
  clusterid_y,
  clusterid_z,
  nclusterid_x,
  nclusterid_y,
  nclusterid_z,
  cluster_ctarank,
  cluster_nctarank,
  is_explicit_cluster,
  workspace_lo,
  workspace_hi,
  zero_special,
  clock_special,
  clock_hi_special,
  clock64_special,
  timer_special,
  timer_lo_special,
  timer_hi_special
};

// Windows of the generic address space. Global addresses are host addresses, below 2^47.
constexpr uint64_t shared_window = uint64_t(1) << 56, local_window = uint64_t(2) << 56,
                   param_window = uint64_t(3) << 56, function_window = uint64_t(4) << 56;
constexpr size_t reserved_shared_bytes = 1024;
constexpr size_t stack_bytes = 16384;  // a lane's, for recursive and indirect calls
constexpr uint64_t window_mask = uint64_t(0xff) << 56;
constexpr int cluster_shift =
    24;  // shared::cluster addresses: (1 + rank) << 24 | offset; below 1 << 24: one's own

struct FaultError {
  Fault fault;
};

struct Group {
  enum State : uint8_t { running, parked, at_barrier, at_cluster };
  uint32_t pc, mask;
  State state = running;
  uint32_t named = 0;  // lanes waited for when parked
  uint64_t turn = 0;   // when it last used up a slice
  uint32_t jumped_from = 0, jumped_to = ~0u;
  int depth = 0;  // of calls; the deepest run first, so that lanes return together
};

struct Activation {                      // of a callee, by lanes that called together
  uint32_t lanes = 0, site = 0, pc = 0;  // pc: of the call
  int32_t outer[32];                     // each lane's activation before
  std::vector<uint8_t> registers;
};

struct PendingCopy {  // one lane's cp.async on its way
  uint8_t lane, bytes;
  uint32_t group, to;  // to: offset in the block's shared memory
  uint8_t data[16];
};

struct Suspect {  // a register that holds, in these lanes, what nobody wrote
  uint32_t slot, lanes;
};

struct Unwritten {  // a read of what nobody wrote
  bool known = false, shared = false;
  uint32_t pc = 0;
  uint64_t address = 0;
};

struct Warp {
  uint8_t* regs = nullptr;
  uint8_t* local = nullptr;
  Block* block = nullptr;
  Worker* worker = nullptr;
  const Program* program = nullptr;
  uint32_t index = 0, live = 0, started = 0;
  uint64_t turns = 0;
  std::vector<Group> groups;
  std::vector<PendingCopy> pending;
  std::vector<Suspect> suspects;        // see suspects.cc
  std::vector<Unwritten> unwritten;     // each lane's last such read
  std::vector<Activation> activations;  // those without lanes are free
  int32_t activation[32];               // index of each lane's; -1: in the kernel itself
  uint32_t committed[32] = {};          // cp.async groups committed by each lane
  uint32_t lane_time[32] = {};   // the block's clock when the lane last synchronised with its warp
  uint32_t skip_pc[32] = {};     // last pc of an exited lane before its exit
  uint32_t cluster_arrived = 0;  // lanes that have not waited yet
  uint32_t cluster_phase = 0;    // in which they arrived
  int barrier_id = -1;           // of the barrier its parked group waits at
  uint32_t order = 0;            // its index among the warps of its cluster
  std::vector<uint32_t> known;   // known[w]: what warp w did up to this stamp is ordered before us
  uint32_t floor = 0;            // least of lane_time over the live lanes
  bool in_step = true;           // all live lanes last synchronised together
  uint32_t safe = 0;             // every stamp below is ordered before us, whoever's it is
  template <class T>
  T* reg(uint32_t offset) {
    return reinterpret_cast<T*>(regs + offset);
  }
};

struct Barrier {
  uint32_t expected = 0, arrived = 0;  // threads; expected 0: idle
  std::vector<uint32_t> known;         // joined clocks of those that arrived
  uint32_t votes_all = 1, votes_any = 0, votes_count = 0;
  uint32_t result = 0;  // of the last completed reduction
};

struct MBarrier {
  uint32_t expected = 0, pending = 0;
  int64_t transactions = 0;
  uint64_t phase = 0;
  std::vector<uint32_t> known;
};

struct Cluster;

struct Block {
  Launch* launch = nullptr;
  Worker* worker = nullptr;
  Cluster* cluster = nullptr;
  uint32_t id[3] = {0, 0, 0};
  uint64_t linear = 0;
  uint32_t rank = 0;  // in its cluster
  uint32_t threads = 0, live = 0;
  std::vector<Warp> warps;
  std::vector<uint8_t> registers, local;
  std::vector<uint8_t> shared;
  // Race shadow of shared memory, see shadow.h. Times never go back, so that a new block needs no
  // clearing.
  std::vector<uint32_t> writers, writer_notes, last_reads;  // by granule
  std::vector<uint32_t> readers;                            // [warp of the cluster][granule]
  size_t granules = 0;
  uint32_t clock = 1, start = 1;
  Barrier barriers[16];
  std::unordered_map<uint32_t, MBarrier> mbarriers;
  std::unordered_map<uint64_t, std::vector<uint32_t>>
      released;                                   // clocks published through atomics, by address
  std::atomic<uint32_t>* release_time = nullptr;  // of this block, across blocks; see shadow.h
  uint32_t acquire_time = 0;
  uint32_t seen_time = 0;  // when it last saw a relaxed access or an atomic
  uint64_t progress = 0;  // stores, updates, barriers and exits: what others may wait for
  bool done = false;
};

struct Cluster {  // the unit of scheduling; usually one block
  std::vector<std::unique_ptr<Block>> blocks;
  uint32_t arrived = 0, phase = 0;         // threads at barrier.cluster
  std::vector<uint32_t> known, completed;  // joined clocks of those that arrived, now and before
  std::vector<uint32_t> fenced;            // of its warps' fences
  uint64_t progress = 0;
  int idle = 0;  // slices without progress, in a row: it may spin on what another block will do
  bool done = false;
};

struct Tally {                         // counters of one worker
  std::vector<uint64_t> warps, lanes;  // by pc
  MemoryTraffic global_read, global_write, local_read, local_write;
  uint64_t shared_requests = 0, shared_wavefronts = 0, shared_ideal = 0, shared_bytes = 0,
           atomics = 0, barriers = 0;
  uint64_t branches = 0, divergent = 0;
};

struct Launch {
  const Program* program = nullptr;
  const Kernel* kernel = nullptr;
  LaunchConfig config;
  Memory* memory = nullptr;
  const DeviceProfile* device = nullptr;
  std::vector<Allocation> allocations;  // sorted by begin
  std::vector<uint8_t> parameters;
  size_t shared_bytes = 0;  // that kernels reach, with the system's part behind their own
  size_t own_shared = 0;    // without it
  uint32_t serial = 0;             // tags the global race shadow
  std::atomic<bool> races{false};  // between blocks are looked for
  uint64_t workspace = 0;          // of cooperative launches
  std::atomic<uint32_t> clock{1};  // counts releases between blocks
  std::vector<std::atomic<uint32_t>> release_times, signal_times;  // of blocks
  std::atomic<uint64_t> next{0}, instructions{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;  // guards fault, atomics on external memory, printing
  Fault fault;
  uint64_t total = 0;           // blocks
  std::vector<uint32_t> order;  // permutation of scheduling units, when random
  std::function<void()> help;   // starts the other workers; called by the first one, if at all
};

struct Run {       // of granules side by side, each lane's behind those of the lane before it
  int64_t first;   // granules from the first active lane's
  uint16_t length;
  uint8_t lane;    // the first one's
  bool several;    // or: all of its lanes ask the same granules
  uint32_t lanes;
};

// How the lanes of a request lie to each other: its mask, and distances from the first active lane.
struct Pattern {
  uint32_t mask = 0, key;
  uint64_t delta[32];
  uint64_t bits;      // the union of the distances' bits
  int64_t low, high;  // bytes to the lowest and the highest lane
  uint32_t per;       // granules a lane, log2
  bool row;           // all lanes side by side
  uint32_t count;
  Run runs[32];
  uint32_t wavefronts, ideal;       // in shared memory
  mutable uint32_t phase, sectors;  // in global memory, for a first address of this phase
  // Whether all lanes lie inside, when the first active one is at `base`.
  bool within(uint64_t base, uint32_t bytes, uint64_t begin, uint64_t end) const {
    return base >= begin && base < end && -uint64_t(low) <= base - begin &&
           uint64_t(high) + bytes <= end - base;
  }
};

struct Worker {
  Launch* launch = nullptr;
  std::unique_ptr<Pattern[]> patterns;  // of accesses: the last, in global and in shared memory
  Tally tally;
  const Allocation* last = nullptr;  // where the last global access went
  uint32_t pc = 0;                   // of the instruction in execution, for messages
  uint64_t random = 1;
  std::vector<std::unique_ptr<Block>> spare;
};

// Ends the launch. `lane` names the thread; an address of 0 is left out.
[[noreturn]] void fault(Warp& warp, const Inst& inst, int lane, FaultKind kind,
                        const std::string& what, uint64_t address = 0);
std::string lanes_text(uint32_t mask);                         // "0-15,20"
std::string thread_text(const Block& block, uint32_t thread);  // "(3,0,0)"
inline int first_lane(uint32_t mask) { return __builtin_ctz(mask); }

// Runs a block's (or cluster's) warps for one slice each; true when all are done. sched.cc
bool run_slice(Worker& worker, Cluster& cluster, bool alone);
void fill_specials(const Launch& launch, const Block& block, Warp& w);  // specials.cc
void finish_barriers(Block& block);  // after lanes exited or arrived

}  // namespace ptx
