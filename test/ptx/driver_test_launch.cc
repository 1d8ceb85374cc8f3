// Launches: arguments, limits, faults and what is left of the context after one, counters.
#include "driver_test.h"

using namespace driver_test;

TEST(launch_arguments_are_copied) {
  start();
  const CUmodule module = load();
  const CUdeviceptr p = upload(std::vector<uint8_t>(16, 9));
  CUdeviceptr address = p;
  uint8_t a = 200;
  double b = -2.5;
  void* params[] = {&address, &a, &b};
  OK(CU(cuLaunchKernel)(function_of(module, "pair"), 1, 1, 1, 1, 1, 1, 0, nullptr, params, nullptr));
  address = 0, a = 0, b = 0;
  const auto bytes = download<uint8_t>(p, 16);
  double stored = 0;
  std::memcpy(&stored, bytes.data() + 8, 8);
  EQUAL(int(bytes[0]), 200);
  EQUAL(int(bytes[1]), 9);
  EQUAL(stored, -2.5);
}

TEST(launch_argument_buffer) {
  start();
  const CUfunction pair = function_of(load(), "pair");
  const CUdeviceptr p = upload(std::vector<uint8_t>(16, 0));
  struct {
    CUdeviceptr p;
    uint8_t a;
    double b;
  } buffer = {p, 7, 0.5};
  size_t bytes = sizeof buffer;
  void* extra[] = {reinterpret_cast<void*>(1), &buffer, reinterpret_cast<void*>(2), &bytes, nullptr};
  OK(CU(cuLaunchKernel)(pair, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra));
  EQUAL(int(download<uint8_t>(p, 1)[0]), 7);
  bytes = 8;
  EQUAL(CU(cuLaunchKernel)(pair, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, extra), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuLaunchKernel)(pair, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST(launch_limits_leave_the_context_alive) {
  start();
  const CUmodule module = load();
  const CUfunction tile = function_of(module, "tile");
  const CUdeviceptr p = upload(std::vector<uint32_t>(1024, 0));
  EQUAL(launch(tile, {1}, {1025}, 0, nullptr, p), CUDA_ERROR_INVALID_VALUE);
  EQUAL(launch(tile, {1}, {64, 32}, 0, nullptr, p), CUDA_ERROR_INVALID_VALUE);
  EQUAL(launch(tile, {1}, {1, 1, 65}, 0, nullptr, p), CUDA_ERROR_INVALID_VALUE);
  EQUAL(launch(tile, {0}, {32}, 0, nullptr, p), CUDA_ERROR_INVALID_VALUE);
  EQUAL(launch(tile, {1, 65536}, {32}, 0, nullptr, p), CUDA_ERROR_INVALID_VALUE);
  EQUAL(launch(tile, {1}, {1024}, 50000, nullptr, p), CUDA_ERROR_INVALID_VALUE);
  CHECK(contains(reported(), "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"));
  EQUAL(launch(reinterpret_cast<CUfunction>(module), {1}, {32}, 0, nullptr, p), CUDA_ERROR_INVALID_HANDLE);
  OK(CU(cuFuncSetAttribute)(tile, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 100000));
  OK(launch(tile, {1}, {1024}, 50000, nullptr, p));
  const auto out = download<uint32_t>(p, 1024);
  EQUAL(out[0], 1023u);
  EQUAL(out[1023], 0u);
}

TEST(launch_attributes) {
  start();
  const CUfunction add = function_of(load(), "add");
  CUdeviceptr p = upload(std::vector<uint32_t>(40, 0));
  uint32_t value = 3, n = 40;
  void* params[] = {&p, &value, &n};
  CUlaunchAttribute attributes[2] = {};
  attributes[0].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  attributes[0].value.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  attributes[1].value.cooperative = 1;
  CUlaunchConfig config = {2, 1, 1, 32, 1, 1, 0, nullptr, attributes, 2};
  OK(CU(cuLaunchKernelEx)(&config, add, params, nullptr));
  OK(CU(cuLaunchCooperativeKernel)(add, 2, 1, 1, 32, 1, 1, 0, nullptr, params));
  CHECK(download<uint32_t>(p, 40) == std::vector<uint32_t>(40, 6));
  EQUAL(CU(cuLaunchCooperativeKernel)(add, 1000000, 1, 1, 32, 1, 1, 0, nullptr, params),
        CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  attributes[1].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attributes[1].value.clusterDim = {2, 1, 1};
  EQUAL(CU(cuLaunchKernelEx)(&config, add, params, nullptr),
        CUDA_ERROR_INVALID_CLUSTER_SIZE);  // not before 9.0
}

// After a fault every later call answers with it, and the report is one paragraph.
static void check_sticky(CUresult expected) {
  EQUAL(CU(cuCtxSynchronize)(), expected);
  CUdeviceptr address = 0;
  CUstream stream = nullptr;
  CUmodule module = nullptr;
  uint32_t word = 0;
  EQUAL(CU(cuMemAlloc_v2)(&address, 16), expected);
  EQUAL(CU(cuStreamCreate)(&stream, 0), expected);
  EQUAL(CU(cuModuleLoadData)(&module, kernels), expected);
  EQUAL(CU(cuMemcpyDtoH_v2)(&word, address, 4), expected);
  EQUAL(CU(cuStreamSynchronize)(nullptr), expected);
  EQUAL(CU(cuCtxSynchronize)(), expected);
  const std::string text = reported();
  CHECK(!text.empty() && !contains(text, "\n\n"));
  // A reset brings the device back.
  OK(CU(cuDevicePrimaryCtxReset_v2)(0));
  const CUcontext fresh = start();
  CHECK(fresh != nullptr);
  const CUfunction add = function_of(load(), "add");
  const CUdeviceptr p = upload(std::vector<uint32_t>(10, 1));
  OK(launch(add, {1}, {32}, 0, nullptr, p, 1u, 10u));
  CHECK(download<uint32_t>(p, 10) == std::vector<uint32_t>(10, 2));
  EQUAL(reported(), text);
}

TEST(fault_out_of_bounds) {
  start();
  const CUfunction reach = function_of(load(), "reach");
  const CUdeviceptr p = upload(std::vector<uint32_t>(31, 1)), out = upload(std::vector<uint32_t>(32, 0));
  OK(launch(reach, {1}, {32}, 0, nullptr, p, out));
  EQUAL(CU(cuStreamSynchronize)(nullptr), CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(contains(reported(), "reach"));
  CHECK(contains(reported(), "ld.global"));
  CHECK(contains(reported(), "31"));  // the thread
  check_sticky(CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST(fault_near_miss_is_silent) {
  start();
  const CUfunction reach = function_of(load(), "reach");
  const CUdeviceptr p = upload(std::vector<uint32_t>(32, 1)), out = upload(std::vector<uint32_t>(32, 0));
  OK(launch(reach, {1}, {32}, 0, nullptr, p, out));
  OK(CU(cuCtxSynchronize)());
  EQUAL(reported(), "");
}

TEST(fault_unwritten_memory) {
  start();
  const CUfunction reach = function_of(load(), "reach");
  CUdeviceptr p = 0;
  OK(CU(cuMemAlloc_v2)(&p, 128));
  const CUdeviceptr out = upload(std::vector<uint32_t>(32, 0));
  OK(launch(reach, {1}, {32}, 0, nullptr, p, out));
  check_sticky(CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST(fault_freed_memory) {
  start();
  const CUfunction reach = function_of(load(), "reach");
  const CUdeviceptr p = upload(std::vector<uint32_t>(32, 1)), out = upload(std::vector<uint32_t>(32, 0));
  OK(CU(cuMemFree_v2)(p));
  OK(launch(reach, {1}, {32}, 0, nullptr, p, out));
  EQUAL(CU(cuCtxSynchronize)(), CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(contains(reported(), "freed"));
}

TEST(fault_misaligned) {
  start();
  const CUfunction reach = function_of(load(), "reach");
  const CUdeviceptr p = upload(std::vector<uint32_t>(40, 1)), out = upload(std::vector<uint32_t>(32, 0));
  OK(launch(reach, {1}, {32}, 0, nullptr, p + 2, out));
  check_sticky(CUDA_ERROR_MISALIGNED_ADDRESS);
}

TEST(fault_trap) {
  start();
  OK(launch(function_of(load(), "stop"), {1}, {32}, 0, nullptr));
  check_sticky(CUDA_ERROR_LAUNCH_FAILED);
}

TEST(fault_skips_what_waits) {
  start();
  const CUmodule module = load();
  static int called = 0;
  const CUdeviceptr p = upload(std::vector<uint32_t>(32, 1));
  const CUfunction add = function_of(module, "add");
  OK(launch(function_of(module, "stop"), {1}, {32}, 0, nullptr));
  CU(cuLaunchHostFunc)(nullptr, [](void*) { called++; }, nullptr);
  launch(add, {1}, {32}, 0, nullptr, p, 1u, 32u);  // may know of the fault already
  EQUAL(CU(cuCtxSynchronize)(), CUDA_ERROR_LAUNCH_FAILED);
  EQUAL(called, 0);
}

TEST(fault_in_one_context_only) {
  OK(CU(cuInit)(0));
  CUcontext a = nullptr, b = nullptr;
  OK(CU(cuCtxCreate_v2)(&a, 0, 0));
  OK(launch(function_of(load(), "stop"), {1}, {32}, 0, nullptr));
  EQUAL(CU(cuCtxSynchronize)(), CUDA_ERROR_LAUNCH_FAILED);
  OK(CU(cuCtxCreate_v2)(&b, 0, 0));
  const CUdeviceptr p = upload(std::vector<uint32_t>(8, 1));
  OK(launch(function_of(load(), "add"), {1}, {32}, 0, nullptr, p, 1u, 8u));
  CHECK(download<uint32_t>(p, 8) == std::vector<uint32_t>(8, 2));
}

static std::string counters_of_one_launch() {
  char path[] = "/tmp/emulator-counters-XXXXXX";
  close(mkstemp(path));
  setenv("EMULATOR_COUNTERS", path, 1);
  start();
  const CUdeviceptr p = upload(std::vector<uint32_t>(100, 1));
  OK(launch(function_of(load(), "add"), {2}, {64}, 0, nullptr, p, 1u, 100u));
  OK(CU(cuCtxSynchronize)());
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  unlink(path);
  return text.str();
}

TEST(counters_as_json) {
  const std::string line = counters_of_one_launch();
  CHECK(contains(line, "{\"kernel\":\"add\",\"grid\":[2,1,1],\"block\":[64,1,1],\"registers\":null"));
  // 100 lanes read 4 bytes each: 400 bytes in 13 sectors of 32, and as many are written.
  CHECK(contains(line, "\"globalRead\":{\"requests\":4,\"bytes\":400,\"sectors\":13,"));
  CHECK(contains(line, "\"globalWrite\":{\"requests\":4,\"bytes\":400,\"sectors\":13,"));
  CHECK(contains(line, "not measurements"));
  for (const char* name : {"\"A100\"", "\"RTX 4090\"", "\"H100\""}) CHECK(contains(line, name));
  EQUAL(line.back(), '\n');
  EQUAL(line.find('\n'), line.size() - 1);
}
