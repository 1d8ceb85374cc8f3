// The threads that an op is spread over. One pool serves the whole process, so that several devices
// (one for each JavaScript thread) share the cores instead of fighting over them: parallel regions
// run one at a time.
//
// Work is handed out in index order to whichever thread is free; with run_near() each thread first
// takes what lies in its own part of the indices, so that it finds in its cache the rows that it
// wrote in the op before. Bits must not depend on the number
// of threads, so a region's indices must name independent outputs or chunks of a fixed size, never
// "one share per thread".
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace gptloom::cpu {

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Threads that take part in a region, the caller included.
  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls f(index, thread) for every index in [0, count), and returns when all are done. thread is
  // in [0, threads()), 0 being the caller. The first exception thrown by f is rethrown here, once
  // all threads have stopped; indices not yet handed out are then skipped. Regions must not be
  // nested.
  template <class F>
  void run(int64_t count, F&& f) {
    run_erased(count, 1, &call<F>, address(f));
  }
  // The same, where neighbours lie side by side in memory.
  template <class F>
  void run_near(int64_t count, F&& f) {
    run_erased(count, threads(), &call<F>, address(f));
  }

  // Calls f(begin, end, thread) over [0, count) in pieces of `grain` indices (the last may be
  // shorter).
  template <class F>
  void run_ranges(int64_t count, int64_t grain, F&& f) {
    run((count + grain - 1) / grain, [&](int64_t piece, int thread) {
      const int64_t begin = piece * grain;
      f(begin, begin + grain < count ? begin + grain : count, thread);
    });
  }

 private:
  using Function = void (*)(void* context, int64_t index, int thread);
  template <class F>
  static void call(void* context, int64_t index, int thread) {
    (*static_cast<std::remove_reference_t<F>*>(context))(index, thread);
  }
  template <class F>
  static void* address(F&& f) {
    return const_cast<void*>(static_cast<const void*>(std::addressof(f)));
  }
  void run_erased(int64_t count, int parts, Function function, void* context);
  void work(int thread);
  bool join(uint64_t* seen);
  void take_part(int thread);

  // Indices that are drawn one by one, on a cache line of its own.
  struct alignas(64) Part {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  std::vector<Part> parts_;  // one for each thread
  std::vector<std::thread> workers_;
  std::mutex region_;  // held for the length of a region

  // The region in progress: written by the caller before it opens the region.
  Function function_ = nullptr;
  void* context_ = nullptr;
  int parts_used_ = 0;
  std::exception_ptr error_;
  std::atomic<bool> failed_{false};

  // kRegion for each region so far, kOpen while threads may join it, and how many others are in it.
  static constexpr uint64_t kOpen = uint64_t{1} << 16, kRegion = kOpen << 1;
  std::atomic<uint64_t> state_{0};
  std::mutex sleep_;
  std::condition_variable wake_;
  std::condition_variable done_;
  int sleeping_ = 0;
  std::atomic<bool> stop_{false};
};

// Threads that this process may really use: processors in its affinity mask, bounded by the
// cgroup's quota (v2 cpu.max, v1 cpu.cfs_quota_us). At least 1. GPTLOOM_THREADS overrides it.
int available_threads();

}  // namespace gptloom::cpu
