// Modules, libraries, functions, the JIT linker; fatbins by hand and wrapped.
#include "driver_test.h"

using namespace driver_test;

TEST(module_functions) {
  start();
  const CUmodule module = load();
  unsigned count = 0;
  OK(CU(cuModuleGetFunctionCount)(&count, module));
  EQUAL(count, 6u);
  CUfunction functions[6] = {};
  OK(CU(cuModuleEnumerateFunctions)(functions, 6, module));
  const char* name = nullptr;
  OK(CU(cuFuncGetName)(&name, functions[0]));
  EQUAL(std::string(name), "add");
  CUmodule owner = nullptr;
  OK(CU(cuFuncGetModule)(&owner, functions[0]));
  CHECK(owner == module);
  CUfunction function = nullptr;
  EQUAL(CU(cuModuleGetFunction)(&function, module, "subtract"), CUDA_ERROR_NOT_FOUND);
  size_t offset = 0, size = 0;
  OK(CU(cuFuncGetParamInfo)(function_of(module, "pair"), 2, &offset, &size));
  EQUAL(offset, size_t(16));
  EQUAL(size, size_t(8));
  EQUAL(CU(cuFuncGetParamInfo)(function_of(module, "pair"), 3, &offset, &size), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuModuleUnload)(module));
  EQUAL(CU(cuModuleUnload)(module), CUDA_ERROR_INVALID_HANDLE);
  EQUAL(CU(cuFuncGetName)(&name, functions[0]), CUDA_ERROR_INVALID_HANDLE);
}

TEST(module_globals) {
  start();
  const CUmodule module = load();
  CUdeviceptr address = 0;
  size_t bytes = 0;
  OK(CU(cuModuleGetGlobal_v2)(&address, &bytes, module, "counter"));
  EQUAL(bytes, size_t(4));
  EQUAL(download<uint32_t>(address, 1)[0], 7u);
  OK(CU(cuModuleGetGlobal_v2)(&address, &bytes, module, "table"));
  EQUAL(bytes, size_t(24));
  CHECK(download<uint8_t>(address, 24) == std::vector<uint8_t>(24, 0));
  EQUAL(CU(cuModuleGetGlobal_v2)(&address, &bytes, module, "chair"), CUDA_ERROR_NOT_FOUND);
}

TEST(module_errors_fill_the_log) {
  start();
  char log[400] = "before";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_WALL_TIME};
  void* values[] = {log, reinterpret_cast<void*>(sizeof log), nullptr};
  CUmodule module = nullptr;
  const char* text =
      ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry f()\n{\n  frobnicate.s32 1;\n}\n";
  const CUresult error = CU(cuModuleLoadDataEx)(&module, text, 3, options, values);
  EQUAL(error, CUDA_ERROR_INVALID_PTX);
  CHECK(contains(log, "frobnicate"));
  CHECK(contains(log, "6"));  // the line
  EQUAL(reinterpret_cast<size_t>(values[1]), std::strlen(log) + 1);
  CHECK(contains(reported(), "frobnicate"));
  char small[9] = "xxxxxxxx";
  void* tight[] = {small, reinterpret_cast<void*>(8), nullptr};
  EQUAL(CU(cuModuleLoadDataEx)(&module, text, 3, options, tight), CUDA_ERROR_INVALID_PTX);
  EQUAL(std::strlen(small), size_t(7));
  void* good[] = {log, reinterpret_cast<void*>(sizeof log), nullptr};
  OK(CU(cuModuleLoadDataEx)(&module, kernels, 3, options, good));
  EQUAL(reinterpret_cast<size_t>(good[1]), size_t(0));
}

TEST(module_refuses_newer_targets) {
  start();
  CUmodule module = nullptr;
  const char* text = ".version 8.0\n.target sm_90\n.address_size 64\n.visible .entry f()\n{\n  ret;\n}\n";
  EQUAL(CU(cuModuleLoadData)(&module, text), CUDA_ERROR_INVALID_PTX);
  CHECK(contains(reported(), "sm_90"));
  EQUAL(CU(cuModuleLoadData)(&module, "\177ELF\2\1\1"), CUDA_ERROR_NO_BINARY_FOR_GPU);
  EQUAL(CU(cuModuleLoadData)(&module, nullptr), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuModuleLoad)(&module, "/nowhere.ptx"), CUDA_ERROR_FILE_NOT_FOUND);
}

