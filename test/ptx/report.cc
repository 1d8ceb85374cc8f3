// Counters as JSON: one object a launch, on one line.
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "report.h"

namespace ptx {

namespace {

// Commas and nesting of one JSON text.
class Json {
 public:
  Json& open(const char* name, char bracket = '{') {
    key(name);
    text_ += bracket;
    first_ = true;
    return *this;
  }
  Json& close(char bracket = '}') {
    text_ += bracket;
    first_ = false;
    return *this;
  }
  Json& integer(const char* name, uint64_t value) { return raw(name, std::to_string(value)); }
  Json& number(const char* name, double value) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.6g", std::isfinite(value) ? value : 0);
    return raw(name, buffer);
  }
  Json& string(const char* name, const std::string& value) {
    std::string quoted = "\"";
    for (const char c : value) {
      char buffer[8];
      if (c == '"' || c == '\\') quoted += '\\', quoted += c;
      else if (static_cast<unsigned char>(c) < 32)
        std::snprintf(buffer, sizeof buffer, "\\u%04x", c), quoted += buffer;
      else quoted += c;
    }
    return raw(name, quoted + '"');
  }
  Json& raw(const char* name, const std::string& value) {
    key(name);
    text_ += value;
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void key(const char* name) {
    if (!first_) text_ += ',';
    first_ = false;
    if (name) text_ += '"', text_ += name, text_ += "\":";
  }
  std::string text_;
  bool first_ = true;
};

void sizes(Json& json, const char* name, const uint32_t* value) {
  json.open(name, '[');
  for (int i = 0; i < 3; i++) json.integer(nullptr, value[i]);
  json.close(']');
}

void traffic(Json& json, const char* name, const MemoryTraffic& t) {
  json.open(name).integer("requests", t.requests).integer("bytes", t.bytes).integer("sectors", t.sectors);
  json.integer("uniqueBytes", t.unique_bytes);
  // 1 where every byte of every sector was asked for.
  json.number("sectorEfficiency", t.sectors ? double(t.bytes) / (32.0 * double(t.sectors)) : 0).close();
}

void by_class(Json& json, const char* name, const uint64_t* counts) {
  json.open(name);
  for (size_t i = 0; i < size_t(Class::count); i++) {
    if (counts[i]) json.integer(class_name(Class(i)), counts[i]);
  }
  json.close();
}

void on_machine(Json& json, const char* name, const Counters& c, const Machine& m) {
  const Estimate e = estimate(c, m);
  const int threads = int(c.block[0] * c.block[1] * c.block[2]);
  const Occupancy o = occupancy(m.profile, threads, c.registers, c.static_shared + c.dynamic_shared);
  json.open(name).open("occupancy").integer("blocks", o.blocks).integer("warps", o.warps);
  json.number("fraction", o.fraction).string("limiter", o.limiter).close();
  json.open("microseconds").number("atLeast", e.seconds * 1e6).string("bound", e.bound);
  json.number("bytes", e.bytes * 1e6).number("float32", e.float32 * 1e6).number("float64", e.float64 * 1e6);
  json.number("tensor", e.tensor * 1e6).number("issue", e.issue * 1e6).number("shared", e.shared * 1e6);
  json.close().close();
}

}  // namespace

std::string counters_json(const Counters& c) {
  Json json;
  json.open(nullptr).string("kernel", c.kernel);
  sizes(json, "grid", c.grid);
  sizes(json, "block", c.block);
  if (c.registers) json.integer("registers", uint64_t(c.registers));
  else json.raw("registers", "null");
  json.integer("staticShared", c.static_shared).integer("dynamicShared", c.dynamic_shared);
  json.integer("localBytes", c.local_bytes);
  json.integer("warpInstructions", c.warp_total).integer("laneInstructions", c.lane_total);
  json.number("laneEfficiency", c.lane_efficiency());
  by_class(json, "warpInstructionsByClass", c.warp_instructions);
  by_class(json, "laneInstructionsByClass", c.lane_instructions);
  json.integer("branches", c.branches).integer("divergentBranches", c.divergent_branches);
  traffic(json, "globalRead", c.global_read);
  traffic(json, "globalWrite", c.global_write);
  traffic(json, "localRead", c.local_read);
  traffic(json, "localWrite", c.local_write);
  json.open("shared").integer("requests", c.shared_requests).integer("wavefronts", c.shared_wavefronts);
  json.integer("idealWavefronts", c.shared_ideal_wavefronts);
  const uint64_t ideal = c.shared_ideal_wavefronts, actual = c.shared_wavefronts;
  json.integer("bankConflicts", actual > ideal ? actual - ideal : 0)
      .integer("bytes", c.shared_bytes)
      .close();
  json.integer("atomics", c.atomics).integer("barriers", c.barriers);
  json.open("flops").integer("tensor", c.tensor_flops).integer("float32", c.float32_flops);
  json.integer("float64", c.float64_flops).integer("half", c.half_flops).close();
  json.number("hostSeconds", c.seconds);
  json.open("estimates");
  json.string("note", std::string("roofline bounds from counts and data sheets, not measurements") +
                          (c.registers ? "" : "; registers unknown: occupancy by the other limits"));
  on_machine(json, "A100", c, a100());
  on_machine(json, "RTX 4090", c, rtx4090());
  on_machine(json, "H100", c, h100());
  json.close().close();
  return json.text();
}

}  // namespace ptx
