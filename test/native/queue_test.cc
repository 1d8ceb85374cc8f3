// Everything with threads in it: the pool, the queue, the allocator and the CPU device. Written to
// be run under ThreadSanitizer too, where GPTLOOM_TEST_ROUNDS asks for fewer rounds.
#include "queue.h"

#include <atomic>
#include <cstdlib>
#include <future>
#include <thread>

#include "allocator.h"
#include "cpu/cpu_device.h"
#include "test.h"

namespace gptloom::test {

namespace {

int rounds(int usual) {
  const char* wanted = std::getenv("GPTLOOM_TEST_ROUNDS");
  const int percent = wanted ? std::atoi(wanted) : 100;
  return std::max(1, usual * percent / 100);
}

template <class Body>
void in_threads(int count, Body&& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; i++) threads.emplace_back([&body, i] { body(i); });
  for (std::thread& thread : threads) thread.join();
}

std::string message_of(std::exception_ptr failure) {
  if (!failure) return "";
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return std::string(error.code) + ": " + error.what();
  }
}

// What a report is given, waited for.
std::string report(Queue& queue) {
  std::promise<std::string> answer;
  queue.push_report([&](std::exception_ptr failure) { answer.set_value(message_of(failure)); });
  return answer.get_future().get();
}

Array array_of(float* data, int64_t n) {
  Array out;
  out.data = data;
  out.shape.rank = 1;
  out.shape.sizes[0] = n;
  return out;
}

// Throws what the device reports. The failure is read on the queue's thread, since ThreadSanitizer
// does not see the counter inside the library that says who frees an exception.
void wait_for(Device& device, const Array& x, float* target) {
  struct Answer {
    const char* code;
    std::string message;
  };
  std::promise<Answer> promise;
  device.download(x, target, [&](std::exception_ptr failure) {
    Answer answer{nullptr, ""};
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const Error& error) {
      answer = {error.code, error.what()};
    }
    promise.set_value(answer);
  });
  const Answer answer = promise.get_future().get();
  if (answer.code) throw Error(answer.code, answer.message);
}

}  // namespace

// ---- pool
// -------------------------------------------------------------------------------------------------------

TEST(pool_calls_every_index_once) {
  for (int threads = 1; threads <= 4; threads++) {
    cpu::Pool pool(threads);
    CHECK(pool.threads() == threads);
    for (const int64_t count : {0, 1, 2, 3, 31, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      std::atomic<bool> odd_thread{false};
      const auto call = [&](int64_t index, int thread) {
        calls[static_cast<size_t>(index)]++;
        if (thread < 0 || thread >= threads) odd_thread = true;
      };
      pool.run(count, call);
      for (const auto& each : calls) CHECK(each == 1);
      pool.run_near(count, call);
      for (const auto& each : calls) CHECK(each == 2);
      CHECK(!odd_thread);
    }
  }
}

TEST(pool_ranges_cover_everything) {
  cpu::Pool pool(3);
  for (const int64_t count : {0, 1, 9, 10, 11, 127}) {
    std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
    pool.run_ranges(count, 10, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; i++) calls[static_cast<size_t>(i)]++;
    });
    for (const auto& call : calls) CHECK(call == 1);
  }
}

// Plain memory, written in one region and read in the next by whichever thread: a missing barrier
// is a data race.
TEST(pool_many_small_regions_see_each_other) {
  cpu::Pool pool(3);
  std::vector<int64_t> a(7, 0), b(7, 0);
  const int regions = rounds(20000);
  for (int round = 0; round < regions; round++) {
    pool.run(
        7, [&](int64_t i, int) { b[static_cast<size_t>(i)] = a[static_cast<size_t>(6 - i)] + 1; });
    std::swap(a, b);
  }
  for (const int64_t value : a) CHECK(value == regions);
}

TEST(pool_wakes_threads_that_sleep) {
  cpu::Pool pool(3);
  for (int round = 0; round < rounds(20); round++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 2 * 3));
    std::atomic<int> calls{0};
    pool.run(50, [&](int64_t, int) {
      if (round % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(20));
      calls++;
    });
    CHECK(calls == 50);
  }
}

