// An in-order queue of work with one thread of its own.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
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

struct Work {
  std::function<void()> run;
  std::function<std::string()> describe;  // "matmul on [3, 4], [4, 5]": called only for a failure
};

// Work that was pushed once, to be run again.
using Recording = std::vector<Work>;

// By how much it is then further on.
struct Moved {
  int64_t places = 0;  // in a text
  int64_t steps = 0;   // of training, by which random numbers are named
};

class Queue {
 public:
  Queue();
  ~Queue() { close(); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Runs `work` after everything pushed before it, unless something before it has failed. Without
  // `describe` a failure is told as it was thrown.
  void push(std::function<void()> work, std::function<std::string()> describe);
  // Keeps a copy of all work that is pushed from here on, until recorded() hands it over.
  void record();
  std::shared_ptr<const Recording> recorded();
  // Pushes recorded work again, at once. Work that belongs to a place in a text or to a step adds what
  // moved() says to it.
  void replay(std::shared_ptr<const Recording> recording, Moved moved);
  // By how much the work in progress is further on than what was recorded; for its own use.
  Moved moved() const { return moved_; }
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
  struct Task {  // one of these
    Work work;
    std::shared_ptr<const Recording> recording;
    std::function<void(std::exception_ptr)> report;
    Moved moved = {};  // of a recording
  };
  void push(Task task);
  void work();
  void run(const Task& task, std::vector<Ran>* ran);
  void run(const Work& work, std::vector<Ran>* ran);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable drained_;
  std::deque<Task> tasks_;
  bool busy_ = false;
  bool watched_ = false;
  std::vector<Ran> ran_;
  bool closed_ = false;
  std::shared_ptr<Recording> recording_;  // null: none is made
  std::exception_ptr failure_;            // touched by the queue's thread only, as is:
  Moved moved_;
  std::thread thread_;
};

}  // namespace gptloom
