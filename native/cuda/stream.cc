#include "cuda/stream.h"

#include <utility>

#include "../../cuda/failure.h"

namespace gptloom::cuda {

namespace {

// Of a launch that failed: names its own op, which need not be the one being run.
struct LaunchError : Error {
  using Error::Error;
};

std::string triple(unsigned x, unsigned y, unsigned z) {
  return "[" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + "]";
}

std::string bytes_text(size_t bytes) {
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MB";
}

// The CPU's words for the same.
std::string failure_text(const Op& op, uint64_t key, const uint64_t* limits) {
  const auto code = static_cast<FailureCode>(key >> 32 & 3);
  const auto row = static_cast<int64_t>(key >> 34);
  const std::string value = std::to_string(static_cast<int32_t>(key));
  const std::string limit = std::to_string(limits[code]);
  if (code == kTargetOutside) {
    return "crossentropy: target " + value + " at position " + std::to_string(row) +
           " is outside the vocabulary of " + limit;
  }
  const int64_t T = op.arrays[1].shape[-1];  // the tokens'
  return std::string("Expected ") + (code == kTokenOutside ? "a token id" : "a position") +
         " in [0, " + limit + ") at [" + std::to_string(row / T) + ", " + std::to_string(row % T) +
         "], received " + value;
}

}  // namespace

std::string Section::text() const {
  if (!first) return "";
  return first == last ? ", in " + first->text()
                       : ", in the ops from " + first->text() + " to " + last->text();
}

Stream::Stream(Gpu& gpu, const StreamOptions& options)
    : gpu_(gpu),
      modules_(gpu, options.folder),
      board_(gpu),
      scratch_(board_, options.exact),
      graphs_(gpu),
      use_graphs_(options.graphs),
      tf32_(options.tf32) {
  const Driver& driver = gpu_.driver();
  gpu_.check(driver.StreamCreate(&stream_, kStreamNonBlocking), "creating a stream");
  CUdeviceptr failures = 0;
  gpu_.check(driver.MemAlloc_v2(&failures, kFailures * sizeof(Failure)), "opening the device");
  failures_ = reinterpret_cast<Failure*>(static_cast<uintptr_t>(failures));
  gpu_.check(driver.MemsetD8Async(failures, 0xff, kFailures * sizeof(Failure), stream_),
             "opening the device");
}

// The caller has made the context current and waited for the stream.
Stream::~Stream() {
  graphs_.clear();
  if (table_memory_) give_back(table_memory_, table_.size());
  gpu_.driver().MemFree_v2(address_of(failures_));
  gpu_.driver().StreamDestroy_v2(stream_);
}

void Stream::run(std::shared_ptr<const Op> op, const std::function<void(Context&)>& work) {
  if (!section_.first) section_.first = op;
  section_.last = op;
  op_ = std::move(op);
  try {
    work(*this);
  } catch (const LaunchError&) {
    throw;
  } catch (const Error& error) {
    throw Error(error.code,
                std::string(error.what()) + ", in " + op_->text() + " on " + gpu_.name());
  }
}

void Stream::launch(const char* name, Grid grid, unsigned threads, unsigned shared,
                    const void* const* args, const size_t* sizes, size_t count) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const Kernel& kernel = modules_.find(name, shared);
  if (!kernel.parameters.empty() &&
      kernel.parameters != std::vector<size_t>(sizes, sizes + count)) {
    throw Error("ERR_KERNELS", "The kernel " + kernel.name +
                                   " of the kernel image takes other arguments than this version "
                                   "of gptloom gives it: build the image anew");
  }
  collect(kernel, grid, threads, shared, args, sizes, count);
}

void Stream::launch_foreign(const gptloom_kernel& from, const char* name, Grid grid,
                            unsigned threads, unsigned shared, const void* const* args,
                            const size_t* sizes, size_t count) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const Kernel& kernel = modules_.find_foreign(from, name, shared);
  if (!kernel.parameters.empty() &&
      kernel.parameters != std::vector<size_t>(sizes, sizes + count)) {
    throw Error("ERR_KERNELS", std::string(from.name) + ": its kernel " + name +
                                   " takes other arguments than it is launched with");
  }
  collect(kernel, grid, threads, shared, args, sizes, count);
}

void Stream::collect(const Kernel& kernel, Grid grid, unsigned threads, unsigned shared,
                     const void* const* args, const size_t* sizes, size_t count) {
  if (chunk_.full()) flush();
  chunk_.add({&kernel, grid, threads, shared, 0, static_cast<uint32_t>(count), 0, 0, 0, op_}, args,
             sizes);
}

