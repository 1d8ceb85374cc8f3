// Modules and libraries: from an image to kernels and variables.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>

#include "driver_state.h"
#include "fatbin.h"

namespace ptx::driver {

namespace {

// Puts text into the caller's log buffer of that option, and its length where the size stood.
void fill_log(const Loading& loading, int option, const std::string& text) {
  char* buffer = nullptr;
  void** size = nullptr;
  for (unsigned i = 0; i < loading.count; i++) {
    if (loading.options[i] == option) buffer = static_cast<char*>(loading.values[i]);
    if (loading.options[i] == option + 1) size = &loading.values[i];
  }
  if (!size) return;
  const size_t room = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(*size));
  size_t used = 0;
  if (buffer && room > 0) {
    used = std::min(text.size(), room - 1);
    std::memcpy(buffer, text.data(), used);
    buffer[used] = 0;
    if (used > 0) used++;
  }
  *size = reinterpret_cast<void*>(used);
}

void fill_wall_time(const Loading& loading, double seconds) {
  for (unsigned i = 0; i < loading.count; i++) {
    if (loading.options[i] != CU_JIT_WALL_TIME) continue;
    const float milliseconds = static_cast<float>(seconds * 1e3);
    std::memcpy(&loading.values[i], &milliseconds, sizeof milliseconds);
  }
}

struct Source {
  std::string text;
  std::unordered_map<std::string, int> registers;
  CUresult error = CUDA_SUCCESS;
  std::string message;
};

Source from_fatbin(const State& s, const void* image, size_t size) {
  const Fatbin fatbin = parse_fatbin(image, size);
  const int sm = s.device.major * 10 + s.device.minor;
  Source source;
  const FatbinEntry* best = choose_ptx(fatbin, sm, &source.message);
  if (!best) {
    source.error = fatbin.error.empty() ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_ERROR_INVALID_IMAGE;
    return source;
  }
  const char* text = reinterpret_cast<const char*>(best->data);
  source.text.assign(text, strnlen(text, best->size));
  // The machine code beside it cannot be run, but it knows how many registers ptxas took.
  const FatbinEntry* code = nullptr;
  for (const FatbinEntry& entry : fatbin.entries) {
    if (entry.kind == FatbinEntry::Kind::cubin && !entry.compressed && entry.sm <= sm &&
        entry.sm / 10 == sm / 10 && (!code || entry.sm > code->sm))
      code = &entry;
  }
  if (code) source.registers = cubin_registers(code->data, code->size);
  return source;
}

Source find_source(const State& s, const void* image, size_t size) {
  uint32_t magic = 0;
  if (size >= 4) std::memcpy(&magic, image, 4);  // text has a NUL after at least one byte, and padding
  if (magic == wrapper_magic) {
    if (size < 24) return {"", {}, CUDA_ERROR_INVALID_IMAGE, "fatbin: the wrapper is cut short"};
    const void* inner = nullptr;
    std::memcpy(&inner, static_cast<const char*>(image) + 8, sizeof inner);
    if (!inner) return {"", {}, CUDA_ERROR_INVALID_IMAGE, "fatbin: the wrapper points nowhere"};
    return from_fatbin(s, inner, SIZE_MAX);
  }
  if (magic == fatbin_magic) return from_fatbin(s, image, size);
  if (std::memcmp(&magic, "\177ELF", 4) == 0) {
    return {"",
            {},
            CUDA_ERROR_NO_BINARY_FOR_GPU,
            "the image is a cubin, machine code that cannot be interpreted; load PTX or a fatbin with PTX"};
  }
  Source source;
  const char* text = static_cast<const char*>(image);
  source.text.assign(text, size == SIZE_MAX ? std::strlen(text) : strnlen(text, size));
  return source;
}

void add_functions(const State& s, const Source& source, Image* image) {
  for (Kernel* kernel : image->module->kernels()) {
    auto function = std::make_unique<Function>();
    const std::string& name = kernel->info.name;
    const auto given = s.settings.registers.find(name);
    const auto read = source.registers.find(name);
    kernel->registers = given != s.settings.registers.end() ? given->second
                        : read != source.registers.end()    ? read->second
                                                            : 0;
    const size_t fixed = kernel->info.static_shared, usual = s.device.shared_per_block;
    kernel->max_dynamic_shared = usual > fixed ? usual - fixed : 0;
    function->image = image;
    function->name = name;
    function->kernel = std::make_shared<Kernel>(*kernel);
    image->functions.push_back(std::move(function));
  }
}

}  // namespace