// A fatbin with the given PTX texts, each for its SM.
static std::vector<uint8_t> fatbin_of(const std::vector<std::pair<int, std::string>>& texts,
                                      uint64_t flags = 0x11) {
  std::vector<uint8_t> image(16);
  for (const auto& [sm, text] : texts) {
    std::string stored = text;
    stored.resize((text.size() + 8) / 8 * 8);
    uint8_t header[64] = {};
    const uint16_t kind = 1;
    const uint32_t bytes = 64, arch = static_cast<uint32_t>(sm);
    const uint64_t size = stored.size();
    std::memcpy(header, &kind, 2), std::memcpy(header + 4, &bytes, 4), std::memcpy(header + 8, &size, 8);
    std::memcpy(header + 28, &arch, 4), std::memcpy(header + 40, &flags, 8);
    image.insert(image.end(), header, header + 64);
    image.insert(image.end(), stored.begin(), stored.end());
  }
  const uint32_t magic = 0xba55ed50, version = 1 | 16 << 16;
  const uint64_t payload = image.size() - 16;
  std::memcpy(image.data(), &magic, 4), std::memcpy(image.data() + 4, &version, 4);
  std::memcpy(image.data() + 8, &payload, 8);
  return image;
}

static std::string entry(const char* name, int sm) {
  return ".version 8.0\n.target sm_" + std::to_string(sm) + "\n.address_size 64\n.visible .entry " + name +
         "()\n{\n  ret;\n}\n";
}

TEST(module_fatbin_takes_the_highest_that_fits) {
  start();
  const auto image = fatbin_of({{75, entry("a75", 75)}, {80, entry("a80", 80)}, {90, entry("a90", 90)}});
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  OK(CU(cuModuleLoadFatBinary)(&module, image.data()));
  OK(CU(cuModuleGetFunction)(&function, module, "a80"));
  struct {
    uint32_t magic = 0x466243b1, version = 1;
    const void* data;
    void* file = nullptr;
  } wrapper;
  wrapper.data = image.data();
  OK(CU(cuModuleLoadData)(&module, &wrapper));
  OK(CU(cuModuleGetFunction)(&function, module, "a80"));
  const auto newer = fatbin_of({{90, entry("a90", 90)}});
  EQUAL(CU(cuModuleLoadData)(&module, newer.data()), CUDA_ERROR_NO_BINARY_FOR_GPU);
  CHECK(contains(reported(), "compute_90"));
  const auto packed = fatbin_of({{80, "garbage"}}, 0x8011);
  EQUAL(CU(cuModuleLoadData)(&module, packed.data()), CUDA_ERROR_NO_BINARY_FOR_GPU);
  CHECK(contains(reported(), "--no-compress"));
}

TEST(library_kernels) {
  start();
  CUlibrary library = nullptr;
  OK(CU(cuLibraryLoadData)(&library, kernels, nullptr, nullptr, 0, nullptr, nullptr, 0));
  unsigned count = 0;
  OK(CU(cuLibraryGetKernelCount)(&count, library));
  EQUAL(count, 6u);
  CUkernel kernel = nullptr;
  OK(CU(cuLibraryGetKernel)(&kernel, library, "add"));
  EQUAL(CU(cuLibraryGetKernel)(&kernel, library, "subtract"), CUDA_ERROR_NOT_FOUND);
  CUfunction function = nullptr;
  OK(CU(cuKernelGetFunction)(&function, kernel));
  const CUdeviceptr p = upload(std::vector<uint32_t>(33, 1));
  OK(launch(function, {2}, {32}, 0, nullptr, p, 2u, 33u));
  OK(launch(reinterpret_cast<CUfunction>(kernel), {2}, {32}, 0, nullptr, p, 2u,
            33u));  // as the manual allows
  CHECK(download<uint32_t>(p, 33) == std::vector<uint32_t>(33, 5));
  int value = 0;
  OK(CU(cuKernelGetAttribute)(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, kernel, 0));
  EQUAL(value, 1024);
  CUmodule module = nullptr;
  OK(CU(cuLibraryGetModule)(&module, library));
  EQUAL(CU(cuModuleUnload)(module), CUDA_ERROR_INVALID_HANDLE);
  OK(CU(cuLibraryUnload)(library));
  EQUAL(CU(cuLibraryUnload)(library), CUDA_ERROR_INVALID_HANDLE);
}

