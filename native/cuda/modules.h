// The kernels, by name. A family's image is <folder>/<family>.fatbin, the family being the text
// before the first '_' of a kernel's name; it is loaded when the first of its kernels is asked for.
#pragma once
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda/gpu.h"
#include "gptloom.h"

namespace gptloom::cuda {

struct Kernel {
  std::string name;
  CUfunction function;
  unsigned shared;                 // dynamic shared memory that it may use so far, in bytes
  std::vector<size_t> parameters;  // bytes of each; empty when the driver cannot tell
};

class Modules {
 public:
  Modules(Gpu& gpu, std::string folder) : gpu_(gpu), folder_(std::move(folder)) {}
  ~Modules();
  Modules(const Modules&) = delete;
  Modules& operator=(const Modules&) = delete;

  // A kernel that may use `shared` bytes of dynamic shared memory. Throws Error("ERR_KERNELS") when
  // the image is missing, does not fit the GPU, or has no such kernel.
  Kernel& find(const std::string& name, unsigned shared);
  // The same, in the image that somebody else's kernel comes with.
  Kernel& find_foreign(const gptloom_kernel& from, const std::string& name, unsigned shared);

 private:
  CUmodule load(const std::string& family);
  CUmodule load_foreign(const gptloom_kernel& from);
  Kernel& add(const std::string& key, const std::string& name, CUfunction function);
  Kernel& prepare(Kernel& kernel, unsigned shared);

  Gpu& gpu_;
  std::string folder_;
  std::map<std::string, CUmodule> modules_;
  std::map<const void*, CUmodule> foreign_;  // by their image
  std::unordered_map<std::string, Kernel> kernels_;
};

}  // namespace gptloom::cuda
