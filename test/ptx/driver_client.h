// What a program of our own tests needs: entries by dlopen, as any program finds them, and tests in
// processes of their own.
//
// Plan: each test runs in a child process, since settings are read once and a fault kills a context for
// good. The child's
//   stderr goes to a file, so that a test can read what was reported. The last line is `N passed, N
//   failed`.
#pragma once
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "driver_api.h"

namespace client {

inline void* library() {
  static void* const handle = [] {
    void* const opened = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!opened) std::printf("%s\n", dlerror()), std::exit(1);
    return opened;
  }();
  return handle;
}

template <class F>
F* find(const char* name) {
  void* const symbol = dlsym(library(), name);
  if (!symbol) std::printf("no %s in libcuda.so.1\n", name), std::exit(1);
  return reinterpret_cast<F*>(symbol);
}

// An entry: CU(cuMemAlloc_v2)(&address, bytes).
#define CU(name)                                                      \
  ([] {                                                               \
    static auto* const entry = client::find<decltype(::name)>(#name); \
    return entry;                                                     \
  }())

inline std::string name_of(CUresult error) {
  const char* name = nullptr;
  CU(cuGetErrorName)(error, &name);
  return name ? name : std::to_string(error);
}

// ---- tests ----------------------------------------------------------------------------------------

inline std::string stderr_path;
inline bool failed_here = false;

inline std::string reported() {  // what this test's process has written to stderr so far
  std::fflush(stderr);
  std::ifstream file(stderr_path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline void fail(const char* file, int line, const std::string& what) {
  std::printf("  %s:%d: %s\n", file, line, what.c_str());
  failed_here = true;
}

inline std::string show(CUresult value) { return name_of(value); }
inline std::string show(const std::string& value) { return value; }
inline std::string show(const char* value) { return value; }
template <class T>
std::string show(const T& value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

#define CHECK(condition)                                            \
  do {                                                              \
    if (!(condition)) client::fail(__FILE__, __LINE__, #condition); \
  } while (0)
#define EQUAL(actual, expected)                                                                          \
  do {                                                                                                   \
    const auto a_ = (actual);                                                                            \
    const decltype(a_) e_ = (expected);                                                                  \
    if (!(a_ == e_))                                                                                     \
      client::fail(__FILE__, __LINE__, #actual " is " + client::show(a_) + ", not " + client::show(e_)); \
  } while (0)
// Success, or the end of this test's process.
#define OK(call)                                                                                   \
  do {                                                                                             \
    const CUresult r_ = (call);                                                                    \
    if (r_)                                                                                        \
      client::fail(__FILE__, __LINE__, #call " gave " + client::name_of(r_)), std::fflush(stdout), \
          _exit(1);                                                                                \
  } while (0)

struct Test {
  std::string name;
  std::function<void()> body;
};
inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}
struct Registered {
  Registered(const char* name, std::function<void()> body) { tests().push_back({name, std::move(body)}); }
};
#define TEST(name)                                                       \
  static void test_##name();                                             \
  static const client::Registered registered_##name(#name, test_##name); \
  static void test_##name()

inline bool run(const Test& test) {
  char path[] = "/tmp/emulator-test-XXXXXX";
  const int file = mkstemp(path);
  if (file < 0) return false;
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    stderr_path = path;
    dup2(file, 2);
    test.body();
    std::fflush(stdout);
    std::exit(failed_here ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  close(file);
  const bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (!passed) {
    stderr_path = path;
    const std::string how = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                                : "exit code " + std::to_string(WEXITSTATUS(status));
    std::printf("FAIL %s: %s\n%s", test.name.c_str(), how.c_str(), reported().substr(0, 4000).c_str());
  }
  unlink(path);
  return passed;
}

// Runs the tests whose names hold the first argument.
inline int run_all(int count, char** arguments) {
  int passed = 0, failed = 0;
  for (const Test& test : tests()) {
    if (count > 1 && !contains(test.name, arguments[1])) continue;
    if (run(test)) passed++;
    else failed++;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed || !passed ? 1 : 0;
}

// ---- common steps ---------------------------------------------------------------------------------

inline CUcontext start() {
  CUcontext context = nullptr;
  OK(CU(cuInit)(0));
  OK(CU(cuDevicePrimaryCtxRetain)(&context, 0));
  OK(CU(cuCtxSetCurrent)(context));
  return context;
}

inline CUfunction function_of(CUmodule module, const char* name) {
  CUfunction function = nullptr;
  OK(CU(cuModuleGetFunction)(&function, module, name));
  return function;
}

template <class T>
CUdeviceptr upload(const std::vector<T>& values) {
  CUdeviceptr address = 0;
  OK(CU(cuMemAlloc_v2)(&address, values.size() * sizeof(T)));
  OK(CU(cuMemcpyHtoD_v2)(address, values.data(), values.size() * sizeof(T)));
  return address;
}

template <class T>
std::vector<T> download(CUdeviceptr address, size_t count) {
  std::vector<T> values(count);
  OK(CU(cuMemcpyDtoH_v2)(values.data(), address, count * sizeof(T)));
  return values;
}

// Launches with the arguments as they are: pointers as CUdeviceptr, numbers in the kernel's own types.
template <class... A>
CUresult launch(CUfunction function, std::vector<unsigned> grid, std::vector<unsigned> block,
                unsigned shared, CUstream stream, A... arguments) {
  grid.resize(3, 1);
  block.resize(3, 1);
  void* params[] = {static_cast<void*>(&arguments)..., nullptr};
  return CU(cuLaunchKernel)(function, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared,
                            stream, params, nullptr);
}

}  // namespace client