TEST(link_one_image) {
  start();
  CUlinkState state = nullptr;
  void* image = nullptr;
  size_t bytes = 0;
  OK(CU(cuLinkCreate_v2)(0, nullptr, nullptr, &state));
  EQUAL(CU(cuLinkComplete)(state, &image, &bytes), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuLinkAddData_v2)(state, 1, const_cast<char*>(kernels), std::strlen(kernels), "k", 0, nullptr,
                          nullptr));
  OK(CU(cuLinkComplete)(state, &image, &bytes));
  CUmodule module = nullptr;
  OK(CU(cuModuleLoadData)(&module, image));
  function_of(module, "add");
  OK(CU(cuLinkDestroy)(state));
  EQUAL(CU(cuLinkDestroy)(state), CUDA_ERROR_INVALID_HANDLE);
}

TEST(function_attributes) {
  start();
  const CUfunction tile = function_of(load(), "tile");
  int value = 0;
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, tile));
  EQUAL(value, 49152);
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_PTX_VERSION, tile));
  EQUAL(value, 75);
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_BINARY_VERSION, tile));
  EQUAL(value, 80);
  EQUAL(CU(cuFuncSetAttribute)(tile, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 163 * 1024 + 1),
        CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuFuncSetAttribute)(tile, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 163 * 1024));
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, tile));
  EQUAL(value, 163 * 1024);
  EQUAL(CU(cuFuncSetAttribute)(tile, CU_FUNC_ATTRIBUTE_NUM_REGS, 10), CUDA_ERROR_INVALID_VALUE);
  EQUAL(CU(cuFuncGetAttribute)(&value, static_cast<CUfunction_attribute>(99), tile),
        CUDA_ERROR_INVALID_VALUE);
}

static void with_registers(const char* text) {
  char path[] = "/tmp/emulator-registers-XXXXXX";
  const int file = mkstemp(path);
  CHECK(write(file, text, std::strlen(text)) > 0);
  close(file);
  setenv("EMULATOR_REGISTERS", path, 1);
  start();
  unlink(path);
}

TEST(function_registers_from_ptxas) {
  with_registers(
      "ptxas info    : Compiling entry function 'tile' for 'sm_80'\n"
      "ptxas info    : Function properties for tile\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 96 registers, used 1 barriers, 360 bytes cmem[0]\n"
      "add 20\n");
  const CUmodule module = load();
  int value = 0;
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, function_of(module, "add")));
  EQUAL(value, 20);
  const CUfunction tile = function_of(module, "tile");
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_NUM_REGS, tile));
  EQUAL(value, 96);
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, tile));
  EQUAL(value, 672);  // 65536 / (96 * 32) = 21 warps
  const CUdeviceptr p = upload(std::vector<uint32_t>(1024));
  EQUAL(launch(tile, {1}, {1024}, 4096, nullptr, p), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
  OK(launch(tile, {1}, {512}, 4096, nullptr, p));
  OK(CU(cuCtxSynchronize)());
}

TEST(function_occupancy) {
  start();
  const CUfunction tile = function_of(load(), "tile");
  int blocks = 0, grid = 0, threads = 0;
  OK(CU(cuOccupancyMaxActiveBlocksPerMultiprocessor)(&blocks, tile, 256, 0));
  EQUAL(blocks, 8);  // 2048 threads
  OK(CU(cuOccupancyMaxActiveBlocksPerMultiprocessor)(&blocks, tile, 32, 0));
  EQUAL(blocks, 32);
  OK(CU(cuOccupancyMaxActiveBlocksPerMultiprocessor)(&blocks, tile, 256, 40 * 1024));
  EQUAL(blocks, 4);  // of 164 KiB, 41 KiB each with what the system keeps
  OK(CU(cuOccupancyMaxPotentialBlockSize)(&grid, &threads, tile, nullptr, 0, 0));
  EQUAL(threads, 1024);
  EQUAL(grid, 216);
  size_t bytes = 0;
  OK(CU(cuOccupancyAvailableDynamicSMemPerBlock)(&bytes, tile, 4, 256));
  EQUAL(bytes, size_t(40 * 1024));
}
