// Decoding of warp-wide instructions, barriers and matrix instructions.
#include <algorithm>

#include "decode.h"

namespace ptx {

void Decoder::warp_wide(Modifiers& mods) {
  const std::string& base = mods.base();
  if (base == "activemask") {
    Inst inst = start(active_mask, Class::warp);
    mods.take("b32");
    expect_operands(1, 1);
    inst.d = write_any(operand(0), Ty::b32);
    emit(inst);
    return;
  }
  if (!mods.take("sync")) refuse("only the .sync form is supported");
  Inst inst = start(nothing, Class::warp);
  inst.kind = Kind::together;
  // d or d|p
  const Operand& target = operand(0);
  const Operand& value = target.kind == Operand::pair ? target.items[0] : target;
  uint32_t second = target.kind == Operand::pair ? write(target.items[1], Ty::pred) : no_slot;
  if (base == "shfl") {
    int mode = mods.take_any({"up", "down", "bfly", "idx"});
    if (mode < 0 || mods.take_type() != Ty::b32) refuse("unknown mode");
    expect_operands(5, 5);
    inst.fn = shuffle;
    inst.imm = uint32_t(mode);
    inst.a = read(operand(1), Ty::b32);
    inst.b = read(operand(2), Ty::b32);
    inst.c = read(operand(3), Ty::b32);
    inst.sync = read(operand(4), Ty::b32);
    inst.d = write_any(value, Ty::b32);
  } else if (base == "vote") {
    int mode = mods.take_any({"all", "any", "uni", "ballot"});
    if (mode < 0) refuse("unknown mode");
    mods.take(mode == 3 ? "b32" : "pred");
    expect_operands(3, 3);
    bool negated;
    inst.fn = vote;
    inst.a = predicate(operand(1), &negated);
    inst.imm = uint32_t(mode) | (negated ? 16 : 0);
    inst.sync = read(operand(2), Ty::b32);
    inst.d = mode == 3 ? write_any(value, Ty::b32) : write_any(value, Ty::pred);
  } else if (base == "match") {
    const bool all = mods.take("all");
    if (!all && !mods.take("any")) refuse("expected .any or .all");
    Ty type = mods.take_type();
    if (type != Ty::b32 && type != Ty::b64) refuse("expected .b32 or .b64");
    expect_operands(3, 3);
    inst.fn = match;
    inst.imm = uint32_t(type_bytes(type)) | (all ? 16 : 0);
    inst.a = read(operand(1), type);
    inst.sync = read(operand(2), Ty::b32);
    inst.d = write_any(value, Ty::b32);
  } else if (base == "redux") {
    static const AtomicOp ops[] = {op_add, op_and, op_or, op_xor, op_min, op_max};
    int op = mods.take_any({"add", "and", "or", "xor", "min", "max"});
    if (op < 0) refuse("expected an operation");
    const bool magnitude = mods.take("abs"), nan = mods.take("NaN");
    Ty type = mods.take_type();
    const bool real = type == Ty::f32;
    if (type_bytes(type) != 4 || (real && op < 4) || (!real && (magnitude || nan)))
      refuse("unknown type");
    expect_operands(3, 3);
    inst.fn = reduce;
    inst.imm = ops[op] | (type == Ty::s32 ? 256 : 0) | (real ? 512 : 0) | (magnitude ? 1024 : 0) |
               (nan ? 2048 : 0);
    inst.a = read(operand(1), type);
    inst.sync = read(operand(2), Ty::b32);
    inst.d = write_any(value, type);
  } else {  // elect.sync d|p, membermask
    expect_operands(2, 2);
    inst.fn = elect;
    inst.sync = read(operand(1), Ty::b32);
    inst.d = write_any(value, Ty::b32);
  }
  extras(inst, {second});
  extra_references(emit(inst), 1);
}

void Decoder::barriers(Modifiers& mods) {
  Inst inst = start(nothing, Class::barrier);
  if (mods.take("warp")) {
    if (!mods.take("sync")) refuse("expected .sync");
    expect_operands(1, 1);
    inst.kind = Kind::warp_barrier;
    inst.fn = warp_barrier;
    inst.sync = read(operand(0), Ty::b32);
    emit(inst);
    return;
  }
  if (mods.take("cluster")) {
    out_->uses_cluster = true;
    const bool wait = mods.take("wait");
    if (!wait && !mods.take("arrive")) refuse("expected .arrive or .wait");
    mods.take_any({"acquire", "release", "relaxed"});
    mods.take("aligned");
    if (wait)
      inst.kind = Kind::cluster_wait;
    else
      inst.fn = cluster_arrive;
    emit(inst);
    return;
  }
  mods.take("cta");
  int verb = mods.take_any({"sync", "arrive", "red"});
  if (verb < 0) refuse("expected .sync, .arrive or .red");
  const bool aligned = mods.take("aligned") || mods.base() == "bar";
  int kind = verb;
  size_t first = 0, count = operand_count();
  if (verb == 2) {
    int op = mods.take_any({"popc", "and", "or"});
    if (op < 0) refuse("expected an operation");
    kind = int(barrier_popc) + op;
    mods.take(op == 0 ? "u32" : "pred");
    expect_operands(3, 4);
    bool negated;
    inst.c = predicate(operand(count - 1), &negated);
    if (inst.c == no_slot) wrong("expected a predicate");
    if (negated) inst.imm |= 256;
    inst.d = write_any(operand(0), op == 0 ? Ty::u32 : Ty::pred);
    first = 1;
    --count;
  } else {
    expect_operands(verb == 1 ? 2 : 1, 2);
  }
  inst.kind = Kind::block_barrier;
  inst.imm |= uint32_t(kind) | (aligned ? 512 : 0);
  inst.a = read(operand(first), Ty::u32);
  if (count > first + 1) inst.b = read(operand(first + 1), Ty::u32);
  emit(inst);
}

void Decoder::matrices(Modifiers& mods) {
  const std::string& base = mods.base();
  if (!mods.take("sync") || !mods.take("aligned")) refuse("expected .sync.aligned");
  Inst inst = start(nothing, Class::matrix_load);
  inst.kind = Kind::together;
  const bool shape = mods.take("m8n8"), transposed = mods.take("trans");
  if (!shape) refuse("unknown shape");
  if (base == "movmatrix") {
    if (!transposed || mods.take_type() != Ty::b16) refuse("expected .trans.b16");
    expect_operands(2, 2);
    inst.fn = move_matrix;
    inst.cls = Class::warp;
    inst.a = read(operand(1), Ty::b32);
    inst.d = write_any(operand(0), Ty::b32);
    emit(inst);
    return;
  }
  const bool loads = base == "ldmatrix";
  int log = mods.take_any({"x1", "x2", "x4"});
  if (log < 0) refuse("expected .x1, .x2 or .x4");
  Access access;
  access.bytes = 16;
  access.type = Ty::b16;
  access.space = take_space(mods, &access);
  if (access.space != Space::shared && access.space != Space::generic)
    refuse("expected shared memory");
  if (mods.take_type() != Ty::b16) refuse("expected .b16");
  expect_operands(2, 2);
  const Operand& values = operand(loads ? 0 : 1);
  size_t count = size_t(1) << log;
  std::vector<uint32_t> slots;
  auto bind = [&](const Operand& item) {
    slots.push_back(loads ? write_any(item, Ty::b32) : read(item, Ty::b32));
  };
  if (values.kind == Operand::list)
    for (auto& item : values.items) bind(item);
  else
    bind(values);
  if (slots.size() != count) wrong("expected " + std::to_string(count) + " registers");
  inst.fn = loads ? load_matrix : store_matrix;
  inst.imm = uint32_t(count) | (transposed ? 256 : 0);
  inst.access = address(operand(loads ? 1 : 0), access);
  extras(inst, slots);
  extra_references(emit(inst), loads ? int(count) : 0);
}

static std::vector<MmaShape> make_shapes() {
  std::vector<MmaShape> out;
  for (Ty t : {Ty::f16, Ty::bf16}) {
    for (int k : {8, 16}) out.push_back({16, 8, k, t, t, Ty::f32, Ty::f32});
  }
  for (int k : {8, 16}) out.push_back({16, 8, k, Ty::f16, Ty::f16, Ty::f16, Ty::f16});
  for (int k : {4, 8}) out.push_back({16, 8, k, Ty::tf32, Ty::tf32, Ty::f32, Ty::f32});
  for (Ty a : {Ty::s8, Ty::u8}) {
    for (Ty b : {Ty::s8, Ty::u8}) {
      for (int k : {16, 32}) out.push_back({16, 8, k, a, b, Ty::s32, Ty::s32});
      out.push_back({8, 8, 16, a, b, Ty::s32, Ty::s32});
    }
  }
  for (Ty a : {Ty::s4, Ty::u4}) {
    for (Ty b : {Ty::s4, Ty::u4}) {
      for (int k : {32, 64}) out.push_back({16, 8, k, a, b, Ty::s32, Ty::s32});
      out.push_back({8, 8, 32, a, b, Ty::s32, Ty::s32});
    }
  }
  for (Ty a : {Ty::e4m3, Ty::e5m2}) {
    for (Ty b : {Ty::e4m3, Ty::e5m2}) {
      for (int k : {16, 32})
        for (Ty c : {Ty::f16, Ty::f32}) out.push_back({16, 8, k, a, b, c, c});
    }
  }
  out.push_back({8, 8, 4, Ty::f64, Ty::f64, Ty::f64, Ty::f64});
  for (int k : {4, 8, 16}) out.push_back({16, 8, k, Ty::f64, Ty::f64, Ty::f64, Ty::f64});
  // wmma
  for (auto& s : std::vector<std::vector<int>>{{16, 16}, {8, 32}, {32, 8}}) {
    for (Ty c : {Ty::f16, Ty::f32})
      for (Ty d : {Ty::f16, Ty::f32}) out.push_back({s[0], s[1], 16, Ty::f16, Ty::f16, c, d});
    out.push_back({s[0], s[1], 16, Ty::bf16, Ty::bf16, Ty::f32, Ty::f32});
    for (Ty t : {Ty::s8, Ty::u8}) out.push_back({s[0], s[1], 16, t, t, Ty::s32, Ty::s32});
  }
  out.push_back({16, 16, 8, Ty::tf32, Ty::tf32, Ty::f32, Ty::f32});
  return out;
}
const std::vector<MmaShape>& mma_shapes = *new const std::vector<MmaShape>(make_shapes());

static bool take_shape(Modifiers& mods, MmaShape* out) {
  static const int all[][3] = {{16, 8, 8},  {16, 8, 16}, {16, 8, 32},  {16, 8, 64},
                               {16, 8, 4},  {8, 8, 4},   {8, 8, 16},   {8, 8, 32},
                               {16, 16, 16}, {8, 32, 16}, {32, 8, 16}, {16, 16, 8}};
  for (auto& s : all) {
    std::string name =
        "m" + std::to_string(s[0]) + "n" + std::to_string(s[1]) + "k" + std::to_string(s[2]);
    if (!mods.take(name.c_str())) continue;
    out->m = s[0], out->n = s[1], out->k = s[2];
    return true;
  }
  return false;
}

static int shape_index(const MmaShape& s) {
  for (size_t i = 0; i < mma_shapes.size(); ++i) {
    const MmaShape& o = mma_shapes[i];
    if (o.m == s.m && o.n == s.n && o.k == s.k && o.a == s.a && o.b == s.b && o.c == s.c &&
        o.d == s.d)
      return int(i);
  }
  return -1;
}

int element_bits(Ty type) {
  if (type == Ty::s4 || type == Ty::u4) return 4;
  return type == Ty::e4m3 || type == Ty::e5m2 ? 8 : 8 * type_bytes(type);
}

// Registers a lane gives to a matrix of `count` elements.
static size_t fragment_registers(int count, Ty type) {
  const int bits = element_bits(type);
  return size_t(std::max(1, count * bits / 32 / (bits == 64 ? 64 : 32)));
}

void Decoder::mma(Modifiers& mods) {
  if (!mods.take("sync") || !mods.take("aligned")) refuse("expected .sync.aligned");
  MmaShape shape{};
  if (!take_shape(mods, &shape)) refuse("this shape is not supported");
  if (!mods.take("row") || !mods.take("col")) refuse("expected .row.col");
  const bool saturates = mods.take("satfinite");
  shape.d = mods.take_type(), shape.a = mods.take_type(), shape.b = mods.take_type(),
  shape.c = mods.take_type();
  int index = shape_index(shape);
  if (index < 0 || shape.n != 8) refuse("these types are not supported with this shape");
  if (saturates && shape.d != Ty::s32) refuse("expected .satfinite with integers only");
  expect_operands(4, 4);
  Inst inst = start(multiply_matrix, Class::tensor);
  inst.kind = Kind::together;
  inst.imm = uint32_t(index) | (saturates ? 65536 : 0);
  inst.flops = uint16_t(2 * shape.m * shape.n * shape.k / 16);
  const int sizes[] = {shape.m * shape.n, shape.m * shape.k, shape.k * shape.n, shape.m * shape.n};
  const Ty types[] = {shape.d, shape.a, shape.b, shape.c};
  std::vector<uint32_t> slots;
  int defs = 0;
  for (size_t k = 0; k < 4; ++k) {
    const Operand& list = operand(k);
    const std::vector<Operand> single = {list};
    const auto& items = list.kind == Operand::list ? list.items : single;
    if (items.size() != fragment_registers(sizes[k], types[k]))
      wrong("wrong number of registers in a fragment");
    Ty slot = type_bytes(types[k]) == 8 ? Ty::f64 : Ty::b32;
    for (auto& item : items) slots.push_back(k ? read(item, slot) : write_any(item, slot));
    if (!k) defs = int(slots.size());
  }
  extras(inst, slots);
  extra_references(emit(inst), defs);
}

// Registers of a wmma fragment. Half matrices hold every element twice on hardware; here the second
// half stays zero.
static size_t wmma_registers(const MmaShape& s, char which, Ty type) {
  if (which == 'c') return type == Ty::f16 ? 4 : size_t(s.m * s.n / 32);
  if (type == Ty::f16) return 8;
  int count = which == 'a' ? s.m * s.k : s.k * s.n;
  return fragment_registers(count, type);
}

void Decoder::wmma(Modifiers& mods) {
  const bool loads = mods.take("load"), stores = !loads && mods.take("store");
  const bool multiplies = !loads && !stores && mods.take("mma");
  char which = 'c';
  if (loads || stores) {
    int letter = mods.take_any({"a", "b", "c", "d"});
    if (letter < 0 || (stores && letter != 3) || (loads && letter == 3))
      refuse("expected .a, .b, .c or .d");
    which = letter == 0 ? 'a' : letter == 1 ? 'b' : 'c';
  } else if (!multiplies) {
    refuse("unknown operation");
  }
  if (!mods.take("sync") || !mods.take("aligned")) refuse("expected .sync.aligned");
  MmaShape shape{};
  if (!take_shape(mods, &shape)) refuse("this shape is not supported");
  Inst inst = start(nothing, multiplies ? Class::tensor : Class::matrix_load);
  inst.kind = Kind::together;
  if (multiplies) {
    mods.take("row"), mods.take("row"), mods.take("col"), mods.take("col");
    const bool saturates = mods.take("satfinite");
    Ty t[4];
    int count = 0;
    for (Ty type; count < 4 && (type = mods.take_type()) != Ty::none;) t[count++] = type;
    if (count != 2 && count != 4) refuse("expected two or four types");
    if (t[0] == Ty::f64) mods.take("rn");
    shape.d = t[0], shape.c = t[count - 1];
    shape.a = count == 4 ? t[1] : Ty::f16, shape.b = count == 4 ? t[2] : Ty::f16;
    int index = shape_index(shape);
    if (index < 0) refuse("these types are not supported with this shape");
    expect_operands(4, 4);
    if (saturates && shape.d != Ty::s32) refuse("expected .satfinite with integers only");
    inst.fn = wmma_multiply;
    // Fragments know no layout: it was undone by the load.
    inst.imm = uint32_t(index) | (saturates ? 65536 : 0);
    inst.flops = uint16_t(2 * shape.m * shape.n * shape.k / 16);
    std::vector<uint32_t> slots;
    const char kinds[] = {'c', 'a', 'b', 'c'};
    const Ty types[] = {shape.d, shape.a, shape.b, shape.c};
    size_t defs = 0;
    for (size_t k = 0; k < 4; ++k) {
      const Operand& list = operand(k);
      const std::vector<Operand> single = {list};
      const auto& items = list.kind == Operand::list ? list.items : single;
      if (items.size() != wmma_registers(shape, kinds[k], types[k]))
        wrong("wrong number of registers in a fragment");
      const Ty slot = types[k] == Ty::f64 ? Ty::f64 : Ty::b32;
      for (auto& item : items) slots.push_back(k ? read(item, slot) : write_any(item, slot));
      if (!k) defs = slots.size();
    }
    extras(inst, slots);
    extra_references(emit(inst), int(defs));
    return;
  }
  const bool column = mods.take("col");
  if (!column && !mods.take("row")) refuse("expected .row or .col");
  Access access;
  access.space = take_space(mods, &access);
  access.type = mods.take_type();
  access.bytes = uint8_t(access.type == Ty::tf32 ? 4 : type_bytes(access.type));
  bool known = false;
  for (auto& s : mma_shapes) {
    known |= s.m == shape.m && s.n == shape.n && s.k == shape.k &&
             access.type == (which == 'a'   ? s.a
                             : which == 'b' ? s.b
                             : loads        ? s.c
                                            : s.d);
  }
  if (!known || (shape.n * shape.m != 256 && access.type != Ty::f64))
    refuse("this type is not supported with this shape");
  expect_operands(2, 3);
  const int rows = which == 'b' ? shape.k : shape.m, columns = which == 'a' ? shape.k : shape.n;
  const Operand& values = operand(loads ? 0 : 1);
  if (values.items.size() != wmma_registers(shape, which, access.type))
    wrong("wrong number of registers in a fragment");
  std::vector<uint32_t> slots;
  const Ty slot = access.type == Ty::f64 ? Ty::f64 : Ty::b32;
  for (auto& item : values.items) slots.push_back(loads ? write_any(item, slot) : read(item, slot));
  inst.fn = loads ? wmma_load : wmma_store;
  inst.imm = uint32_t(rows) | uint32_t(columns) << 8 | (column ? 1u << 16 : 0);
  inst.a = operand_count() > 2 ? read(operand(2), Ty::u32)
                               : constant(uint64_t(column ? rows : columns), 4);
  inst.access = address(operand(loads ? 1 : 0), access);
  Access narrow = out_->accesses[size_t(inst.access)];
  if (stores && narrow.bytes == 2) {
    out_->shared_shift = std::min(out_->shared_shift, 1);
    out_->global_shift = std::min(out_->global_shift, 1);
  }
  extras(inst, slots);
  extra_references(emit(inst), loads ? int(slots.size()) : 0);
}

// lop3{.BoolOp}.b32 d{|p}, a, b, c, table{, q}
void Decoder::logic3(Modifiers& mods) {
  int join = mods.take_any({"or", "and"});
  mods.take("b32");
  expect_operands(join < 0 ? 5 : 6, join < 0 ? 5 : 6);
  const Operand& target = operand(0);
  const bool paired = target.kind == Operand::pair;
  if (paired != (join >= 0)) wrong("expected d|p with a Boolean operation, and only there");
  Inst inst = start(forms().at("lop3.b32").fn, Class::integer);
  inst.a = read(operand(1), Ty::b32);
  inst.b = read(operand(2), Ty::b32);
  inst.c = read(operand(3), Ty::b32);
  inst.imm = uint32_t(immediate(operand(4))) & 255;
  uint32_t result = write_any(paired ? target.items[0] : target, Ty::b32);
  inst.d = result;
  emit(inst);
  if (!paired) return;
  Inst test =
      start(forms().at(join == 0 ? "setp.ne.or.b32" : "setp.ne.and.b32").fn, Class::predicate);
  test.counted = false;
  test.imm = join == 0 ? join_or : join_and;
  test.a = result;
  test.b = constant(0, 4);
  bool negated;
  test.c = predicate(operand(5), &negated);
  if (negated) test.imm |= join_negated;
  test.d = write(target.items[1], Ty::pred);
  emit(test);
}

}  // namespace ptx
