// The queue: who waits for whom, and the worker thread.
#include "driver_queue.h"

#include <algorithm>

#include "driver_state.h"

namespace ptx::driver {

std::shared_ptr<Task> Queue::add(State& state, Context* context, Operation operation,
                                 const std::vector<std::shared_ptr<Task>>& after) {
  auto task = std::make_shared<Task>();
  task->serial = ++serial_;
  task->context = context;
  task->operation = std::move(operation);
  for (const auto& other : after) {
    if (!other || other->done) continue;
    other->dependents.push_back(task);
    task->blockers++;
  }
  pending_[context]++;
  if (task->blockers == 0) ready_.push_back(task);
  if (!worker_.joinable()) worker_ = std::thread([this, &state] { work(state); });
  added_.notify_one();
  return task;
}

void Queue::wait(std::unique_lock<std::mutex>& lock, const Task& task) {
  finished_.wait(lock, [&] { return task.done || stopping_; });
}

bool Queue::idle(const Context* context) const {
  if (context) {
    const auto at = pending_.find(context);
    return at == pending_.end() || at->second == 0;
  }
  return std::all_of(pending_.begin(), pending_.end(), [](const auto& entry) { return entry.second == 0; });
}

void Queue::wait_idle(std::unique_lock<std::mutex>& lock, const Context* context) {
  finished_.wait(lock, [&] { return idle(context) || stopping_; });
}

size_t Queue::pick(const State& state) {
  const auto older = [](const auto& a, const auto& b) { return a->serial < b->serial; };
  switch (state.settings.order) {
    case Order::forward: return std::min_element(ready_.begin(), ready_.end(), older) - ready_.begin();
    case Order::reverse: return std::max_element(ready_.begin(), ready_.end(), older) - ready_.begin();
    case Order::random: break;
  }
  // Knuth's 64-bit linear congruential generator; its high bits are good enough to choose.
  random_ = (random_ + state.settings.seed) * 6364136223846793005u + 1442695040888963407u;
  return (random_ >> 33) % ready_.size();
}

void Queue::work(State& state) {
  std::unique_lock<std::mutex> lock(state.mutex);
  for (;;) {
    added_.wait(lock, [&] { return stopping_ || !ready_.empty(); });
    if (stopping_) return;
    const size_t index = pick(state);
    const std::shared_ptr<Task> task = ready_[index];
    ready_.erase(ready_.begin() + static_cast<ptrdiff_t>(index));
    const bool dead = task->context->error != CUDA_SUCCESS;
    lock.unlock();
    const Outcome outcome = perform(state, *task->context, task->operation, dead);
    Operation finished = std::move(task->operation);  // may free much: not under the lock
    lock.lock();
    // Nothing on hardware takes less than about a microsecond, and two events never have the same time.
    clock_ += std::max(outcome.seconds, 1e-6);
    if (const auto* record = std::get_if<RecordOp>(&finished)) record->record->time = clock_;
    if (const auto* launch = std::get_if<LaunchOp>(&finished)) {
      for (const auto& inner : launch->records) inner->time = clock_;
    }
    if (outcome.error && !task->context->error) task->context->error = outcome.error;
    task->done = true;
    for (const auto& next : task->dependents) {
      if (--next->blockers == 0) ready_.push_back(next);
    }
    task->dependents.clear();
    pending_[task->context]--;
    finished_.notify_all();
    lock.unlock();
    finished = EmptyOp{};
    lock.lock();
  }
}

void Queue::stop(std::unique_lock<std::mutex>& lock) {
  stopping_ = true;
  added_.notify_all();
  finished_.notify_all();
  if (!worker_.joinable()) return;
  std::thread worker = std::move(worker_);
  if (worker.get_id() == std::this_thread::get_id()) {  // exit() inside a host function
    worker.detach();
    return;
  }
  lock.unlock();
  worker.join();
  lock.lock();
}

}  // namespace ptx::driver
