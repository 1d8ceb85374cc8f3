#include "queue.h"

#include <chrono>
#include <new>
#include <utility>

#include "error.h"

namespace gptloom {

namespace {

std::exception_ptr closed_failure() {
  return std::make_exception_ptr(Error("ERR_DEVICE", "The device was closed"));
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Queue::Queue() : thread_([this] { work(); }) {}

void Queue::push(std::function<void()> work, Describe describe) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    tasks_.push_back({std::move(work), std::move(describe), nullptr});
  }
  wake_.notify_one();
}

void Queue::push_report(std::function<void(std::exception_ptr)> report) {
  bool closed;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed = closed_;
    if (!closed) tasks_.push_back({nullptr, nullptr, std::move(report)});
  }
  if (closed) return report(closed_failure());
  wake_.notify_one();
}

void Queue::drain() {
  std::unique_lock<std::mutex> lock(mutex_);
  drained_.wait(lock, [this] { return closed_ || (tasks_.empty() && !busy_); });
}

std::vector<Ran> Queue::watch(bool on) {
  std::lock_guard<std::mutex> lock(mutex_);
  watched_ = on;
  return std::exchange(ran_, {});
}

void Queue::close() {
  std::deque<Task> dropped;  // destroyed outside the lock
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    dropped.swap(tasks_);
  }
  wake_.notify_all();
  drained_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (Task& task : dropped) {
    if (task.report) task.report(closed_failure());
  }
}

void Queue::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
    if (closed_) return;
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    busy_ = true;
    const bool watched = watched_ && task.describe;
    lock.unlock();
    Ran ran{};
    if (watched) ran.start = now();
    run(task);
    if (watched) ran.end = now(), ran.what = task.describe();
    task = {};
    lock.lock();
    if (watched) ran_.push_back(std::move(ran));
    busy_ = false;
    if (tasks_.empty()) drained_.notify_all();
  }
}

void Queue::run(Task& task) {
  if (task.report) return task.report(std::exchange(failure_, nullptr));
  if (failure_) return;
  const auto where = [&] { return task.describe ? ", in " + task.describe() : std::string(); };
  try {
    task.work();
  } catch (const Error& error) {
    failure_ = std::make_exception_ptr(Error(error.code, error.what() + where()));
  } catch (const std::bad_alloc&) {
    failure_ = std::make_exception_ptr(
        Error("ERR_OUT_OF_MEMORY", "No memory for " + (task.describe ? task.describe() : "an op")));
  } catch (const std::exception& error) {
    failure_ = std::make_exception_ptr(Error("ERR_DEVICE", error.what() + where()));
  }
}

}  // namespace gptloom
