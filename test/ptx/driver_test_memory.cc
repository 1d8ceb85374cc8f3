// Memory: allocations, copies of every kind, fills, pointer attributes, pools.
#include "driver_test.h"

using namespace driver_test;

static std::vector<uint8_t> pattern(size_t count, unsigned seed = 1) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; i++) bytes[i] = static_cast<uint8_t>((i * 2654435761u + seed) >> 7);
  return bytes;
}

TEST(memory_allocations) {
  start();
  CUdeviceptr a = 0, base = 0;
  size_t bytes = 0;
  EQUAL(CU(cuMemAlloc_v2)(&a, 0), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemAlloc_v2)(nullptr, 4), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemAlloc_v2)(&a, size_t(1) << 60), CUDA_ERROR_OUT_OF_MEMORY);
  OK(CU(cuMemAlloc_v2)(&a, 1000));
  EQUAL(a % 256, 0ull);
  OK(CU(cuMemGetAddressRange_v2)(&base, &bytes, a + 999));
  EQUAL(base, a);
  EQUAL(bytes, size_t(1000));
  EQUAL(CU(cuMemGetAddressRange_v2)(&base, &bytes, a + 1000), CUDA_ERROR_NOT_FOUND);
  EQUAL(CU(cuMemFree_v2)(a + 4), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuMemFree_v2)(0));
  OK(CU(cuMemFree_v2)(a));
  EQUAL(CU(cuMemFree_v2)(a), CUDA_ERROR_INVALID_VALUE);
  CHECK(contains(reported(), "freed"));
}

TEST(memory_copies_are_bounded) {
  start();
  const auto bytes = pattern(64);
  const CUdeviceptr a = upload(bytes), b = upload(bytes);
  std::vector<uint8_t> out(100);
  EQUAL(CU(cuMemcpyHtoD_v2)(a, out.data(), 65), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemcpyDtoH_v2)(out.data(), a + 1, 64), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemcpyDtoD_v2)(a, b + 60, 5), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemcpyDtoH_v2)(out.data(), 16, 4), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemcpyDtoH_v2)(nullptr, a, 4), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemsetD32_v2)(a, 0, 17), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemsetD32_v2)(a + 2, 0, 1), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuMemcpyHtoD_v2)(a, out.data(), ~size_t(0)), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuMemcpyHtoD_v2)(0, nullptr, 0));
  CHECK(contains(reported(), "past the end") || contains(reported(), "64 bytes"));
  CHECK(download<uint8_t>(a, 64) == bytes);
}

TEST(memory_unified_copies) {
  start();
  const auto bytes = pattern(100);
  const CUdeviceptr a = upload(std::vector<uint8_t>(100)), b = upload(std::vector<uint8_t>(100));
  std::vector<uint8_t> out(100);
  OK(CU(cuMemcpy)(a, reinterpret_cast<CUdeviceptr>(bytes.data()), 100));
  OK(CU(cuMemcpy)(b, a, 100));
  OK(CU(cuMemcpy)(reinterpret_cast<CUdeviceptr>(out.data()), b, 100));
  CHECK(out == bytes);
  OK(CU(cuMemcpyPeer)(a, nullptr, b, nullptr, 100));
}

