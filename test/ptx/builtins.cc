// Functions that the driver provides to kernels, and trap.
#include <algorithm>
#include <cstdio>

#include "ops.h"
#include "shadow.h"

namespace ptx {

namespace {

template <class T>
T local_value(Warp& w, const Inst& i, int l, uint64_t offset) {
  T value{};
  if (i.a != no_slot) offset += w.reg<uint32_t>(i.a)[l];
  if (offset + sizeof(T) <= w.program->local_bytes)
    memcpy(&value, w.local + size_t(l) * w.program->local_bytes + offset, sizeof(T));
  return value;
}

template <class T>
void put_local(Warp& w, const Inst& i, int l, uint32_t offset, T value) {
  if (offset == no_slot) return;
  const size_t at = offset + (i.a == no_slot ? 0 : w.reg<uint32_t>(i.a)[l]);
  if (at + sizeof(T) <= w.program->local_bytes)
    memcpy(w.local + size_t(l) * w.program->local_bytes + at, &value, sizeof(T));
}

// Bytes at a generic address; false when they are not all there.
bool fetch(Warp& w, int l, uint64_t address, void* to, size_t bytes) {
  const uint64_t tag = address & window_mask, offset = address & ~window_mask;
  if (tag == local_window) {
    if (offset + bytes > w.program->local_bytes) return false;
    memcpy(to, w.local + size_t(l) * w.program->local_bytes + offset, bytes);
    return true;
  }
  if (tag == shared_window) {
    if (offset + bytes > w.block->shared.size()) return false;
    memcpy(to, w.block->shared.data() + offset, bytes);
    return true;
  }
  return !tag && w.block->launch->memory->read(to, address, bytes) == AddressError::none;
}

std::string fetch_text(Warp& w, int l, uint64_t address) {
  std::string out;
  char c;
  while (out.size() < 4096 && fetch(w, l, address + out.size(), &c, 1) && c) out.push_back(c);
  return out;
}

template <class T>
std::string formatted(const std::string& spec, T value) {
  char text[512];
  const int n = std::snprintf(text, sizeof text, spec.c_str(), value);
  return std::string(text, n < 0 ? 0 : std::min<size_t>(size_t(n), sizeof text - 1));
}

struct Arguments {
  Warp& w;
  int lane;
  uint64_t at;
  template <class T>
  T next() {
    at = (at + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    T value{};
    fetch(w, lane, at, &value, sizeof(T));
    at += sizeof(T);
    return value;
  }
};

std::string render_one(char type, const std::string& spec, bool wide, Arguments& arguments) {
  switch (type) {
    case 'd':
    case 'i':
      return formatted(spec + "lld", static_cast<long long>(wide ? arguments.next<int64_t>()
                                                                 : arguments.next<int32_t>()));
    case 'u':
    case 'x':
    case 'X':
    case 'o':
      return formatted(spec + "ll" + type,
                       static_cast<unsigned long long>(wide ? arguments.next<uint64_t>()
                                                            : arguments.next<uint32_t>()));
    case 'c':
      return formatted(spec + "c", int(arguments.next<int32_t>()));
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
      return formatted(spec + type, arguments.next<double>());
    case 'p':
      return formatted("0x%llx", static_cast<unsigned long long>(arguments.next<uint64_t>()));
    case 's':
      return formatted(spec + "s",
                       fetch_text(arguments.w, arguments.lane, arguments.next<uint64_t>()).c_str());
    default:
      return spec + type;
  }
}

std::string render(const std::string& format, Arguments arguments, int* count) {
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    if (i + 1 < format.size() && format[i + 1] == '%') {
      out += '%';
      ++i;
      continue;
    }
    std::string spec = "%";
    bool wide = false;
    size_t k = i + 1;
    for (; k < format.size() &&
           std::string("-+ #0123456789.*hlzjt").find(format[k]) != std::string::npos;
         ++k) {
      if (format[k] == '*')
        spec += std::to_string(arguments.next<int32_t>());
      else if (format[k] == 'l' || format[k] == 'z' || format[k] == 'j' || format[k] == 't')
        wide = true;
      else if (format[k] != 'h')
        spec += format[k];
    }
    if (k >= format.size() || spec.size() > 40) break;
    const char type = format[k];
    ++*count;
    i = k;
    out += render_one(type, spec, wide, arguments);
  }
  return out;
}

// Reused memory may hold the marks of whom it belonged to earlier in the same launch.
void clear_marks(const Memory& memory, int shift, uint64_t address, size_t bytes) {
  const uint64_t first = (address - reinterpret_cast<uint64_t>(memory.base())) >> shift;
  const size_t lines = (bytes >> shift) / 8 + 1;
  std::fill_n(memory.granules() + first, lines * 8, Shadow{});
  std::fill_n(memory.lines() + first / 8, lines, Shadow{});
}

}  // namespace

void print_text(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t* x = w.program->extra.data() + i.x;
  Launch& launch = *w.block->launch;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    int count = 0;
    const std::string text = render(fetch_text(w, l, local_value<uint64_t>(w, i, l, x[0])),
                                    Arguments{w, l, local_value<uint64_t>(w, i, l, x[1])}, &count);
    std::lock_guard<std::mutex> lock(launch.mutex);
    if (launch.config.print)
      launch.config.print(text.data(), text.size());
    else
      std::fwrite(text.data(), 1, text.size(), stdout);
    put_local(w, i, l, x[2], count);
  }
}