TEST(pool_rethrows_the_exception_and_works_on) {
  for (const int threads : {1, 2, 4}) {
    cpu::Pool pool(threads);
    for (int round = 0; round < rounds(500); round++) {
      bool caught = false;
      try {
        pool.run(100, [&](int64_t index, int) {
          if (index % 10 == round % 10) throw std::runtime_error("from a region");
        });
      } catch (const std::runtime_error& error) {
        caught = std::string(error.what()) == "from a region";
      }
      CHECK(caught);
      std::atomic<int> calls{0};
      pool.run(10, [&](int64_t, int) { calls++; });
      CHECK(calls == 10);
    }
  }
}

TEST(pool_regions_of_several_callers_run_one_at_a_time) {
  cpu::Pool pool(3);
  std::atomic<int> callers{0}, overlaps{0}, calls{0};
  const int regions = rounds(500);
  in_threads(4, [&](int mine) {
    for (int round = 0; round < regions; round++) {
      pool.run(8, [&](int64_t, int) {
        // One bit a caller: two at once would be two regions at once.
        const int others = callers.fetch_or(1 << mine) & ~(1 << mine);
        if (others) overlaps++;
        calls++;
        callers.fetch_and(~(1 << mine));
      });
    }
  });
  CHECK(overlaps == 0);
  CHECK(calls == 4 * 8 * regions);
}

TEST(pool_may_end_at_any_time) {
  for (int round = 0; round < rounds(300); round++) {
    cpu::Pool outer(3);
    if (round % 3 == 0) continue;  // never used
    std::atomic<int> calls{0};
    outer.run(4, [&](int64_t, int) {
      cpu::Pool inner(2);
      inner.run(3, [&](int64_t, int) { calls++; });
    });
    CHECK(calls == 12);
    if (round % 50 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(3));  // ends asleep
  }
}

// ---- queue
// ------------------------------------------------------------------------------------------------------

TEST(queue_runs_in_order) {
  Queue queue;
  std::vector<int> order;
  for (int i = 0; i < 1000; i++)
    queue.push([&order, i] { order.push_back(i); }, [] { return "push"; });
  CHECK(report(queue).empty());
  CHECK(order.size() == 1000);
  for (int i = 0; i < 1000; i++) CHECK(order[static_cast<size_t>(i)] == i);
}

TEST(queue_skips_after_a_failure_until_it_is_reported) {
  Queue queue;
  std::atomic<int> runs{0};
  const auto work = [&] { runs++; };
  const auto describe = [] { return std::string("the op"); };
  queue.push([] { throw Error("ERR_INDEX", "first"); }, describe);
  queue.push(work, describe);
  queue.push([] { throw Error("ERR_INDEX", "second"); }, describe);
  queue.drain();
  CHECK(runs == 0);
  CHECK(report(queue) == "ERR_INDEX: first, in the op");
  CHECK(report(queue).empty());
  queue.push(work, describe);
  CHECK(report(queue).empty());
  CHECK(runs == 1);
  queue.push([] { throw std::bad_alloc(); }, describe);
  CHECK(report(queue) == "ERR_OUT_OF_MEMORY: No memory for the op");
}

TEST(queue_close_answers_every_report) {
  for (int round = 0; round < rounds(300); round++) {
    std::atomic<int> fine{0}, closed{0}, runs{0};
    const auto answer = [&](std::exception_ptr failure) {
      const std::string message = message_of(failure);
      if (message.empty()) fine++;
      if (message == "ERR_DEVICE: The device was closed") closed++;
    };
    Queue queue;
    for (int i = 0; i < 20; i++) {
      queue.push([&] { runs++; }, [] { return ""; });
      queue.push_report(answer);
    }
    if (round % 3) std::this_thread::yield();
    queue.close();
    CHECK(fine + closed == 20);
    CHECK(runs >= fine);
    queue.push([&] { runs = -1; }, [] { return ""; });
    queue.push_report(answer);
    CHECK(fine + closed == 21);
    queue.drain();
    queue.close();
    CHECK(runs >= 0);
  }
}