CUresult load_image(Call& call, const Loading& loading, std::shared_ptr<Image>* out) {
  if (!loading.bytes) return CUDA_ERROR_INVALID_VALUE;
  if (loading.count && (!loading.options || !loading.values)) return CUDA_ERROR_INVALID_VALUE;
  const auto started = std::chrono::steady_clock::now();
  State& s = call.s;
  Source source = find_source(s, loading.bytes, loading.size);
  auto image = std::make_shared<Image>();
  if (!source.error) {
    LoadError error;
    image->module = Module::load(source.text.data(), source.text.size(), *s.memory, s.device, &error);
    const int sm = s.device.major * 10 + s.device.minor;
    if (!image->module) {
      source.error = CUDA_ERROR_INVALID_PTX;
      source.message = error.message;
    } else if (image->module->target() > sm) {
      source.error = CUDA_ERROR_INVALID_PTX;
      source.message = "the PTX is for sm_" + std::to_string(image->module->target()) +
                       ", the device is sm_" + std::to_string(sm) + "; see EMULATOR_DEVICE";
    }
  }
  const auto took = std::chrono::steady_clock::now() - started;
  fill_wall_time(loading, std::chrono::duration<double>(took).count());
  fill_log(loading, CU_JIT_ERROR_LOG_BUFFER, source.error ? source.message + "\n" : "");
  fill_log(loading, CU_JIT_INFO_LOG_BUFFER, "");
  if (source.error) {
    complain("module not loaded: %s", source.message.c_str());
    return source.error;
  }
  add_functions(s, source, image.get());
  *out = std::move(image);
  return CUDA_SUCCESS;
}

CUresult read_file(const char* path, std::string* out) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
  std::stringstream text;
  text << file.rdbuf();
  *out = text.str();
  return CUDA_SUCCESS;
}

