// The functions behind VecTable, included after a Vec within its target region.
#pragma once
#include "cpu/simd/math.h"
#include "vec.h"

namespace gptloom::cpu {
namespace {

constexpr int W = Vec::width;

template <Vec (*F)(Vec)>
void unary(float* out, const float* x) {
  F(Vec::load(x)).store(out);
}
template <Vec (*F)(Vec, Vec)>
void binary(float* out, const float* x) {
  F(Vec::load(x), Vec::load(x + W)).store(out);
}
void fma_of(float* out, const float* x) {
  fma(Vec::load(x), Vec::load(x + W), Vec::load(x + 2 * W)).store(out);
}
void if_less_of(float* out, const float* x) {
  const Vec no = Vec::load(x + 3 * W);
  if_less(Vec::load(x), Vec::load(x + W), Vec::load(x + 2 * W), no).store(out);
}
float reduce_add_of(const float* x) { return reduce_add(Vec::load(x)); }
float reduce_max_of(const float* x) { return reduce_max(Vec::load(x)); }
void load_part_of(float* out, const float* x, int n) { Vec::load_part(x, n).store(out); }
void store_part_of(float* out, const float* x, int n) { Vec::load(x).store_part(out, n); }
void transpose_of(float* out, const float* x) {
  Vec rows[W];
  for (int i = 0; i < W; i++) rows[i] = Vec::load(x + i * W);
  transpose(rows);
  for (int i = 0; i < W; i++) rows[i].store(out + i * W);
}

constexpr test::VecTable vec_table(const char* isa) {
  return {isa,
          W,
          unary<exp>,
          unary<power_of_2>,
          unary<tanh>,
          unary<gelu<Gelu::tanh>>,
          unary<gelu_slope<Gelu::tanh>>,
          unary<gelu<Gelu::exact>>,
          unary<gelu_slope<Gelu::exact>>,
          unary<round>,
          unary<sqrt>,
          unary<reciprocal>,
          unary<abs>,
          binary < operator+>,
          binary<(operator-)>,
          binary < operator*>,
          binary < operator/>,
          binary<max>,
          binary<min>,
          binary<copy_sign>,
          binary<scale_by_power>,
          fma_of,
          if_less_of,
          reduce_add_of,
          reduce_max_of,
          load_part_of,
          store_part_of,
          transpose_of};
}

}  // namespace
}  // namespace gptloom::cpu
