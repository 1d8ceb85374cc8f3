// Fills the table of one instruction set. Each family's header ends with its own part,
// `<family>_kernels`. Included by <isa>.cc after its Vec, inside the target region.
#pragma once
#include "cpu/simd/math.h"

#include "cpu/simd/adamw.h"
#include "cpu/simd/attention.h"
#include "cpu/simd/crossentropy.h"
#include "cpu/simd/elementwise.h"
#include "cpu/simd/embedding.h"
#include "cpu/simd/layernorm.h"
#include "cpu/simd/matmul.h"

#include "cpu/simd/compact.h"  // ends a product as matmul.h does
#include "cpu/simd/probe.h"
#include "cpu/simd/random.h"
#include "cpu/simd/reduce.h"

namespace gptloom::cpu {
namespace {

constexpr Kernels table(const char* isa) {
  Kernels t{};
  t.isa = isa;
  t.width = Vec::width;
  t.adamw = adamw_kernels;
  t.attention = attention_kernels;
  t.compact = compact_kernels;
  t.crossentropy = crossentropy_kernels;
  t.elementwise = elementwise_kernels;
  t.embedding = embedding_kernels;
  t.layernorm = layernorm_kernels;
  t.matmul = matmul_kernels;
  t.probe = probe_kernels;
  t.random = random_kernels;
  t.reduce = reduce_kernels;
  return t;
}

}  // namespace
}  // namespace gptloom::cpu