TEST(memory_2d_and_3d) {
  start();
  CUdeviceptr image = 0;
  size_t pitch = 0;
  const size_t width = 33, height = 7, depth = 3;
  OK(CU(cuMemAllocPitch_v2)(&image, &pitch, width, height * depth, 4));
  CHECK(pitch >= width && pitch % 256 == 0);
  OK(CU(cuMemsetD2D8_v2)(image, pitch, 0xee, pitch, height * depth));
  const auto bytes = pattern(width * height * depth);
  CUDA_MEMCPY2D up = {};
  up.srcMemoryType = CU_MEMORYTYPE_HOST, up.srcHost = bytes.data(), up.srcPitch = width;
  up.dstMemoryType = CU_MEMORYTYPE_DEVICE, up.dstDevice = image, up.dstPitch = pitch;
  up.WidthInBytes = width, up.Height = height * depth;
  OK(CU(cuMemcpy2D_v2)(&up));
  // Column 1 to 31 of rows 2 to 5, and nothing beside it.
  std::vector<uint8_t> out(30 * 4, 0);
  CUDA_MEMCPY2D down = {};
  down.srcMemoryType = CU_MEMORYTYPE_UNIFIED, down.srcDevice = image, down.srcPitch = pitch;
  down.srcXInBytes = 1, down.srcY = 2;
  down.dstMemoryType = CU_MEMORYTYPE_HOST, down.dstHost = out.data();
  down.WidthInBytes = 30, down.Height = 4;
  OK(CU(cuMemcpy2D_v2)(&down));
  bool same = true;
  for (size_t y = 0; y < 4; y++) {
    for (size_t x = 0; x < 30; x++) same = same && out[y * 30 + x] == bytes[(y + 2) * width + x + 1];
  }
  CHECK(same);
  // Slice 1 alone, through a 3D copy.
  std::vector<uint8_t> slice(width * height);
  CUDA_MEMCPY3D box = {};
  box.srcMemoryType = CU_MEMORYTYPE_DEVICE, box.srcDevice = image, box.srcPitch = pitch,
  box.srcHeight = height;
  box.srcZ = 1;
  box.dstMemoryType = CU_MEMORYTYPE_HOST, box.dstHost = slice.data(), box.dstPitch = width,
  box.dstHeight = height;
  box.WidthInBytes = width, box.Height = height, box.Depth = 1;
  OK(CU(cuMemcpy3D_v2)(&box));
  CHECK(std::memcmp(slice.data(), bytes.data() + width * height, slice.size()) == 0);
  box.srcZ = 3;
  EQUAL(CU(cuMemcpy3D_v2)(&box), CUDA_ERROR_INVALID_VALUE);
  box.srcZ = ~size_t(0);
  EQUAL(CU(cuMemcpy3D_v2)(&box), CUDA_ERROR_INVALID_VALUE);
  down.srcPitch = 29;  // rows would overlap
  EQUAL(CU(cuMemcpy2D_v2)(&down), CUDA_ERROR_INVALID_VALUE);
  down.srcPitch = pitch;
  down.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  EQUAL(CU(cuMemcpy2D_v2)(&down), CUDA_ERROR_NOT_SUPPORTED);
}

TEST(memory_fills) {
  start();
  const CUdeviceptr a = upload(std::vector<uint8_t>(64, 1));
  OK(CU(cuMemsetD8_v2)(a, 0xab, 3));
  OK(CU(cuMemsetD16_v2)(a + 4, 0x1234, 3));
  OK(CU(cuMemsetD32_v2)(a + 12, 0x89abcdef, 2));
  OK(CU(cuMemsetD2D16_v2)(a + 32, 8, 0x5566, 1, 3));
  const auto out = download<uint8_t>(a, 64);
  const uint8_t expected[] = {0xab, 0xab, 0xab, 1,    0x34, 0x12, 0x34, 0x12, 0x34, 0x12, 1,
                              1,    0xef, 0xcd, 0xab, 0x89, 0xef, 0xcd, 0xab, 0x89, 1};
  CHECK(std::memcmp(out.data(), expected, sizeof expected) == 0);
  const uint8_t rows[] = {0x66, 0x55, 1, 1, 1, 1, 1, 1, 0x66, 0x55, 1, 1, 1, 1, 1, 1, 0x66, 0x55, 1};
  CHECK(std::memcmp(out.data() + 32, rows, sizeof rows) == 0);
}

