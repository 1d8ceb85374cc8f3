// Streams, events, host functions: order that must hold under every schedule, and order that nobody
// promised.
#include "driver_test.h"

#include <atomic>
#include <mutex>
#include <thread>

using namespace driver_test;

static CUstream make_stream(unsigned flags = 1) {
  CUstream stream = nullptr;
  OK(CU(cuStreamCreate)(&stream, flags));
  return stream;
}

static CUevent make_event(unsigned flags = 0) {
  CUevent event = nullptr;
  OK(CU(cuEventCreate)(&event, flags));
  return event;
}

struct Note {
  std::vector<int>* list;
  int value;
};
static void write_note(void* data) {
  auto* const note = static_cast<Note*>(data);
  note->list->push_back(note->value);
}

// A host function that holds the worker until it is let go, so that what follows is sure to be waiting.
static std::atomic<bool> gate{false};
static void wait_at_gate(void*) {
  while (!gate) std::this_thread::yield();
}

static void in_order(const char* order, const char* seed) {
  setenv("EMULATOR_ORDER", order, 1);
  setenv("EMULATOR_SEED", seed, 1);
  start();
  std::vector<int> list;
  std::vector<Note> notes;
  for (int i = 0; i < 20; i++) notes.push_back({&list, i});
  const CUstream a = make_stream(), b = make_stream();
  const CUevent first = make_event(2), second = make_event(2);
  OK(CU(cuLaunchHostFunc)(a, wait_at_gate, nullptr));
  OK(CU(cuLaunchHostFunc)(a, write_note, &notes[0]));
  OK(CU(cuEventRecord)(first, a));
  OK(CU(cuStreamWaitEvent)(b, first, 0));
  OK(CU(cuLaunchHostFunc)(b, write_note, &notes[1]));
  OK(CU(cuLaunchHostFunc)(b, write_note, &notes[2]));
  OK(CU(cuEventRecord)(second, b));
  OK(CU(cuStreamWaitEvent)(a, second, 0));
  OK(CU(cuLaunchHostFunc)(a, write_note, &notes[3]));
  EQUAL(CU(cuStreamQuery)(a), CUDA_ERROR_NOT_READY);
  EQUAL(CU(cuEventQuery)(second), CUDA_ERROR_NOT_READY);
  gate = true;
  OK(CU(cuStreamSynchronize)(a));
  OK(CU(cuStreamQuery)(b));
  OK(CU(cuEventQuery)(second));
  CHECK((list == std::vector<int>{0, 1, 2, 3}));
}

TEST(stream_order_forward) { in_order("forward", "1"); }
TEST(stream_order_reverse) { in_order("reverse", "1"); }
TEST(stream_order_random_1) { in_order("random", "1"); }
TEST(stream_order_random_2) { in_order("random", "2"); }

// Without the event between them, the reverse schedule lets the later stream go first.
TEST(stream_missing_wait_shows) {
  setenv("EMULATOR_ORDER", "reverse", 1);
  start();
  std::vector<int> list;
  Note one = {&list, 1}, two = {&list, 2};
  const CUstream a = make_stream(), b = make_stream(), c = make_stream();
  OK(CU(cuLaunchHostFunc)(c, wait_at_gate, nullptr));
  OK(CU(cuLaunchHostFunc)(a, write_note, &one));
  OK(CU(cuLaunchHostFunc)(b, write_note, &two));
  gate = true;
  OK(CU(cuCtxSynchronize)());
  CHECK((list == std::vector<int>{2, 1}));
}

static void null_stream_order(bool per_thread) {
  setenv("EMULATOR_ORDER", "reverse", 1);
  start();
  std::vector<int> list;
  Note one = {&list, 1}, two = {&list, 2}, three = {&list, 3}, four = {&list, 4};
  const CUstream blocking = per_thread ? reinterpret_cast<CUstream>(2) : make_stream(0),
                 free = make_stream(1);
  OK(CU(cuLaunchHostFunc)(blocking, wait_at_gate, nullptr));
  OK(CU(cuLaunchHostFunc)(blocking, write_note, &one));
  OK(CU(cuLaunchHostFunc)(nullptr, write_note, &two));
  OK(CU(cuLaunchHostFunc)(blocking, write_note, &three));
  OK(CU(cuLaunchHostFunc)(free, write_note, &four));
  gate = true;
  OK(CU(cuCtxSynchronize)());
  CHECK((list == std::vector<int>{4, 1, 2, 3}));
}

