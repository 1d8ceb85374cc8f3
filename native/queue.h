// An in-order queue of work with one thread of its own.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace gptloom {

// Work that has run, and when: seconds of a steady clock.
struct Ran {
  std::string what;
  double start, end;
};

class Queue {
 public:
  using Describe =
      std::function<std::string()>;  // "matmul on [3, 4], [4, 5]": called only for a failure

  Queue();
  ~Queue() { close(); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Runs `work` after everything pushed before it, unless something before it has failed. Without
  // `describe` a failure is told as it was thrown.
  void push(std::function<void()> work, Describe describe);
  // Always called, once: in its turn with the first failure since the last report was given one, or
  // with ERR_DEVICE by whoever closes the queue first.
  void push_report(std::function<void(std::exception_ptr)> work);
  // Returns when all that was pushed has run. The failure, if any, stays for the next report.
  void drain();
  // Notes described work as it runs, from here on or no more. Returns what was noted before.
  std::vector<Ran> watch(bool on);
  // Drops what has not started, waits for what has. Work pushed afterwards is dropped.
  void close();

 private:
  struct Task {
    std::function<void()> work;
    Describe describe;
    std::function<void(std::exception_ptr)> report;
  };
  void work();
  void run(Task& task);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable drained_;
  std::deque<Task> tasks_;
  bool busy_ = false;
  bool watched_ = false;
  std::vector<Ran> ran_;
  bool closed_ = false;
  std::exception_ptr failure_;  // touched by the queue's thread only
  std::thread thread_;
};

}  // namespace gptloom
