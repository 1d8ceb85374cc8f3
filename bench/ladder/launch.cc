// Launches the kernels of a fat binary as standard input says, on whatever GPU the driver finds. A
// command a line:
//   module FILE    the kernels that the following lines mean
//   buffer BYTES   device memory of zeros; buffers are counted from 0
//   launch NAME GX GY BX BY SHARED ARGUMENT...
//                  and waits. An argument is bN for buffer N, iN an int32, lN an int64, fX a float,
//                  fX,Y,... a struct of floats
// Prints nothing when all went well.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

// An entry of the driver, called with arguments of exactly the types that it declares.
template <class... Args>
void call(const char* name, Args... args) {
  static void* const driver = dlopen("libcuda.so.1", RTLD_NOW);
  if (!driver) fail(dlerror());
  void* const entry = dlsym(driver, name);
  if (!entry) fail(std::string("the driver has no ") + name);
  const int error = reinterpret_cast<int (*)(Args...)>(entry)(args...);
  if (error) fail(std::string(name) + " answers " + std::to_string(error));
}

void* load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string image{std::istreambuf_iterator<char>(file), {}};
  if (image.empty()) fail("cannot read " + path);
  void* module = nullptr;
  call("cuModuleLoadData", &module, static_cast<const void*>(image.data()));
  return module;
}

uint64_t allocate(size_t bytes) {
  uint64_t address = 0;
  call("cuMemAlloc_v2", &address, bytes);
  call("cuMemsetD8_v2", address, static_cast<unsigned char>(0), bytes);
  return address;
}

// The bytes of an argument, 8 or a multiple of 4.
std::vector<char> argument(const std::string& text, const std::vector<uint64_t>& buffers) {
  std::vector<char> bytes;
  const auto add = [&](auto value) {
    const char* const data = reinterpret_cast<const char*>(&value);
    bytes.insert(bytes.end(), data, data + sizeof value);
  };
  const std::string rest = text.substr(1);
  switch (text[0]) {
    case 'b':
      add(buffers.at(std::stoul(rest)));
      break;
    case 'i':
      add(static_cast<int32_t>(std::stol(rest)));
      break;
    case 'l':
      add(static_cast<int64_t>(std::stoll(rest)));
      break;
    case 'f': {
      std::istringstream list(rest);
      for (std::string part; std::getline(list, part, ',');) add(std::stof(part));
      break;
    }
    default:
      fail("no argument: " + text);
  }
  return bytes;
}

void launch(void* module, std::istream& line, const std::vector<uint64_t>& buffers) {
  std::string name;
  unsigned grid[2], block[2], shared;
  line >> name >> grid[0] >> grid[1] >> block[0] >> block[1] >> shared;
  std::vector<std::vector<char>> values;
  for (std::string word; line >> word;) values.push_back(argument(word, buffers));
  std::vector<void*> pointers;
  for (std::vector<char>& value : values) pointers.push_back(value.data());
  void* function = nullptr;
  call("cuModuleGetFunction", &function, module, name.c_str());
  call("cuLaunchKernel", function, grid[0], grid[1], 1u, block[0], block[1], 1u, shared,
       static_cast<void*>(nullptr), pointers.data(), static_cast<void**>(nullptr));
  call("cuCtxSynchronize");
}

}  // namespace

int main() {
  int device = 0;
  void *context = nullptr, *module = nullptr;
  call("cuInit", 0u);
  call("cuDeviceGet", &device, 0);
  call("cuDevicePrimaryCtxRetain", &context, device);
  call("cuCtxSetCurrent", context);
  std::vector<uint64_t> buffers;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, rest;
    words >> command;
    if (command == "module") {
      words >> rest;
      module = load(rest);
    } else if (command == "buffer") {
      size_t bytes = 0;
      words >> bytes;
      buffers.push_back(allocate(bytes));
    } else if (command == "launch") {
      launch(module, words, buffers);
    } else {
      fail("no command: " + line);
    }
  }
}