TEST(stream_null_waits_for_blocking_ones) { null_stream_order(false); }
TEST(stream_null_waits_for_per_thread_ones) { null_stream_order(true); }

static CUresult inside = CUDA_SUCCESS;
TEST(host_function_may_not_call_the_driver) {
  start();
  OK(CU(cuLaunchHostFunc)(
      nullptr,
      [](void*) {
        CUdeviceptr address = 0;
        inside = CU(cuMemAlloc_v2)(&address, 16);
      },
      nullptr));
  OK(CU(cuCtxSynchronize)());
  EQUAL(inside, CUDA_ERROR_NOT_PERMITTED);
}

static CUresult status = CUDA_ERROR_UNKNOWN;
TEST(host_callback_gets_the_status) {
  start();
  const CUstream stream = make_stream();
  static CUstream given = nullptr;
  OK(CU(cuStreamAddCallback)(
      stream, [](CUstream s, CUresult r, void*) { given = s, status = r; }, nullptr, 0));
  OK(CU(cuStreamSynchronize)(stream));
  EQUAL(status, CUDA_SUCCESS);
  CHECK(given == stream);
  OK(CU(cuLaunchHostFunc)(stream, wait_at_gate, nullptr));
  OK(launch(function_of(load(), "stop"), {1}, {1}, 0, stream));
  OK(CU(cuStreamAddCallback)(
      stream, [](CUstream s, CUresult r, void*) { given = s, status = r; }, nullptr, 0));
  gate = true;
  EQUAL(CU(cuStreamSynchronize)(stream), CUDA_ERROR_LAUNCH_FAILED);
  EQUAL(status, CUDA_ERROR_LAUNCH_FAILED);
}

// A lock that the caller holds while it enqueues must not stop the host function for good.
TEST(host_function_runs_on_its_own_thread) {
  start();
  static std::mutex lock;
  static std::thread::id thread;
  std::unique_lock<std::mutex> held(lock);
  OK(CU(cuLaunchHostFunc)(
      nullptr,
      [](void*) {
        const std::lock_guard<std::mutex> inner(lock);
        thread = std::this_thread::get_id();
      },
      nullptr));
  held.unlock();
  OK(CU(cuCtxSynchronize)());
  CHECK(thread != std::this_thread::get_id());
}

TEST(stream_copies_are_asynchronous) {
  start();
  const CUstream stream = make_stream();
  const CUdeviceptr p = upload(std::vector<uint32_t>(100, 0));
  void *pinned = nullptr, *back = nullptr;
  OK(CU(cuMemAllocHost_v2)(&pinned, 400));
  OK(CU(cuMemAllocHost_v2)(&back, 400));
  auto* const words = static_cast<uint32_t*>(pinned);
  std::vector<uint32_t> pageable(100, 7);
  for (int i = 0; i < 100; i++) words[i] = 1;
  OK(CU(cuLaunchHostFunc)(stream, wait_at_gate, nullptr));
  OK(CU(cuMemcpyHtoDAsync_v2)(p, pinned, 400, stream));
  OK(CU(cuMemcpyDtoHAsync_v2)(back, p, 400, stream));
  OK(CU(cuMemcpyHtoDAsync_v2)(p, pageable.data(), 400, stream));
  for (int i = 0; i < 100; i++) words[i] = 2;  // seen: pinned memory is read when the stream gets there
  pageable.assign(100, 9);                     // not seen: pageable memory was read by the call
  gate = true;
  OK(CU(cuStreamSynchronize)(stream));
  EQUAL(static_cast<uint32_t*>(back)[50], 2u);
  EQUAL(download<uint32_t>(p, 100)[50], 7u);
}