namespace {

CUresult add_module(Call& call, CUmodule* out, const Loading& loading) {
  if (!out) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Image> image;
  if (const CUresult error = load_image(call, loading, &image)) return error;
  image->context = call.context;
  *out = reinterpret_cast<CUmodule>(call.s.images.add(std::move(image)));
  return CUDA_SUCCESS;
}

// f(Image&) for calls that name a module.
template <class F>
CUresult with_module(CUmodule handle, F f) {
  return enter_context([&](Call& call) -> CUresult {
    const auto image = call.s.images.find(handle);
    return image ? f(*image) : CUDA_ERROR_INVALID_HANDLE;
  });
}

template <class F>
CUresult with_library(CUlibrary handle, F f) {
  return enter([&](Call& call) -> CUresult {
    const auto library = call.s.libraries.find(handle);
    return library ? f(call, *library) : CUDA_ERROR_INVALID_HANDLE;
  });
}

template <class Handle>
CUresult find_function(const Image& image, const char* name, Handle* out) {
  if (!out || !name) return CUDA_ERROR_INVALID_VALUE;
  for (const auto& function : image.functions) {
    if (function->name != name) continue;
    *out = reinterpret_cast<Handle>(function.get());
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_NOT_FOUND;
}

template <class Handle>
CUresult list_functions(const Image& image, Handle* out, unsigned count) {
  if (!out && count) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < std::min<size_t>(count, image.functions.size()); i++)
    out[i] = reinterpret_cast<Handle>(image.functions[i].get());
  return CUDA_SUCCESS;
}

CUresult find_variable(const Image& image, const char* name, CUdeviceptr* address, size_t* bytes) {
  if (!name || (!address && !bytes)) return CUDA_ERROR_INVALID_VALUE;
  const Variable* variable = image.module->variable(name);
  if (!variable) return CUDA_ERROR_NOT_FOUND;
  if (address) *address = variable->address;
  if (bytes) *bytes = variable->size;
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuModuleLoad(CUmodule* module, const char* path) {
  return enter_context([&](Call& call) -> CUresult {
    if (!path) return CUDA_ERROR_INVALID_VALUE;
    std::string bytes;
    if (const CUresult error = read_file(path, &bytes)) return error;
    return add_module(call, module, {bytes.data(), bytes.size(), 0, nullptr, nullptr});
  });
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, PTX_uint count, CUjit_option* options,
                            void** values) {
  return enter_context(
      [&](Call& call) { return add_module(call, module, {image, SIZE_MAX, count, options, values}); });
}

CUresult cuModuleLoadFatBinary(CUmodule* module, const void* fatbin) {
  return cuModuleLoadData(module, fatbin);
}

CUresult cuModuleUnload(CUmodule handle) {
  return enter_context([&](Call& call) -> CUresult {
    const auto image = call.s.images.find(handle);
    if (!image || image->library) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult error = wait_idle(call, image->context);
    call.s.images.remove(handle);
    return error;
  });
}

CUresult cuModuleGetLoadingMode(int* mode) {
  return enter([&](Call&) {
    if (!mode) return CUDA_ERROR_INVALID_VALUE;
    *mode = 1;  // eager: an unknown instruction must be an error at load
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  return with_module(module, [&](Image& image) { return find_function(image, name, function); });
}

CUresult cuModuleGetFunctionCount(PTX_uint* count, CUmodule module) {
  return with_module(module, [&](Image& image) {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<PTX_uint>(image.functions.size());
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleEnumerateFunctions(CUfunction* functions, PTX_uint count, CUmodule module) {
  return with_module(module, [&](Image& image) { return list_functions(image, functions, count); });
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name) {
  return with_module(module, [&](Image& image) { return find_variable(image, name, address, bytes); });
}

CUresult cuLibraryLoadData(CUlibrary* out, const void* image, CUjit_option* options, void** values,
                           PTX_uint count, int*, void**, PTX_uint) {
  return enter([&](Call& call) -> CUresult {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    auto library = std::make_shared<Library>();
    const CUresult error = load_image(call, {image, SIZE_MAX, count, options, values}, &library->image);
    if (error) return error;
    library->image->library = library.get();
    call.s.images.add(library->image);
    *out = reinterpret_cast<CUlibrary>(call.s.libraries.add(std::move(library)));
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryLoadFromFile(CUlibrary* library, const char* path, CUjit_option* options, void** values,
                               PTX_uint count, int* library_options, void** library_values,
                               PTX_uint library_count) {
  if (!path) return CUDA_ERROR_INVALID_VALUE;
  std::string bytes;
  if (const CUresult error = read_file(path, &bytes)) return error;
  bytes.append(64, 0);  // so that text ends, and a header can be looked at
  return cuLibraryLoadData(library, bytes.data(), options, values, count, library_options, library_values,
                           library_count);
}

CUresult cuLibraryUnload(CUlibrary handle) {
  return with_library(handle, [&](Call& call, Library& library) {
    call.s.queue.wait_idle(call.lock, nullptr);
    call.s.images.remove(library.image.get());
    call.s.libraries.remove(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary handle, const char* name) {
  return with_library(handle,
                      [&](Call&, Library& library) { return find_function(*library.image, name, kernel); });
}

CUresult cuLibraryGetKernelCount(PTX_uint* count, CUlibrary handle) {
  return with_library(handle, [&](Call&, Library& library) {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<PTX_uint>(library.image->functions.size());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryEnumerateKernels(CUkernel* kernels, PTX_uint count, CUlibrary handle) {
  return with_library(
      handle, [&](Call&, Library& library) { return list_functions(*library.image, kernels, count); });
}

CUresult cuLibraryGetModule(CUmodule* module, CUlibrary handle) {
  return with_library(handle, [&](Call& call, Library& library) {
    if (!call.context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!module) return CUDA_ERROR_INVALID_VALUE;
    *module = reinterpret_cast<CUmodule>(library.image.get());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary handle, const char* name) {
  return with_library(handle, [&](Call& call, Library& library) {
    if (!call.context) return CUDA_ERROR_INVALID_CONTEXT;
    return find_variable(*library.image, name, address, bytes);
  });
}

CUresult cuLibraryGetManaged(CUdeviceptr*, size_t*, CUlibrary handle, const char*) {
  return with_library(handle, [&](Call&, Library&) { return CUDA_ERROR_NOT_FOUND; });
}
