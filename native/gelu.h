// Which GELU (Hendrycks & Gimpel 2016): x Phi(x) with the normal distribution Phi from the error
// function, or with GPT-2's approximation of it by tanh. In the order of lib/tensor/ops/elementwise.ts;
// kernels of the GPU get the number.
#pragma once

namespace gptloom {

enum class Gelu : int { none, tanh, exact };

}  // namespace gptloom
