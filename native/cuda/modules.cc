#include "cuda/modules.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "cuda/image.h"

namespace gptloom::cuda {

namespace {

constexpr unsigned kSharedByDefault = 48 << 10;  // what a launch may use without asking first

constexpr const char* kBuild =
    ". The npm package ships the kernels; in a checkout, build them with `npm run build:kernels`, "
    "which needs nvcc";

std::vector<size_t> parameters_of(const Driver& driver, CUfunction function) {
  std::vector<size_t> out;
  size_t offset, size;
  if (!driver.FuncGetParamInfo) return out;
  while (driver.FuncGetParamInfo(function, out.size(), &offset, &size) == kSuccess)
    out.push_back(size);
  return out;
}

// `log` gets what the driver says of an image that it cannot load, as a sentence to append.
CUresult load_image(const Driver& driver, const void* image, CUmodule* module, std::string& log) {
  char text[4096] = "";
  int options[] = {kJitErrorLog, kJitErrorLogBytes};
  void* values[] = {text, reinterpret_cast<void*>(sizeof text)};
  const CUresult result = driver.ModuleLoadDataEx(module, image, 2, options, values);
  log = *text ? ". " + std::string(text) : "";
  return result;
}

}  // namespace

Modules::~Modules() {
  for (const auto& [family, module] : modules_) gpu_.driver().ModuleUnload(module);
  for (const auto& [image, module] : foreign_) gpu_.driver().ModuleUnload(module);
}

CUmodule Modules::load(const std::string& family) {
  const auto found = modules_.find(family);
  if (found != modules_.end()) return found->second;
  const std::string path = folder_ + "/" + family + ".fatbin";
  std::ifstream file(std::filesystem::u8path(path), std::ios::binary);
  const std::string image((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (image.empty()) throw Error("ERR_KERNELS", "There is no kernel image " + path + kBuild);
  if (!is_whole(image)) throw Error("ERR_KERNELS", path + " is damaged" + kBuild);
  std::string log;
  CUmodule module = nullptr;
  CUresult result = load_image(gpu_.driver(), image.c_str(), &module, log);
  if (result != kSuccess && result != kOutOfMemory) {
    // A driver older than the toolkit may refuse the machine code, and still compile the PTX.
    const std::string ptx = ptx_in(image);
    if (!ptx.empty()) result = load_image(gpu_.driver(), ptx.c_str(), &module, log);
  }
  if (result != kSuccess) {
    const int version = load_driver().version;
    throw Error("ERR_KERNELS",
                "The driver cannot load " + path + " for " + gpu_.name() + ": " +
                    gpu_.driver().explain(result) + log +
                    ". This driver serves CUDA " + std::to_string(version / 1000) + "." +
                    std::to_string(version % 1000 / 10) +
                    "; a newer one may help, and `gptloom doctor` tells the oldest that can");
  }
  return modules_[family] = module;
}

Kernel& Modules::find(const std::string& name, unsigned shared) {
  const auto found = kernels_.find(name);
  if (found != kernels_.end()) return prepare(found->second, shared);
  const std::string family = name.substr(0, name.find('_'));
  CUfunction function = nullptr;
  if (gpu_.driver().ModuleGetFunction(&function, load(family), name.c_str()) != kSuccess) {
    throw Error("ERR_KERNELS", "The kernel image " + folder_ + "/" + family +
                                   ".fatbin has no kernel " + name +
                                   ": it is of another version of gptloom" + kBuild);
  }
  return prepare(add(name, name, function), shared);
}

CUmodule Modules::load_foreign(const gptloom_kernel& from) {
  const auto found = foreign_.find(from.image);
  if (found != foreign_.end()) return found->second;
  std::string log;
  CUmodule module = nullptr;
  const CUresult result = load_image(gpu_.driver(), from.image, &module, log);
  if (result != kSuccess) {
    throw Error("ERR_KERNELS", "The driver cannot load the image of " + std::string(from.name) +
                                   " for " + gpu_.name() + ": " + gpu_.driver().explain(result) +
                                   log);
  }
  return foreign_[from.image] = module;
}

Kernel& Modules::find_foreign(const gptloom_kernel& from, const std::string& name,
                              unsigned shared) {
  const CUmodule module = load_foreign(from);
  // No kernel of ours has such a name.
  const std::string key = std::to_string(reinterpret_cast<uintptr_t>(from.image)) + ":" + name;
  const auto found = kernels_.find(key);
  if (found != kernels_.end()) return prepare(found->second, shared);
  CUfunction function = nullptr;
  if (gpu_.driver().ModuleGetFunction(&function, module, name.c_str()) != kSuccess) {
    throw Error("ERR_KERNELS", "The image of " + std::string(from.name) + " has no kernel " + name +
                                   ": is it extern \"C\"?");
  }
  return prepare(add(key, name, function), shared);
}

Kernel& Modules::add(const std::string& key, const std::string& name, CUfunction function) {
  int fixed = 0;
  gpu_.driver().FuncGetAttribute(&fixed, kFunctionSharedSize, function);
  Kernel kernel{name, function, kSharedByDefault - static_cast<unsigned>(fixed),
                parameters_of(gpu_.driver(), function)};
  return kernels_.emplace(key, std::move(kernel)).first->second;
}

// Large shared memory has to be asked for.
Kernel& Modules::prepare(Kernel& kernel, unsigned shared) {
  if (shared <= kernel.shared) return kernel;
  gpu_.check(gpu_.driver().FuncSetAttribute(kernel.function, kFunctionMaxDynamicShared,
                                            static_cast<int>(shared)),
             "giving " + std::to_string(shared) + " bytes of shared memory to " + kernel.name);
  kernel.shared = shared;
  return kernel;
}

}  // namespace gptloom::cuda