const void* Stream::table(const void* data, size_t bytes) {
  const char* const begin = static_cast<const char*>(data);
  if (table_memory_ && std::equal(table_.begin(), table_.end(), begin, begin + bytes)) {
    return table_memory_;
  }
  void* const memory = take(bytes);
  if (table_memory_) give_back(table_memory_, table_.size());
  table_memory_ = memory;
  table_.assign(begin, begin + bytes);
  flush();
  // From memory that is not pinned: the driver has its own copy when this returns.
  gpu_.check(gpu_.driver().MemcpyHtoDAsync_v2(address_of(memory), begin, bytes, stream_),
             "copying a table of " + bytes_text(bytes), section_.text());
  return memory;
}

void Stream::memset(void* data, uint8_t value, size_t bytes) {
  if (bytes == 0) return;
  if (chunk_.full()) flush();
  chunk_.add_memset(address_of(data), value, bytes, op_);
}

void Stream::flush() {
  if (chunk_.empty()) return;
  const Chunk chunk = std::exchange(chunk_, Chunk());
  if (use_graphs_ && chunk.launches().size() >= Chunk::kLeast &&
      graphs_.launch(chunk, chunks_++, stream_)) {
    launched_graphs_++;
    return;
  }
  for (const Launch& launch : chunk.launches()) launch_one(chunk, launch);
}

void Stream::launch_one(const Chunk& chunk, const Launch& launch) {
  const Driver& driver = gpu_.driver();
  const CUresult result =
      launch.kernel ? driver.LaunchKernel(launch.kernel->function, launch.grid.x, launch.grid.y,
                                          launch.grid.z, launch.threads, 1, 1, launch.shared,
                                          stream_, chunk.arguments(launch), nullptr)
                    : driver.MemsetD8Async(launch.target, launch.value, launch.bytes, stream_);
  kernels_++;
  if (result == kSuccess) return;
  try {
    gpu_.check(result, where(launch), section_.text());
  } catch (const Error& error) {
    throw LaunchError(error.code, error.what());
  }
}

std::string Stream::where(const Launch& launch) const {
  const std::string op = launch.op ? ", for " + launch.op->text() : "";
  if (!launch.kernel) return "clearing " + bytes_text(launch.bytes) + op;
  return "launching " + launch.kernel->name + " on a grid of " +
         triple(launch.grid.x, launch.grid.y, launch.grid.z) + " blocks of " +
         std::to_string(launch.threads) + " threads with " + std::to_string(launch.shared) +
         " bytes of shared memory" + op;
}

void* Stream::take(size_t bytes) {
  void* block = scratch_.allocate(bytes);
  if (!block) {
    flush();
    trim();
    block = scratch_.allocate(bytes);
  }
  if (block) return block;
  size_t free = 0, total = 0;
  gpu_.driver().MemGetInfo_v2(&free, &total);
  throw Error("ERR_OUT_OF_MEMORY", gpu_.name() + " has no " + bytes_text(bytes) +
                                       " of scratch memory left: " + bytes_text(free) + " of " +
                                       bytes_text(total) +
                                       " are free. Use a smaller batch, context or model");
}

void Stream::trim() {
  gpu_.driver().StreamSynchronize(stream_);  // what is cached may still be used by what is running
  scratch_.trim();
}

Failure* Stream::failure() {
  if (section_.suspects.empty() || section_.suspects.back() != op_) {
    if (section_.suspects.size() == kFailures) section_.suspects.pop_back();  // they share the last
    section_.suspects.push_back(op_);
  }
  return failures_ + section_.suspects.size() - 1;
}

Section Stream::end_section(Failure* failures) {
  flush();
  const size_t bytes = section_.suspects.size() * sizeof(Failure);
  if (bytes > 0) {
    const Driver& driver = gpu_.driver();
    gpu_.check(driver.MemcpyDtoHAsync_v2(failures, address_of(failures_), bytes, stream_),
               "reading what kernels report");
    gpu_.check(driver.MemsetD8Async(address_of(failures_), 0xff, bytes, stream_),
               "clearing what kernels report");
  }
  chunks_ = 0;
  return std::exchange(section_, Section());
}

std::exception_ptr Stream::failure_of(const Section& section, const Failure* failures,
                                      const std::string& device) {
  for (size_t i = 0; i < section.suspects.size(); i++) {
    if (failures[i].first == ~uint64_t{0}) continue;
    const Op& op = *section.suspects[i];
    return std::make_exception_ptr(
        Error("ERR_INDEX", failure_text(op, failures[i].first, failures[i].limit) + ", in " +
                               op.text() + " on " + device));
  }
  return nullptr;
}

}  // namespace gptloom::cuda
