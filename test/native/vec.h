// One instruction set's Vec as plain functions, for kernels_test.cc: vec_<isa>.cc fills one table
// each, the way native/cpu/simd/<isa>.cc does.
#pragma once

namespace gptloom::test {

// Vectors follow each other in memory: of(a, b) reads a at x and b at x + width.
struct VecTable {
  const char* isa;
  int width;
  void (*exp)(float* out, const float* x);
  void (*power_of_2)(float* out, const float* x);
  void (*tanh)(float* out, const float* x);
  void (*gelu)(float* out, const float* x);
  void (*gelu_slope)(float* out, const float* x);
  void (*exact_gelu)(float* out, const float* x);
  void (*exact_gelu_slope)(float* out, const float* x);
  void (*round)(float* out, const float* x);
  void (*sqrt)(float* out, const float* x);
  void (*reciprocal)(float* out, const float* x);
  void (*abs)(float* out, const float* x);
  void (*add)(float* out, const float* ab);
  void (*subtract)(float* out, const float* ab);
  void (*multiply)(float* out, const float* ab);
  void (*divide)(float* out, const float* ab);
  void (*max)(float* out, const float* ab);
  void (*min)(float* out, const float* ab);
  void (*copy_sign)(float* out, const float* ab);
  void (*scale_by_power)(float* out, const float* ab);
  void (*fma)(float* out, const float* abc);
  void (*if_less)(float* out, const float* abcd);
  float (*reduce_add)(const float* x);
  float (*reduce_max)(const float* x);
  void (*load_part)(float* out, const float* x, int n);   // stores the whole vector
  void (*store_part)(float* out, const float* x, int n);  // loads the whole vector
  void (*transpose)(float* out, const float* x);
};

}  // namespace gptloom::test
