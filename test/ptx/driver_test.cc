// The driver through dlopen, as a program sees it: start-up, devices, contexts, lookups.
#include "driver_test.h"

using namespace driver_test;

TEST(device_needs_init) {
  int count = 0;
  EQUAL(CU(cuDeviceGetCount)(&count), CUDA_ERROR_NOT_INITIALIZED);
  EQUAL(CU(cuInit)(1), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuInit)(0));
  OK(CU(cuInit)(0));
  OK(CU(cuDeviceGetCount)(&count));
  EQUAL(count, 1);
  CUdevice device = -1;
  OK(CU(cuDeviceGet)(&device, 0));
  EQUAL(CU(cuDeviceGet)(&device, 1), CUDA_ERROR_INVALID_DEVICE);
  CUdeviceptr address = 0;
  EQUAL(CU(cuMemAlloc_v2)(&address, 4), CUDA_ERROR_INVALID_CONTEXT);
  int version = 0;
  OK(CU(cuDriverGetVersion)(&version));
  CHECK(version >= 13000);
}

static int attribute(int which) {
  int value = -1;
  OK(CU(cuDeviceGetAttribute)(&value, which, 0));
  return value;
}

// The CUDA C++ Programming Guide's table of technical specifications, by hand.
static void check_profile(const char* setting, int major, int minor, int threads, int blocks,
                          int shared_total, int shared_optin, int reserved) {
  setenv("EMULATOR_DEVICE", setting, 1);
  OK(CU(cuInit)(0));
  EQUAL(attribute(75), major);
  EQUAL(attribute(76), minor);
  EQUAL(attribute(39), threads);
  EQUAL(attribute(106), blocks);
  EQUAL(attribute(81), shared_total * 1024);
  EQUAL(attribute(97), shared_optin * 1024);
  EQUAL(attribute(111), reserved);
  EQUAL(attribute(1), 1024);
  EQUAL(attribute(8), 49152);
  EQUAL(attribute(10), 32);
  EQUAL(attribute(12), 65536);
  EQUAL(attribute(82), 65536);
  EQUAL(attribute(120), major >= 9 ? 1 : 0);
  int value = 0;
  EQUAL(CU(cuDeviceGetAttribute)(&value, 0, 0), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuDeviceGetAttribute)(&value, 100000, 0), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuDeviceGetAttribute)(&value, 1, 1), CUDA_ERROR_INVALID_DEVICE);
  int a = 0, b = 0;
  OK(CU(cuDeviceComputeCapability)(&a, &b, 0));
  EQUAL(a * 10 + b, major * 10 + minor);
}

TEST(profile_75) { check_profile("7.5", 7, 5, 1024, 16, 64, 64, 0); }
TEST(profile_80) { check_profile("8.0", 8, 0, 2048, 32, 164, 163, 1024); }
TEST(profile_86) { check_profile("8.6", 8, 6, 1536, 16, 100, 99, 1024); }
TEST(profile_89) { check_profile("8.9", 8, 9, 1536, 24, 100, 99, 1024); }
TEST(profile_90) { check_profile("9.0", 9, 0, 2048, 32, 228, 227, 1024); }
TEST(profile_100) { check_profile("10.0", 10, 0, 2048, 32, 228, 227, 1024); }
TEST(profile_120) { check_profile("12.0", 12, 0, 1536, 24, 100, 99, 1024); }

TEST(profile_default_is_80) {
  unsetenv("EMULATOR_DEVICE");
  OK(CU(cuInit)(0));
  EQUAL(attribute(75) * 10 + attribute(76), 80);
  char name[100] = "";
  OK(CU(cuDeviceGetName)(name, sizeof name, 0));
  CHECK(contains(name, "Emulated GPU"));
  OK(CU(cuDeviceGetName)(name, 5, 0));
  EQUAL(std::string(name), "Emul");
  CUuuid uuid = {}, zero = {};
  OK(CU(cuDeviceGetUuid_v2)(&uuid, 0));
  CHECK(std::memcmp(&uuid, &zero, sizeof uuid) != 0);
  char bus[20] = "";
  OK(CU(cuDeviceGetPCIBusId)(bus, sizeof bus, 0));
  CUdevice device = -1;
  OK(CU(cuDeviceGetByPCIBusId)(&device, bus));
  EQUAL(device, 0);
}

static void refuses(const char* variable, const char* value) {
  setenv(variable, value, 1);
  EQUAL(CU(cuInit)(0), CUDA_ERROR_INVALID_VALUE);
  CHECK(contains(reported(), variable));
  CHECK(contains(reported(), value));
}

