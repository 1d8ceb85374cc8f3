// The threads that an op is spread over. One pool serves the whole process, so that several devices
// (one for each JavaScript thread) share the cores instead of fighting over them: parallel regions
// run one at a time.
//
// Work is handed out in index order to whichever thread is free. Bits must not depend on the number
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
    struct Call {
      static void one(void* context, int64_t index, int thread) {
        (*static_cast<std::remove_reference_t<F>*>(context))(index, thread);
      }
    };
    run_erased(count, &Call::one, const_cast<void*>(static_cast<const void*>(std::addressof(f))));
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
  void run_erased(int64_t count, Function function, void* context);
  void work(int thread);
  void take_part(int thread);

  std::vector<std::thread> workers_;
  std::mutex region_;  // held for the length of a region

  // The region in progress: written by the caller before `generation_` moves on.
  Function function_ = nullptr;
  void* context_ = nullptr;
  int64_t count_ = 0;
  std::atomic<int64_t> next_{0};
  std::atomic<int> running_{0};
  std::exception_ptr error_;
  std::atomic<bool> failed_{false};

  std::atomic<uint64_t> generation_{0};
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
