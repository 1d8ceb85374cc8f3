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

void Queue::push(std::function<void()> run, std::function<std::string()> describe) {
  push({{std::move(run), std::move(describe)}, nullptr, nullptr});
}

void Queue::replay(std::shared_ptr<const Recording> recording, Moved moved) {
  push({{}, std::move(recording), nullptr, moved});
}

void Queue::push(Task task) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    if (recording_ && task.work.run) recording_->push_back(task.work);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Queue::record() {
  std::lock_guard<std::mutex> lock(mutex_);
  recording_ = std::make_shared<Recording>();
}

std::shared_ptr<const Recording> Queue::recorded() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(recording_, nullptr);
}

void Queue::push_report(std::function<void(std::exception_ptr)> report) {
  bool closed;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed = closed_;
    if (!closed) tasks_.push_back({{}, nullptr, std::move(report)});
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
    const bool watched = watched_;
    lock.unlock();
    std::vector<Ran> ran;
    run(task, watched ? &ran : nullptr);
    task = {};
    lock.lock();
    ran_.insert(ran_.end(), ran.begin(), ran.end());
    busy_ = false;
    if (tasks_.empty()) drained_.notify_all();
  }
}

void Queue::run(const Task& task, std::vector<Ran>* ran) {
  if (task.report) return task.report(std::exchange(failure_, nullptr));
  if (!task.recording) return run(task.work, ran);
  moved_ = task.moved;
  for (const Work& work : *task.recording) run(work, ran);
  moved_ = {};
}

void Queue::run(const Work& work, std::vector<Ran>* ran) {
  if (failure_) return;
  const double start = ran ? now() : 0;
  const auto where = [&] { return work.describe ? ", in " + work.describe() : std::string(); };
  try {
    work.run();
  } catch (const Error& error) {
    failure_ = std::make_exception_ptr(Error(error.code, error.what() + where()));
  } catch (const std::bad_alloc&) {
    failure_ = std::make_exception_ptr(
        Error("ERR_OUT_OF_MEMORY", "No memory for " + (work.describe ? work.describe() : "an op")));
  } catch (const std::exception& error) {
    failure_ = std::make_exception_ptr(Error("ERR_DEVICE", error.what() + where()));
  }
  if (ran && work.describe) {
    const double end = now();
    ran->push_back({work.describe(), start, end});
  }
}

}  // namespace gptloom