// Launches of kernels with a heap run on one host thread: the list of allocations is theirs alone.
void heap_allocate(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t* x = w.program->extra.data() + i.x;
  Launch& launch = *w.block->launch;
  auto& list = launch.allocations;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    const size_t bytes = local_value<uint64_t>(w, i, l, x[0]);
    const uint64_t made = launch.memory->heap_allocate(bytes, launch.config.heap_bytes);
    Allocation allocation;
    if (made && launch.memory->find(made, &allocation)) {
      clear_marks(*launch.memory, w.program->global_shift, made, bytes);
      auto after = std::lower_bound(list.begin(), list.end(), made,
                                    [](const Allocation& a, uint64_t b) { return a.begin < b; });
      if (after != list.end() && after->begin == made)
        *after = allocation;
      else
        list.insert(after, allocation);
    }
    put_local(w, i, l, x[1], made);
  }
  w.worker->last = nullptr;
}

void heap_free(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t* x = w.program->extra.data() + i.x;
  Launch& launch = *w.block->launch;
  for (uint32_t m = mask; m; m &= m - 1) {
    const int l = first_lane(m);
    const uint64_t address = local_value<uint64_t>(w, i, l, x[0]);
    if (!address) continue;
    Allocation found;
    if (launch.memory->find(address, &found) && found.freed)
      fault(w, i, l, FaultKind::freed, "frees twice: " + launch.memory->describe(address), address);
    if (!launch.memory->heap_release(address))
      fault(w, i, l, FaultKind::out_of_bounds,
            "frees what malloc did not return: " + launch.memory->describe(address), address);
    for (auto& allocation : launch.allocations)
      if (allocation.begin == address) allocation.freed = true;
  }
  w.worker->last = nullptr;
}

void assertion_failed(Warp& w, const Inst& i, uint32_t mask) {
  const uint32_t* x = w.program->extra.data() + i.x;
  const int l = first_lane(mask);
  const std::string message = fetch_text(w, l, local_value<uint64_t>(w, i, l, x[0])),
                    file = fetch_text(w, l, local_value<uint64_t>(w, i, l, x[1])),
                    function = fetch_text(w, l, local_value<uint64_t>(w, i, l, x[3]));
  fault(w, i, l, FaultKind::assertion,
        "assertion failed: " + message + ", " + file + ":" +
            std::to_string(local_value<uint32_t>(w, i, l, x[2])) + ", " + function);
}

void trap(Warp& w, const Inst& i, uint32_t mask) {
  fault(w, i, first_lane(mask), FaultKind::trap, "the kernel executed trap");
}

}  // namespace ptx