TEST(memory_pinned) {
  start();
  const CUfunction add = function_of(load(), "add");
  void* host = nullptr;
  OK(CU(cuMemHostAlloc)(&host, 400, 2));
  auto* const words = static_cast<uint32_t*>(host);
  for (int i = 0; i < 100; i++) words[i] = static_cast<uint32_t>(i);
  CUdeviceptr device = 0;
  OK(CU(cuMemHostGetDevicePointer_v2)(&device, host, 0));
  OK(launch(add, {4}, {32}, 0, nullptr, device, 5u, 100u));
  OK(CU(cuCtxSynchronize)());
  EQUAL(words[99], 104u);
  unsigned flags = 0;
  OK(CU(cuMemHostGetFlags)(&flags, host));
  EQUAL(flags & 2, 2u);
  EQUAL(CU(cuMemFree_v2)(device), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuMemFreeHost)(host));
  EQUAL(CU(cuMemFreeHost)(host), CUDA_ERROR_INVALID_VALUE);
}

TEST(memory_registered) {
  start();
  const CUfunction add = function_of(load(), "add");
  std::vector<uint32_t> words(100, 1);
  OK(CU(cuMemHostRegister_v2)(words.data(), 400, 0));
  EQUAL(CU(cuMemHostRegister_v2)(words.data(), 400, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  CUdeviceptr device = 0;
  OK(CU(cuMemHostGetDevicePointer_v2)(&device, words.data(), 0));
  OK(launch(add, {4}, {32}, 0, nullptr, device, 5u, 100u));
  OK(CU(cuCtxSynchronize)());
  EQUAL(words[99], 6u);
  OK(CU(cuMemHostUnregister)(words.data()));
  EQUAL(CU(cuMemHostUnregister)(words.data()), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  OK(launch(add, {4}, {32}, 0, nullptr, device, 5u, 100u));
  EQUAL(CU(cuCtxSynchronize)(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST(memory_managed) {
  start();
  const CUfunction add = function_of(load(), "add");
  CUdeviceptr managed = 0;
  EQUAL(CU(cuMemAllocManaged)(&managed, 400, 0), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuMemAllocManaged)(&managed, 400, 1));
  auto* const words = reinterpret_cast<uint32_t*>(managed);
  for (int i = 0; i < 100; i++) words[i] = 1;
  OK(CU(cuMemPrefetchAsync)(managed, 400, 0, nullptr));
  OK(launch(add, {4}, {32}, 0, nullptr, managed, 5u, 100u));
  OK(CU(cuCtxSynchronize)());
  EQUAL(words[99], 6u);
  OK(CU(cuMemFree_v2)(managed));
}

TEST(memory_pointer_attributes) {
  start();
  CUdeviceptr a = 0, managed = 0;
  void* host = nullptr;
  OK(CU(cuMemAlloc_v2)(&a, 100));
  OK(CU(cuMemAllocManaged)(&managed, 100, 1));
  OK(CU(cuMemAllocHost_v2)(&host, 100));
  CUmemorytype type = CU_MEMORYTYPE_ARRAY;
  OK(CU(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, a + 5));
  EQUAL(int(type), int(CU_MEMORYTYPE_DEVICE));
  OK(CU(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                               reinterpret_cast<CUdeviceptr>(host)));
  EQUAL(int(type), int(CU_MEMORYTYPE_HOST));
  unsigned is_managed = 9;
  OK(CU(cuPointerGetAttribute)(&is_managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, managed));
  EQUAL(is_managed, 1u);
  CUdeviceptr base = 0;
  OK(CU(cuPointerGetAttribute)(&base, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, a + 99));
  EQUAL(base, a);
  int local = 0;
  const auto address = reinterpret_cast<CUdeviceptr>(&local);
  EQUAL(CU(cuPointerGetAttribute)(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address),
        CUDA_ERROR_INVALID_VALUE);
  int ordinal = 7;
  CUcontext context = reinterpret_cast<CUcontext>(&local);
  CUpointer_attribute wanted[] = {CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_CONTEXT};
  void* values[] = {&ordinal, &context};
  OK(CU(cuPointerGetAttributes)(2, wanted, values, address));
  CHECK(context == nullptr && ordinal == -2);
  OK(CU(cuPointerGetAttributes)(2, wanted, values, a));
  CHECK(context != nullptr && ordinal == 0);
}

TEST(memory_pools) {
  start();
  const CUfunction add = function_of(load(), "add");
  CUstream stream = nullptr;
  OK(CU(cuStreamCreate)(&stream, 1));
  CUmemoryPool pool = nullptr;
  OK(CU(cuDeviceGetDefaultMemPool)(&pool, 0));
  uint64_t threshold = 1 << 20, used = 9;
  OK(CU(cuMemPoolSetAttribute)(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
  threshold = 0;
  OK(CU(cuMemPoolGetAttribute)(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
  EQUAL(threshold, uint64_t(1) << 20);
  CUdeviceptr a = 0;
  OK(CU(cuMemAllocAsync)(&a, 400, stream));
  OK(CU(cuMemPoolGetAttribute)(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  EQUAL(used, uint64_t(400));
  OK(CU(cuMemsetD32Async)(a, 1, 100, stream));
  OK(launch(add, {4}, {32}, 0, stream, a, 5u, 100u));
  std::vector<uint32_t> out(100);
  OK(CU(cuMemcpyDtoHAsync_v2)(out.data(), a, 400, stream));
  OK(CU(cuMemFreeAsync)(a, stream));
  OK(CU(cuStreamSynchronize)(stream));
  CHECK(out == std::vector<uint32_t>(100, 6));
  OK(CU(cuMemPoolGetAttribute)(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  EQUAL(used, uint64_t(0));
  EQUAL(CU(cuMemFreeAsync)(a, stream), CUDA_ERROR_INVALID_VALUE);
  CUmemPoolProps properties = {};
  properties.allocType = 1;
  properties.location = {1, 0};
  CUmemoryPool mine = nullptr;
  OK(CU(cuMemPoolCreate)(&mine, &properties));
  OK(CU(cuMemAllocFromPoolAsync)(&a, 16, mine, stream));
  OK(CU(cuMemFree_v2)(a));  // as the manual allows
  OK(CU(cuMemPoolDestroy)(mine));
  EQUAL(CU(cuMemPoolDestroy)(pool), CUDA_ERROR_INVALID_VALUE);
}

TEST(memory_free_waits_for_work) {
  start();
  const CUfunction add = function_of(load(), "add");
  const CUdeviceptr a = upload(std::vector<uint32_t>(100, 1));
  CUstream stream = nullptr;
  OK(CU(cuStreamCreate)(&stream, 1));
  const auto pause = [](void*) { usleep(20000); };
  OK(CU(cuLaunchHostFunc)(stream, pause, nullptr));
  OK(launch(add, {4}, {32}, 0, stream, a, 5u, 100u));
  OK(CU(cuMemFree_v2)(a));
  OK(CU(cuCtxSynchronize)());
  EQUAL(reported(), "");
}

TEST(memory_freed_in_order) {
  start();
  const CUfunction add = function_of(load(), "add");
  CUstream stream = nullptr;
  OK(CU(cuStreamCreate)(&stream, 1));
  CUdeviceptr a = 0;
  OK(CU(cuMemAllocAsync)(&a, 400, stream));
  OK(CU(cuMemsetD32Async)(a, 1, 100, stream));
  OK(CU(cuMemFreeAsync)(a, stream));
  OK(launch(add, {4}, {32}, 0, stream, a, 5u, 100u));  // a use after the free
  EQUAL(CU(cuStreamSynchronize)(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(contains(reported(), "freed"));
}

TEST(memory_host_reads_of_nothing) {
  setenv("EMULATOR_HOST_READS", "warn", 1);
  start();
  CUdeviceptr a = 0;
  OK(CU(cuMemAlloc_v2)(&a, 100));
  OK(CU(cuMemsetD8_v2)(a, 1, 50));
  std::vector<uint8_t> out(100);
  OK(CU(cuMemcpyDtoH_v2)(out.data(), a, 50));
  EQUAL(reported(), "");
  OK(CU(cuMemcpyDtoH_v2)(out.data(), a, 100));
  CHECK(contains(reported(), "nobody wrote"));
}