TEST(settings_bad_device) { refuses("EMULATOR_DEVICE", "6.1"); }
TEST(settings_bad_device_text) { refuses("EMULATOR_DEVICE", "8.0x"); }
TEST(settings_bad_order) { refuses("EMULATOR_ORDER", "sideways"); }
TEST(settings_bad_checks) { refuses("EMULATOR_CHECKS", "some"); }
TEST(settings_bad_seed) { refuses("EMULATOR_SEED", "-1"); }
TEST(settings_bad_registers) { refuses("EMULATOR_REGISTERS", "/nowhere/registers"); }

TEST(settings_memory) {
  setenv("EMULATOR_MEMORY", "64", 1);
  start();
  size_t bytes = 0, free = 0, total = 0;
  OK(CU(cuDeviceTotalMem_v2)(&bytes, 0));
  EQUAL(bytes, size_t(64) << 20);
  OK(CU(cuMemGetInfo_v2)(&free, &total));
  EQUAL(total, bytes);
  EQUAL(free, bytes);
  CUdeviceptr a = 0, b = 0;
  OK(CU(cuMemAlloc_v2)(&a, 48 << 20));
  EQUAL(CU(cuMemAlloc_v2)(&b, 48 << 20), CUDA_ERROR_OUT_OF_MEMORY);
  OK(CU(cuMemGetInfo_v2)(&free, &total));
  CHECK(free <= size_t(16) << 20);
  OK(CU(cuMemFree_v2)(a));
  OK(CU(cuMemAlloc_v2)(&b, 48 << 20));
}

