// The Context that ops launch into: a CUDA stream, fed in chunks. Used by one thread.
//
// Launches are collected, and a chunk of them goes to the GPU when it is full or when somebody
// needs what it computes. A chunk of kernels that has been seen before in the same place after an
// await is launched as one CUDA graph whose arguments are brought up to date; the first time and
// wherever a graph cannot be made, its kernels are launched one by one. Either way they run in
// order, one after the other: the bits are the same.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/context.h"
#include "cuda/gpu.h"
#include "cuda/graph.h"
#include "cuda/modules.h"
#include "device.h"

namespace gptloom::cuda {

struct StreamOptions {
  std::string folder;  // where the kernel images are
  bool graphs = true;  // false: every kernel is launched on its own
  bool exact = false;  // see Allocator
  bool tf32 = false;   // see Context
};

// The work between two awaits, so that what goes wrong in it can be told.
struct Section {
  std::shared_ptr<const Op> first, last;            // null: none
  std::vector<std::shared_ptr<const Op>> suspects;  // the ops that may report a Failure, in order

  std::string text() const;  // ", in the ops from x to y"
};

class Stream final : public Context {
 public:
  Stream(Gpu& gpu, const StreamOptions& options);
  ~Stream() override;

  // Calls `work` for an op. Throws Errors that name the op.
  void run(std::shared_ptr<const Op> op, const std::function<void(Context&)>& work);
  // Sends what has been collected to the GPU.
  void flush();
  // Flushes, copies what kernels have reported to `failures` (pinned, kFailures of them), and
  // starts the next section. Returns the one that ends here.
  Section end_section(Failure* failures);
  // The first of the failures that were reported in a section; null when there was none.
  static std::exception_ptr failure_of(const Section& section, const Failure* failures,
                                       const std::string& device);

  CUstream stream() const { return stream_; }
  const Section& section() const { return section_; }
  Counts counts() const { return {kernels_, launched_graphs_}; }
  // Gives scratch memory back that nothing uses any more. To be called after a flush.
  void trim();
  Allocator& scratch() { return scratch_; }

  void launch_foreign(const gptloom_kernel& from, const char* kernel, Grid grid, unsigned threads,
                      unsigned shared, const void* const* args, const size_t* sizes,
                      size_t count) override;
  const void* table(const void* data, size_t bytes) override;
  void memset(void* data, uint8_t value, size_t bytes) override;
  void* take(size_t bytes) override;
  void give_back(void* block, size_t bytes) override { scratch_.release(block, bytes); }
  Failure* failure() override;
  int multiprocessors() const override { return gpu_.info().multiprocessors; }
  int compute_capability() const override { return gpu_.info().compute_capability; }
  bool tf32() const override { return tf32_; }
  size_t shared_memory() const override { return gpu_.info().shared_memory; }

  static constexpr size_t kFailures = 256;

 private:
  void launch(const char* kernel, Grid grid, unsigned threads, unsigned shared,
              const void* const* args, const size_t* sizes, size_t count) override;
  void collect(const Kernel& kernel, Grid grid, unsigned threads, unsigned shared,
               const void* const* args, const size_t* sizes, size_t count);
  void launch_one(const Chunk& chunk, const Launch& launch);
  std::string where(const Launch& launch) const;

  Gpu& gpu_;
  Modules modules_;
  BoardMemory board_;
  Allocator scratch_;
  GraphCache graphs_;
  bool use_graphs_, tf32_;
  CUstream stream_ = nullptr;
  Failure* failures_ = nullptr;
  std::vector<char> table_;        // what table_memory_ holds
  void* table_memory_ = nullptr;   // scratch
  std::shared_ptr<const Op> op_;  // the one being run
  Section section_;
  Chunk chunk_;
  uint64_t chunks_ = 0;  // in this section so far
  std::atomic<uint64_t> kernels_{0}, launched_graphs_{0};
};

}  // namespace gptloom::cuda
