// Plan: a caller publishes a function and its indices, opens the region and takes part itself;
// threads draw indices from an atomic counter, or from one each and then from those of others. When
// there are none left the caller closes the region and waits for the threads that have joined, not
// for those that are asleep or in whose place the system runs something else, JavaScript above all.
// A waiting thread first spins, since regions follow each other within microseconds during a step,
// then sleeps, so that an idle process costs nothing.
// Bound: about 1 us a region while threads are spinning.
#include "cpu/pool.h"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace gptloom::cpu {

namespace {

// How long a thread spins before it sleeps: longer than an op that runs on one thread and than most
// gaps between two steps, shorter than anything that a person or a battery would notice.
constexpr auto kSpin = std::chrono::milliseconds(1);

void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  asm volatile("yield");
#endif
}

// Spins until ready() or the time is up. Once in a while the clock is read, and the core offered to
// whoever has something to do: the thread waited for, or JavaScript.
template <class Ready>
bool spin_until(Ready ready) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 64; i++) {
      if (ready()) return true;
      relax();
    }
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

Pool::Pool(int threads) : parts_(static_cast<size_t>(threads)) {
  for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(sleep_);
    stop_.store(true, std::memory_order_release);
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Pool::run_erased(int64_t count, int parts, Function function, void* context) {
  if (count <= 0) return;
  if (count == 1 || workers_.empty()) {
    for (int64_t i = 0; i < count; i++) function(context, i, 0);
    return;
  }
  std::lock_guard<std::mutex> region(region_);
  function_ = function;
  context_ = context;
  parts_used_ = parts;
  for (int i = 0; i < parts; i++) {
    Part& part = parts_[static_cast<size_t>(i)];
    part.next.store(count * i / parts, std::memory_order_relaxed);
    part.end = count * (i + 1) / parts;
  }
  error_ = nullptr;
  failed_.store(false, std::memory_order_relaxed);
  state_.fetch_add(kRegion | kOpen, std::memory_order_seq_cst);
  {
    std::lock_guard<std::mutex> lock(sleep_);
    if (sleeping_ > 0) wake_.notify_all();
  }
  take_part(0);
  state_.fetch_sub(kOpen, std::memory_order_relaxed);
  const auto finished = [this] { return state_.load(std::memory_order_acquire) % kOpen == 0; };
  if (!spin_until(finished)) {
    std::unique_lock<std::mutex> lock(sleep_);
    done_.wait(lock, finished);
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Pool::take_part(int thread) {
  try {
    for (int i = 0; i < parts_used_; i++) {
      Part& part = parts_[static_cast<size_t>((thread + i) % parts_used_)];
      while (!failed_.load(std::memory_order_relaxed) &&
             part.next.load(std::memory_order_relaxed) < part.end) {
        const int64_t index = part.next.fetch_add(1, std::memory_order_relaxed);
        if (index < part.end) function_(context_, index, thread);
      }
    }
  } catch (...) {
    std::lock_guard<std::mutex> lock(sleep_);
    if (!error_) error_ = std::current_exception();
    failed_.store(true, std::memory_order_relaxed);
  }
}

// Joins the region in progress, if it is open and another one than `seen`.
bool Pool::join(uint64_t* seen) {
  uint64_t state = state_.load(std::memory_order_relaxed);
  while ((state & kOpen) && state / kRegion != *seen) {
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) {
      *seen = state / kRegion;
      return true;
    }
  }
  return false;
}

void Pool::work(int thread) {
  uint64_t seen = 0;
  while (true) {
    bool joined = false;
    const auto ready = [&] {
      return stop_.load(std::memory_order_acquire) || (joined = join(&seen));
    };
    if (!spin_until(ready)) {
      std::unique_lock<std::mutex> lock(sleep_);
      sleeping_++;
      wake_.wait(lock, ready);
      sleeping_--;
    }
    if (!joined) return;
    take_part(thread);
    if (state_.fetch_sub(1, std::memory_order_acq_rel) % kRegion == 1) {
      std::lock_guard<std::mutex> lock(sleep_);  // the last to leave what is closed
      done_.notify_one();
    }
  }
}

// ---- how many threads
// -----------------------------------------------------------------------------------------

namespace {

#if defined(__linux__)
// Processors that a cgroup's quota is worth, rounded up; 0 without a quota.
int quota_threads() {
  // The process's own group: its path stands in /proc/self/cgroup, "0::/path" for v2 and
  // "N:cpu,...:/path" for v1.
  std::string v2 = "/", v1 = "/", line;
  std::ifstream groups("/proc/self/cgroup");
  while (std::getline(groups, line)) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) v2 = path;
    if (("," + controllers + ",").find(",cpu,") != std::string::npos) v1 = path;
  }
  double processors = 0;
  const auto take = [&](double quota, double period) {
    if (quota > 0 && period > 0 && (processors == 0 || quota / period < processors))
      processors = quota / period;
  };
  // Every group on the way up to the root may set a tighter limit.
  for (std::string path = v2;; path = path.substr(0, path.rfind('/'))) {
    std::ifstream file("/sys/fs/cgroup" + (path == "/" ? "" : path) + "/cpu.max");
    std::string quota;
    double period = 0;
    if (file >> quota >> period && quota != "max") take(std::atof(quota.c_str()), period);
    if (path.empty() || path == "/") break;
  }
  for (const std::string& path : {v1, std::string()}) {
    const std::string folder = "/sys/fs/cgroup/cpu" + path;
    double quota = 0, period = 0;
    if (std::ifstream(folder + "/cpu.cfs_quota_us") >> quota &&
        std::ifstream(folder + "/cpu.cfs_period_us") >> period)
      take(quota, period);
  }
  return processors == 0 ? 0 : static_cast<int>(processors + 0.999);
}
#endif

}  // namespace

int available_threads() {
  if (const char* wanted = std::getenv("GPTLOOM_THREADS")) {
    const int threads = std::atoi(wanted);
    if (threads >= 1 && threads <= 1024) return threads;
  }
  int threads = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) threads = CPU_COUNT(&set);
  const int quota = quota_threads();
  if (quota > 0 && quota < threads) threads = quota;
#endif
  return threads < 1 ? 1 : threads;
}

}  // namespace gptloom::cpu