TEST(errors_have_names) {
  const char* text = nullptr;
  OK(CU(cuGetErrorName)(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  EQUAL(std::string(text), "CUDA_ERROR_ILLEGAL_ADDRESS");
  OK(CU(cuGetErrorString)(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  CHECK(contains(text, "illegal memory access"));
  OK(CU(cuGetErrorName)(CUDA_SUCCESS, &text));
  EQUAL(std::string(text), "CUDA_SUCCESS");
  EQUAL(CU(cuGetErrorName)(static_cast<CUresult>(12345), &text), CUDA_ERROR_INVALID_VALUE);
  CHECK(text == nullptr);
}

TEST(contexts_primary) {
  OK(CU(cuInit)(0));
  unsigned flags = 9;
  int active = 9;
  OK(CU(cuDevicePrimaryCtxGetState)(0, &flags, &active));
  EQUAL(active, 0);
  EQUAL(CU(cuDevicePrimaryCtxRelease_v2)(0), CUDA_ERROR_INVALID_CONTEXT);
  CUcontext a = nullptr, b = nullptr;
  OK(CU(cuDevicePrimaryCtxSetFlags_v2)(0, 4));
  OK(CU(cuDevicePrimaryCtxRetain)(&a, 0));
  OK(CU(cuDevicePrimaryCtxRetain)(&b, 0));
  CHECK(a == b);
  OK(CU(cuCtxSetCurrent)(a));
  OK(CU(cuCtxGetFlags)(&flags));
  EQUAL(flags, 4u);
  CUdeviceptr address = 0;
  OK(CU(cuMemAlloc_v2)(&address, 100));
  OK(CU(cuDevicePrimaryCtxRelease_v2)(0));
  OK(CU(cuMemsetD8_v2)(address, 0, 100));
  OK(CU(cuDevicePrimaryCtxRelease_v2)(0));
  EQUAL(CU(cuMemsetD8_v2)(address, 0, 100), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  OK(CU(cuDevicePrimaryCtxRetain)(&a, 0));
  OK(CU(cuCtxSetCurrent)(a));
  EQUAL(CU(cuMemsetD8_v2)(address, 0, 100), CUDA_ERROR_INVALID_VALUE);  // went with its context
}

TEST(contexts_stack) {
  OK(CU(cuInit)(0));
  CUcontext a = nullptr, b = nullptr, now = nullptr;
  EQUAL(CU(cuCtxPopCurrent_v2)(&now), CUDA_ERROR_INVALID_CONTEXT);
  OK(CU(cuCtxCreate_v2)(&a, 0, 0));
  OK(CU(cuCtxCreate_v4)(&b, nullptr, 0, 0));
  OK(CU(cuCtxGetCurrent)(&now));
  CHECK(now == b);
  OK(CU(cuCtxPopCurrent_v2)(&now));
  CHECK(now == b);
  OK(CU(cuCtxGetCurrent)(&now));
  CHECK(now == a);
  OK(CU(cuCtxPushCurrent_v2)(b));
  OK(CU(cuCtxDestroy_v2)(b));
  OK(CU(cuCtxGetCurrent)(&now));
  CHECK(now == a);
  EQUAL(CU(cuCtxPushCurrent_v2)(b), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EQUAL(CU(cuCtxSetCurrent)(reinterpret_cast<CUcontext>(&now)), CUDA_ERROR_INVALID_CONTEXT);
  unsigned long long first = 0;
  OK(CU(cuCtxGetId)(a, &first));
  CHECK(first > 0);
  size_t limit = 0;
  OK(CU(cuCtxSetLimit)(CU_LIMIT_STACK_SIZE, 4096));
  OK(CU(cuCtxGetLimit)(&limit, CU_LIMIT_STACK_SIZE));
  EQUAL(limit, size_t(4096));
  int least = 1, greatest = 1;
  OK(CU(cuCtxGetStreamPriorityRange)(&least, &greatest));
  CHECK(greatest < least);
}

template <class F>
static F* proc(const char* name, int version, uint64_t flags, int* status) {
  void* found = nullptr;
  CU(cuGetProcAddress_v2)(name, &found, version, flags, status);
  return reinterpret_cast<F*>(found);
}

TEST(lookup_versions) {
  int status = -1;
  using Create2 = decltype(cuCtxCreate_v2);
  CHECK(proc<Create2>("cuCtxCreate", 11030, 0, &status) == CU(cuCtxCreate_v2));
  EQUAL(status, 0);
  CHECK(reinterpret_cast<void*>(proc<Create2>("cuCtxCreate", 13000, 0, &status)) ==
        reinterpret_cast<void*>(CU(cuCtxCreate_v4)));
  CHECK(proc<Create2>("cuMemAlloc", 2000, 0, &status) == nullptr);
  EQUAL(status, 2);
  CHECK(proc<Create2>("cuNoSuchThing", 13000, 0, &status) == nullptr);
  EQUAL(status, 1);
  void* found = nullptr;
  EQUAL(CU(cuGetProcAddress_v2)("cuNoSuchThing", &found, 13000, 0, nullptr), CUDA_ERROR_NOT_FOUND);
  EQUAL(CU(cuGetProcAddress)("cuGraphInstantiate", &found, 12000, 0), CUDA_SUCCESS);
  CHECK(found == reinterpret_cast<void*>(CU(cuGraphInstantiateWithFlags)));
}

TEST(lookup_missing_is_said_once) {
  auto* const absent = client::find<CUresult()>("cuTexObjectCreate");
  EQUAL(absent(), CUDA_ERROR_NOT_SUPPORTED);
  EQUAL(absent(), CUDA_ERROR_NOT_SUPPORTED);
  EQUAL(reported(), "emulated GPU: cuTexObjectCreate is not supported\n");
  auto* const old = find<CUresult()>("cuMemAlloc");
  EQUAL(old(), CUDA_ERROR_NOT_SUPPORTED);
  CHECK(contains(reported(), "cuMemAlloc_v2"));
}

TEST(lookup_per_thread_variants) {
  start();
  unsigned long long legacy = 0, own = 0, own_again = 0;
  int status = -1;
  OK(CU(cuStreamGetId)(nullptr, &legacy));
  OK(proc<decltype(cuStreamGetId)>("cuStreamGetId", 13000, 2, &status)(nullptr, &own));
  OK(find<decltype(cuStreamGetId)>("cuStreamGetId_ptsz")(nullptr, &own_again));
  CHECK(legacy != own);
  EQUAL(own, own_again);
  // Many arguments, some of them on the stack, arrive whole.
  const CUmodule module = load();
  const CUdeviceptr p = upload(std::vector<uint32_t>(40, 1));
  uint32_t value = 5, n = 40;
  CUdeviceptr address = p;
  void* params[] = {&address, &value, &n};
  OK(find<decltype(cuLaunchKernel)>("cuLaunchKernel_ptsz")(function_of(module, "add"), 2, 1, 1, 32, 1, 1, 0,
                                                           nullptr, params, nullptr));
  OK(CU(cuCtxSynchronize)());
  CHECK(download<uint32_t>(p, 40) == std::vector<uint32_t>(40, 6));
}

int main(int count, char** arguments) { return run_all(count, arguments); }
