#pragma once

namespace gptloom::cpu {
namespace {

constexpr EmbeddingKernels embedding_kernels{};

}  // namespace
}  // namespace gptloom::cpu