TEST(stream_handles) {
  start();
  const CUstream stream = make_stream(1);
  unsigned flags = 0;
  int priority = 9;
  OK(CU(cuStreamGetFlags)(stream, &flags));
  EQUAL(flags, 1u);
  CUstream urgent = nullptr;
  OK(CU(cuStreamCreateWithPriority)(&urgent, 1, -100));
  OK(CU(cuStreamGetPriority)(urgent, &priority));
  EQUAL(priority, -5);
  CUcontext context = nullptr, now = nullptr;
  OK(CU(cuStreamGetCtx)(stream, &context));
  OK(CU(cuCtxGetCurrent)(&now));
  CHECK(context == now);
  EQUAL(CU(cuStreamCreate)(&urgent, 8), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuStreamDestroy_v2)(stream));
  EQUAL(CU(cuStreamDestroy_v2)(stream), CUDA_ERROR_INVALID_HANDLE);
  EQUAL(CU(cuStreamSynchronize)(stream), CUDA_ERROR_INVALID_HANDLE);
  const CUdeviceptr p = upload(std::vector<uint32_t>(2, 0));
  OK(CU(cuStreamWriteValue32_v2)(nullptr, p + 4, 77, 0));
  EQUAL(download<uint32_t>(p, 2)[1], 77u);
}

TEST(event_times) {
  start();
  const CUfunction add = function_of(load(), "add");
  const CUdeviceptr p = upload(std::vector<uint32_t>(100000, 0));
  const CUevent a = make_event(), b = make_event(), c = make_event(), untimed = make_event(2);
  float first = -1, second = -1;
  EQUAL(CU(cuEventElapsedTime_v2)(&first, a, b), CUDA_ERROR_INVALID_HANDLE);  // never recorded
  OK(CU(cuEventQuery)(a));
  OK(CU(cuEventRecord)(a, nullptr));
  OK(launch(add, {1}, {32}, 0, nullptr, p, 1u, 32u));
  OK(CU(cuEventRecord)(b, nullptr));
  OK(launch(add, {3200}, {32}, 0, nullptr, p, 1u, 100000u));
  OK(CU(cuEventRecord)(c, nullptr));
  OK(CU(cuEventRecord)(untimed, nullptr));
  OK(CU(cuEventSynchronize)(c));
  OK(CU(cuEventElapsedTime_v2)(&first, a, b));
  OK(CU(cuEventElapsedTime)(&second, b, c));
  CHECK(first > 0);
  CHECK(second > first);
  EQUAL(CU(cuEventElapsedTime)(&second, b, untimed), CUDA_ERROR_INVALID_HANDLE);
  float back = 0;
  OK(CU(cuEventElapsedTime)(&back, b, a));
  EQUAL(back, -first);
  OK(CU(cuEventDestroy_v2)(a));
  EQUAL(CU(cuEventDestroy_v2)(a), CUDA_ERROR_INVALID_HANDLE);
}

TEST(stream_threads) {
  const CUcontext context = start();
  const CUmodule module = load();
  const CUfunction add = function_of(module, "add");
  const CUdeviceptr p = upload(std::vector<uint32_t>(4 * 64, 0));
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&, t] {
      CU(cuCtxSetCurrent)(context);
      CUstream stream = nullptr;
      CU(cuStreamCreate)(&stream, 1);
      for (int i = 0; i < 50; i++) {
        if (launch(add, {2}, {32}, 0, stream, p + 256 * t, 1u, 64u)) failures++;
      }
      if (CU(cuStreamSynchronize)(stream)) failures++;
      if (CU(cuStreamDestroy_v2)(stream)) failures++;
    });
  }
  for (auto& thread : threads) thread.join();
  EQUAL(failures.load(), 0);
  CHECK(download<uint32_t>(p, 256) == std::vector<uint32_t>(256, 50));
}

TEST(exit_with_work_pending) {
  start();
  const CUfunction add = function_of(load(), "add");
  const CUdeviceptr p = upload(std::vector<uint32_t>(100000, 0));
  for (int i = 0; i < 100; i++) OK(launch(add, {3200}, {32}, 0, nullptr, p, 1u, 100000u));
}  // the process ends here, and must end well
