// Decoding of cp.async, bulk copies and mbarriers.
#include "decode.h"

namespace ptx {

// base + offset as one 64-bit register.
uint32_t Decoder::whole_address(const Operand& operand, Space space) {
  Access access;
  access.space = space;
  Access bound = out_->accesses[size_t(address(operand, access))];
  if (bound.base == no_slot) return constant(uint64_t(bound.offset), 8);
  uint32_t base = bound.base;
  if (!bound.wide) {
    Inst inst = start(forms().at("cvt.u64.u32").fn, Class::integer);
    inst.counted = false;
    inst.a = base;
    inst.d = base = make_register(8);
    emit(inst);
  }
  if (!bound.offset) return base;
  Inst inst = start(forms().at("add.u64").fn, Class::integer);
  inst.counted = false;
  inst.a = base;
  inst.b = constant(uint64_t(bound.offset), 8);
  inst.d = make_register(8);
  emit(inst);
  return inst.d;
}

void Decoder::async(Modifiers& mods) {
  if (!mods.take("async")) refuse("unknown instruction");
  if (mods.take("bulk")) return bulk(mods);
  Inst inst = start(nothing, Class::async);
  if (mods.take("commit_group")) {
    inst.fn = commit_group;
  } else if (mods.take("wait_all")) {
    inst.fn = wait_group;
    inst.imm = ~0u;
  } else if (mods.take("wait_group")) {
    inst.fn = wait_group;
    expect_operands(1, 1);
    inst.imm = uint32_t(immediate(operand(0)));
  } else if (mods.take("mbarrier")) {
    if (!mods.take("arrive")) refuse("expected .arrive");
    inst.fn = mbarrier_copy_arrive;
    inst.imm = mods.take("noinc") ? 1 : 0;
    Access access;
    access.space = take_space(mods, &access);
    mods.take("b64");
    expect_operands(1, 1);
    access.bytes = 8;
    inst.access = address(operand(0), access);
  } else {
    const bool cg = mods.take("cg");
    if (!cg && !mods.take("ca")) refuse("expected .ca or .cg");
    Access access;
    access.space = Space::shared;
    if ((!mods.take("shared") && !mods.take("shared::cta")) || !mods.take("global"))
      refuse("expected .shared.global");
    take_hints(mods);
    const bool policy = mods.take("L2::cache_hint");
    expect_operands(3, policy ? 5 : 4);
    inst.fn = copy_async;
    inst.imm = uint32_t(immediate(operand(2)));
    if (cg ? inst.imm != 16 : inst.imm != 4 && inst.imm != 8 && inst.imm != 16)
      wrong("expected a copy of 4, 8 or 16 bytes");
    access.bytes = uint8_t(inst.imm);
    inst.a = whole_address(operand(1), Space::global);
    if (operand_count() > (policy ? 4u : 3u)) {
      const Operand& size = operand(3);
      bool ignores = size.kind == Operand::in_register &&
                     frame_->function->registers[size_t(size.reg)].type == Ty::pred;
      if (ignores) {
        bool negated;
        inst.c = predicate(size, &negated);
        if (negated) refuse("a negated ignore-src is not supported");
      } else {
        inst.b = read(size, Ty::u32);
      }
    }
    inst.access = address(operand(0), access);
  }
  emit(inst);
}

// cp.async.bulk between global and shared memory, one dimension. Tensor maps are refused.
void Decoder::bulk(Modifiers& mods) {
  Inst inst = start(nothing, Class::async);
  if (mods.take("commit_group")) {
    inst.fn = nothing;  // the copies to global memory are done when issued
  } else if (mods.take("wait_group")) {
    mods.take("read");
    expect_operands(1, 1);
  } else if (mods.take("prefetch")) {
    mods.take("L2"), mods.take("global"), mods.take("L2::cache_hint");
  } else {
    if (mods.take("tensor")) refuse("tensor copies are not supported");
    const bool policy = mods.take("L2::cache_hint");
    const bool group = mods.take("bulk_group");
    inst.fn = copy_bulk;
    if (group) {
      if (!mods.take("global") || !mods.take("shared::cta")) refuse("expected .global.shared::cta");
      expect_operands(3, policy ? 4 : 3);
      inst.imm = 1;
      inst.a = whole_address(operand(0), Space::global);
      inst.b = whole_address(operand(1), Space::shared);
      inst.c = read(operand(2), Ty::u32);
    } else {
      if (!mods.take("mbarrier::complete_tx::bytes")) refuse("expected a completion mechanism");
      if (!mods.take("global")) refuse("only copies from global memory are supported here");
      if (!mods.take("shared::cta") && !mods.take("shared::cluster"))
        refuse("expected shared memory");
      expect_operands(4, policy ? 5 : 4);
      inst.a = whole_address(operand(0), Space::shared);
      inst.b = whole_address(operand(1), Space::global);
      inst.c = read(operand(2), Ty::u32);
      extras(inst, {whole_address(operand(3), Space::shared)});
    }
  }
  extra_references(emit(inst), 0);
}

void Decoder::mbarriers(Modifiers& mods) {
  static const auto& verbs = *new const std::vector<const char*>{
      "init",        "inval",     "arrive",   "arrive_drop",  "expect_tx",
      "complete_tx", "test_wait", "try_wait", "pending_count"};  // cases below
  const bool arrives = mods.take("arrive"), expects = arrives && mods.take("expect_tx");
  int verb = arrives ? 2 : mods.take_any(verbs);
  if (verb < 0) refuse("unknown mbarrier operation");
  Access access;
  access.bytes = 8;
  mods.take_any({"acquire", "release", "relaxed"});
  mods.take_any({"cta", "cluster"});
  access.space = take_space(mods, &access);
  const bool parity = mods.take("parity"), incomplete = mods.take("noComplete");
  const bool drop_expects = verb == 3 && mods.take("expect_tx");
  if (mods.take_type() != Ty::b64) refuse("expected .b64");
  Inst inst = start(nothing, Class::barrier);
  auto at = [&](size_t index) { inst.access = address(operand(index), access); };
  switch (verb) {
    case 0:
      expect_operands(2, 2);
      inst.fn = mbarrier_init;
      inst.a = read(operand(1), Ty::u32);
      at(0);
      break;
    case 1:
      expect_operands(1, 1);
      inst.fn = mbarrier_invalidate;
      at(0);
      break;
    case 2:
    case 3: {
      size_t first = operand(0).kind == Operand::address
                         ? 0
                         : 1;  // the state may be left out for shared::cluster
      expect_operands(first + 1, first + 2);
      inst.fn = mbarrier_arrive;
      inst.imm = (verb == 3 ? 1 : 0) | (incomplete ? 2 : 0);
      if (operand_count() == first + 2)
        (expects || drop_expects ? inst.b : inst.a) = read(operand(first + 1), Ty::u32);
      if (first) inst.d = write(operand(0), Ty::b64);
      at(first);
      break;
    }
    case 4:
    case 5:
      expect_operands(2, 2);
      inst.fn = mbarrier_expect;
      inst.imm = verb == 5;
      inst.a = read(operand(1), Ty::u32);
      at(0);
      break;
    case 6:
    case 7:
      expect_operands(3, verb == 7 ? 4 : 3);
      inst.fn = mbarrier_test;
      inst.kind = Kind::yield;
      inst.imm = parity;
      inst.a = read(operand(2), parity ? Ty::u32 : Ty::b64);
      inst.d = write(operand(0), Ty::pred);
      at(1);
      break;
    default:
      expect_operands(2, 2);
      inst.fn = mbarrier_pending;
      inst.a = read(operand(1), Ty::b64);
      inst.d = write_any(operand(0), Ty::u32);
  }
  emit(inst);
}

}  // namespace ptx
