// Faults: what a launch says when a check stops it.
#include <cstdio>

#include "machine.h"

namespace ptx {

const char* fault_name(FaultKind kind) {
  static const char* const names[] = {"none",
                                      "invalid_launch",
                                      "out_of_resources",
                                      "out_of_bounds",
                                      "freed",
                                      "misaligned",
                                      "uninitialised",
                                      "race",
                                      "async_unwaited",
                                      "barrier_divergence",
                                      "absent_lane",
                                      "deadlock",
                                      "watchdog",
                                      "trap",
                                      "assertion",
                                      "invalid_address_space",
                                      "illegal_instruction"};
  return size_t(kind) < sizeof names / sizeof *names ? names[size_t(kind)] : "unknown";
}

const char* class_name(Class kind) {
  static const char* const names[] = {
      "integer",      "float32",   "float64",   "half",        "special",      "conversion",
      "move",         "predicate", "control",   "load_global", "store_global", "load_shared",
      "store_shared", "local",     "parameter", "atomic",      "warp",         "barrier",
      "matrix_load",  "tensor",    "async",     "other"};
  return size_t(kind) < sizeof names / sizeof *names ? names[size_t(kind)] : "unknown";
}

std::string lanes_text(uint32_t mask) {
  std::string out;
  for (int l = 0; l < 32; ++l) {
    if (!((mask >> l) & 1)) continue;
    int last = l;
    while (last < 31 && (mask >> (last + 1)) & 1) ++last;
    out +=
        (out.empty() ? "" : ",") + std::to_string(l) + (last > l ? "-" + std::to_string(last) : "");
    l = last;
  }
  return out.empty() ? "none" : out;
}

static void thread_index(const Block& block, uint32_t thread, uint32_t* out) {
  const uint32_t* dim = block.launch->config.block;
  out[0] = thread % dim[0], out[1] = thread / dim[0] % dim[1], out[2] = thread / dim[0] / dim[1];
}

std::string thread_text(const Block& block, uint32_t thread) {
  uint32_t t[3];
  thread_index(block, thread, t);
  return "(" + std::to_string(t[0]) + "," + std::to_string(t[1]) + "," + std::to_string(t[2]) + ")";
}

void fault(Warp& w, const Inst& inst, int lane, FaultKind kind, const std::string& what,
           uint64_t address) {
  const Block& block = *w.block;
  const Program& program = *w.program;
  FaultError error;
  Fault& f = error.fault;
  f.kind = kind;
  f.kernel = program.name;
  f.line = inst.line;
  f.address = address;
  if (inst.form >= 0) f.instruction = program.forms[size_t(inst.form)];
  if (inst.location >= 0) {
    const Location& at = program.locations[size_t(inst.location)];
    auto file = program.files.find(at.file);
    f.source = (file == program.files.end() ? "file " + std::to_string(at.file) : file->second) +
               ":" + std::to_string(at.line);
  }
  for (int k = 0; k < 3; ++k) f.block[k] = block.id[k];
  thread_index(block, w.index * 32 + uint32_t(lane), f.thread);
  char hex[32] = "";
  if (address)
    std::snprintf(hex, sizeof hex, ", address 0x%llx", static_cast<unsigned long long>(address));
  f.message = std::string(fault_name(kind)) + " in kernel " + f.kernel + ", " +
              (f.source.empty() ? std::string() : f.source + ", ") + "ptx line " +
              std::to_string(f.line) + " (" + f.instruction + "), block (" +
              std::to_string(f.block[0]) + "," + std::to_string(f.block[1]) + "," +
              std::to_string(f.block[2]) + "), thread " +
              thread_text(block, w.index * 32 + uint32_t(lane)) + hex + ": " + what;
  throw error;
}

}  // namespace ptx