TEST(queue_notes_what_runs_while_it_is_watched) {
  Queue queue;
  const auto nap = [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
  queue.push(nap, [] { return "before"; });
  queue.drain();
  CHECK(queue.watch(true).empty());
  queue.push(nap, [] { return "first"; });
  queue.push(nap, nullptr);  // has no name
  queue.push(nap, [] { return "second"; });
  CHECK(report(queue).empty());
  const std::vector<Ran> ran = queue.watch(false);
  CHECK(ran.size() == 2 && ran[0].what == "first" && ran[1].what == "second");
  for (const Ran& each : ran) CHECK(each.end - each.start >= 0.002);
  CHECK(ran[1].start - ran[0].end >= 0.002);
  queue.push(nap, [] { return "after"; });
  queue.drain();
  CHECK(queue.watch(false).empty());
}

TEST(queue_runs_recorded_work_again) {
  Queue queue;
  std::vector<int64_t> places;
  int64_t steps = 0;
  bool fails = false;
  const auto work = [&](int64_t place) {
    return [&, place] {
      if (fails) throw Error("ERR_INDEX", "on purpose");
      places.push_back(place + queue.moved().places);
      steps += queue.moved().steps;
    };
  };
  queue.push(work(1), [] { return "before"; });
  queue.record();
  queue.push(work(10), [] { return "first"; });
  queue.push(work(20), [] { return "second"; });
  const auto recording = queue.recorded();
  queue.push(work(2), [] { return "after"; });
  CHECK(report(queue).empty());
  queue.watch(true);
  queue.replay(recording, {5, 1});
  queue.replay(recording, {-3, 7});
  queue.push(work(3), [] { return "last"; });
  CHECK(report(queue).empty());
  CHECK(steps == 2 * (1 + 7));
  CHECK(places == (std::vector<int64_t>{1, 10, 20, 2, 15, 25, 7, 17, 3}));
  const std::vector<Ran> ran = queue.watch(false);
  CHECK(ran.size() == 5 && ran[0].what == "first" && ran[3].what == "second");
  fails = true;
  queue.replay(recording, {});
  CHECK(report(queue) == "ERR_INDEX: on purpose, in first");
  queue.close();
  queue.replay(recording, {});
  CHECK(recording.use_count() == 1);
}

TEST(queue_frees_what_work_holds_before_the_report) {
  Queue queue;
  auto held = std::make_shared<int>(0);
  queue.push([copy = held] {}, [] { return ""; });
  CHECK(report(queue).empty());
  CHECK(held.use_count() == 1);
  queue.push([copy = held] {}, [] { return ""; });
  queue.close();
  CHECK(held.use_count() == 1);
}

TEST(queue_takes_work_from_several_threads) {
  Queue queue;
  int64_t sum = 0;  // touched by the queue's thread only
  const int each = rounds(2000);
  in_threads(4, [&](int) {
    for (int i = 0; i < each; i++) queue.push([&sum] { sum++; }, [] { return ""; });
    queue.drain();
  });
  CHECK(report(queue).empty());
  CHECK(sum == 4 * each);
}

// ---- allocator
// --------------------------------------------------------------------------------------------------

TEST(allocator_reuses_blocks_and_counts_them) {
  Allocator allocator;
  void* first = allocator.allocate(100000);
  CHECK(reinterpret_cast<uintptr_t>(first) % 64 == 0);
  const MemoryUse use = allocator.use();
  CHECK(use.used >= 100000 && use.used <= 113000 && use.peak == use.used &&
        use.reserved == use.used);
  allocator.release(first, 100000);
  CHECK(allocator.use().used == 0);
  // A little smaller takes the same block, and gives all of it back.
  void* second = allocator.allocate(98000);
  CHECK(second == first);
  allocator.release(second, 98000);
  CHECK(allocator.use().used == 0 && allocator.use().reserved == use.reserved);
  allocator.trim();
  CHECK(allocator.use().reserved == 0);
  CHECK(allocator.allocate(size_t{1} << 46) == nullptr);
  throws("ERR_OUT_OF_MEMORY", [&] { allocator.take(size_t{1} << 46); });
  CHECK(allocator.use().used == 0);
}

TEST(allocator_blocks_never_overlap) {
  Allocator allocator;
  Generator generator(7);
  struct Block {
    unsigned char* data;
    size_t bytes;
    unsigned char mark;
  };
  std::vector<Block> blocks;
  for (int i = 0; i < rounds(20000); i++) {
    if (blocks.size() < 50 && generator.below(2)) {
      const size_t bytes = static_cast<size_t>(generator.below(generator.below(3) ? 700 : 20000));
      auto* data = static_cast<unsigned char*>(allocator.allocate(bytes));
      CHECK(data && reinterpret_cast<uintptr_t>(data) % 64 == 0);
      std::memset(data, i % 251, bytes);
      blocks.push_back({data, bytes, static_cast<unsigned char>(i % 251)});
    } else if (!blocks.empty()) {
      const size_t at = static_cast<size_t>(generator.below(static_cast<int64_t>(blocks.size())));
      const Block block = blocks[at];
      for (size_t k = 0; k < block.bytes; k++) CHECK(block.data[k] == block.mark);
      allocator.release(block.data, block.bytes);
      blocks[at] = blocks.back();
      blocks.pop_back();
    }
  }
  for (const Block& block : blocks) allocator.release(block.data, block.bytes);
  CHECK(allocator.use().used == 0);
}

TEST(allocator_serves_several_threads) {
  Allocator allocator;
  in_threads(4, [&](int mine) {
    for (int i = 0; i < rounds(3000); i++) {
      const size_t bytes = static_cast<size_t>(64 * (1 + i % 7) + mine);
      auto* data = static_cast<char*>(allocator.take(bytes));
      std::memset(data, mine, bytes);
      if (data[bytes - 1] != mine) std::abort();
      allocator.give_back(data, bytes);
      if (i % 500 == 0) allocator.trim();
    }
  });
  CHECK(allocator.use().used == 0);
}

// ---- device
// -----------------------------------------------------------------------------------------------------

TEST(device_runs_a_step_on_memory_given_back_while_it_is_queued) {
  const auto device = cpu::open_device(3);
  const int64_t n = 5000;
  const size_t bytes = static_cast<size_t>(n) * sizeof(float);
  for (int round = 0; round < rounds(100); round++) {
    std::vector<float> read(static_cast<size_t>(n));
    Array x = array_of(static_cast<float*>(device->allocate(bytes)), n);
    device->fill(x, 1);
    for (int step = 0; step < 10; step++) {
      Array y = array_of(static_cast<float*>(device->allocate(bytes)), n);
      device->add(y, x, x);
      device->release(x.data, bytes);
      x = y;
    }
    wait_for(*device, x, read.data());
    for (const float value : read) CHECK(value == 1024);
    device->release(x.data, bytes);
  }
  CHECK(device->memory().used == 0);
  CHECK(device->memory().peak <= 4 * bytes);
}

TEST(devices_of_several_threads_share_the_pool) {
  in_threads(3, [&](int mine) {
    const auto device = cpu::open_device(0);
    const int64_t n = 40000;
    const size_t bytes = static_cast<size_t>(n) * sizeof(float);
    const Array x = array_of(static_cast<float*>(device->allocate(bytes)), n);
    std::vector<float> read(static_cast<size_t>(n));
    for (int round = 0; round < rounds(50); round++) {
      device->fill(x, static_cast<float>(mine));
      device->add(x, x, x);
      wait_for(*device, x, read.data());
      if (read.front() != 2 * mine || read.back() != 2 * mine) std::abort();
    }
    device->release(x.data, bytes);
  });
}

TEST(device_closes_with_work_queued) {
  for (int round = 0; round < rounds(100); round++) {
    const auto device = cpu::open_device(2);
    const int64_t n = 20000;
    const size_t bytes = static_cast<size_t>(n) * sizeof(float);
    const Array x = array_of(static_cast<float*>(device->allocate(bytes)), n);
    std::atomic<int> answers{0};
    for (int i = 0; i < 20; i++) {
      device->fill(x, 1);
      device->download(x, nullptr, [&](std::exception_ptr) { answers++; });
    }
    if (round % 2) device->close();
    if (round % 2) CHECK(answers == 20);
    device->release(x.data, bytes);
  }
}

TEST(device_reports_a_bad_token_and_goes_on) {
  const auto device = cpu::open_device(2);
  int32_t token = 9;
  float table[4] = {1, 2, 3, 4}, out[2] = {0, 0};
  Array tokens, rows, result;
  tokens.data = &token, tokens.dtype = Dtype::int32, tokens.shape = {2, {1, 1}};
  rows.data = table, rows.shape = {2, {2, 2}};
  result.data = out, result.shape = {3, {1, 1, 2}};
  device->embedding_forward(result, tokens, Array{}, rows, Array{}, 0);
  throws("ERR_INDEX", [&] { wait_for(*device, Array{}, nullptr); });
  token = 1;
  device->embedding_forward(result, tokens, Array{}, rows, Array{}, 0);
  wait_for(*device, Array{}, nullptr);
  CHECK(out[0] == 3 && out[1] == 4);
}

}  // namespace gptloom::test
