// Modules: variables placed in device memory, kernels decoded.
#include <algorithm>
#include <set>

#include "decode.h"

namespace ptx {

struct ModuleBuilder {
  static std::unique_ptr<Module> build(const char* text, size_t length, Memory& memory,
                                       const DeviceProfile& device) {
    std::unique_ptr<Syntax> syntax = parse(text, length);
    std::unique_ptr<Module> module(new Module(memory));
    module->version_ = syntax->version;
    module->target_ = syntax->target;
    if (syntax->target > device.major * 10 + device.minor)
      throw SyntaxError(1, "the module is for sm_" + std::to_string(syntax->target) +
                               ", the device is sm_" +
                               std::to_string(device.major * 10 + device.minor));
    Symbols symbols = functions(*syntax);
    size_t constants = 0;
    std::vector<const VariableDecl*> placed;
    auto place = [&](const VariableDecl& variable, const std::string& name) {
      if (variable.space != Space::global && variable.space != Space::constant) return;
      if (variable.external)
        throw SyntaxError(variable.line, "variable " + name + " is defined in no module");
      const bool constant = variable.space == Space::constant;
      size_t bytes = std::max<size_t>(variable.bytes, 1);
      uint64_t at =
          memory.allocate(bytes, constant ? MemoryKind::constant : MemoryKind::module, name);
      if (!at) throw SyntaxError(variable.line, "no memory for variable " + name);
      module->owned_.push_back(at);
      memset(reinterpret_cast<void*>(at), 0, bytes);
      symbols.addresses[name] = at;
      module->variables_[name] = {name, at, variable.bytes, constant};
      placed.push_back(&variable);
      if (constant) constants += variable.bytes;
    };
    for (auto& variable : syntax->variables) place(variable, variable.name);
    for (auto& function : syntax->functions)
      for (auto& variable : function->variables)
        place(variable, function->name + "$" + variable.name);
    size_t index = 0;
    for (const VariableDecl* variable : placed)
      initialise(*variable, module->owned_[index++], symbols);
    std::set<std::string> forms;
    for (auto& function : syntax->functions) {
      if (!function->entry || !function->defined) continue;
      auto kernel = describe(*syntax, *function, constants);
      Decoder decoder(*syntax, symbols, device, forms);
      kernel->program = decoder.run(*function, kernel->info);
      if (kernel->info.parameter_bytes > 32764)
        throw SyntaxError(function->line, "more than 32764 bytes of parameters");
      const size_t fixed = kernel->info.static_shared;
      kernel->max_dynamic_shared =
          device.shared_per_block > fixed ? device.shared_per_block - fixed : 0;
      module->by_name_[function->name] = kernel.get();
      module->kernels_.push_back(std::move(kernel));
    }
    module->forms_.assign(forms.begin(), forms.end());
    return module;
  }

  static std::unique_ptr<Kernel> describe(const Syntax& syntax, const Function& function,
                                          size_t constants) {
    auto kernel = std::make_unique<Kernel>();
    KernelInfo& info = kernel->info;
    info.name = function.name;
    info.const_bytes = constants;
    info.ptx_version = syntax.version;
    info.target = syntax.target;
    info.max_registers = function.max_registers;
    for (int i = 0; i < 3; ++i) {
      info.required_block[i] = function.required_threads[i];
      info.required_cluster[i] = function.required_cluster[i];
    }
    const uint32_t* limit =
        function.required_threads[0] ? function.required_threads : function.max_threads;
    info.max_threads = int(limit[0] * limit[1] * limit[2]);
    return kernel;
  }

  // Functions get addresses in a window of their own.
  static Symbols functions(const Syntax& syntax) {
    Symbols symbols;
    for (auto& [name, function] : syntax.by_name)
      if (!function->entry)
        symbols.addresses[name] = function_window | uint64_t(symbols.addresses.size() + 1) << 4;
    std::set<const Function*> seen;
    auto take = [&](const std::string& name) {
      auto found = syntax.by_name.find(name);
      if (found == syntax.by_name.end() || found->second->entry || !found->second->defined) return;
      if (seen.insert(found->second).second) symbols.taken.push_back(found->second);
    };
    for (auto& variable : syntax.variables)
      for (auto& value : variable.values) take(value.symbol);
    for (auto& function : syntax.functions) {
      for (auto& variable : function->variables)
        for (auto& value : variable.values) take(value.symbol);
      for (auto& statement : function->body) {
        if (statement.opcode.compare(0, 4, "call") == 0) continue;
        for (auto& operand : statement.operands)
          if (operand.kind == Operand::symbol && operand.variable < 0) take(operand.name);
      }
    }
    return symbols;
  }

  static void initialise(const VariableDecl& variable, uint64_t at, const Symbols& symbols) {
    size_t bytes = size_t(type_bytes(variable.type));
    for (auto& value : variable.values) {
      uint64_t bits = value.bits;
      if (!value.symbol.empty()) {
        auto found = symbols.addresses.find(value.symbol);
        if (found == symbols.addresses.end())
          throw SyntaxError(variable.line, "unknown name " + value.symbol +
                                               " in the initial value of " + variable.name);
        bits += found->second;  // a generic address and a global one are the same number here
      }
      memcpy(reinterpret_cast<void*>(at), &bits, std::min<size_t>(bytes, 8));
      at += bytes;
    }
  }
};

std::unique_ptr<Module> Module::load(const char* text, size_t length, Memory& memory,
                                     const DeviceProfile& device, LoadError* error) {
  try {
    return ModuleBuilder::build(text, length, memory, device);
  } catch (const SyntaxError& e) {
    if (error) {
      error->line = e.line;
      error->unsupported = e.unsupported;
      error->instruction = e.instruction;
      error->message = "ptx line " + std::to_string(e.line) + ": " +
                       (e.instruction.empty() ? std::string() : e.instruction + ": ") + e.what();
    }
  }
  return nullptr;
}

Module::~Module() {
  for (uint64_t address : owned_) memory_.release(address);
}

Kernel* Module::kernel(const std::string& name) {
  auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

const Variable* Module::variable(const std::string& name) const {
  auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &found->second;
}

std::vector<Kernel*> Module::kernels() {
  std::vector<Kernel*> out;
  for (auto& kernel : kernels_) out.push_back(kernel.get());
  return out;
}

}  // namespace ptx
