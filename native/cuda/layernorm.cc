// The work of these kernels stands in cuda/layernorm.cu, with what each takes.
#include "cuda/kernels.h"
#include "cuda/ops.h"

namespace gptloom::cuda {

namespace {

// The most columns of a row in a warp's and in a block's registers, and in a warp's one by one.
constexpr int64_t narrow = 1024, wide = 8192, narrow_any = 512;
constexpr unsigned wide_threads = 512;

int64_t padded(int64_t C, const Array& x) { return divide_up(C, packet(x)) * packet(x); }

const char* forward_kernel(int64_t C, bool vectors, const Array& x) {
  if (!vectors) {
    return by_type(x, "layernorm_forward_512_any_f32", "layernorm_forward_512_any_bf16");
  }
  return C <= 768      ? by_type(x, "layernorm_forward_768_f32", "layernorm_forward_768_bf16")
         : C <= narrow ? by_type(x, "layernorm_forward_1024_f32", "layernorm_forward_1024_bf16")
                       : by_type(x, "layernorm_forward_8192_f32", "layernorm_forward_8192_bf16");
}

const char* backward_kernel(int64_t C, bool vectors, const Array& x) {
  if (!vectors) {
    return by_type(x, "layernorm_backward_512_any_f32", "layernorm_backward_512_any_bf16");
  }
  return C <= 768      ? by_type(x, "layernorm_backward_768_f32", "layernorm_backward_768_bf16")
         : C <= narrow ? by_type(x, "layernorm_backward_1024_f32", "layernorm_backward_1024_bf16")
                       : by_type(x, "layernorm_backward_8192_f32", "layernorm_backward_8192_bf16");
}

// Blocks that walk through all rows, `at_once` each: enough to fill the device, and few enough that
// reading the parameters anew in each costs little beside 64 rows.
int64_t walking_blocks(Context& context, int64_t rows, int64_t at_once) {
  const int64_t processors = context.multiprocessors();
  const int64_t each = std::clamp<int64_t>(rows / (64 * processors), 1, 4);
  return std::min(divide_up(rows, at_once), processors * each);
}

}  // namespace

void layernorm_forward(Context& context, Array out, Array mean, Array rstd, Array x, Array weight,
                       Array bias, float epsilon) {
  const int64_t C = x.shape[-1], rows = C == 0 ? 0 : x.count() / C;
  const int32_t columns = static_cast<int32_t>(C);
  const bool vectors = C % packet(x) == 0 && aligned(out.data, x.data, weight.data, bias.data);
  if (C > (vectors ? wide : narrow_any)) {
    context.launch(by_type(x, "layernorm_forward_wide_f32", "layernorm_forward_wide_bf16"),
                   blocks(rows), wide_threads, 0, out.data, mean.f32(), rstd.f32(), x.data,
                   weight.data, bias.data, columns, epsilon);
    return;
  }
  const bool is_narrow = C <= narrow;
  const unsigned threads = 512;
  const size_t shared = is_narrow ? static_cast<size_t>(2 * padded(C, x)) * dtype_size(x.dtype) : 0;
  context.launch(forward_kernel(C, vectors, x),
                 blocks(walking_blocks(context, rows, is_narrow ? threads / 32 : 1)), threads,
                 static_cast<unsigned>(shared), out.data, mean.f32(), rstd.f32(), x.data,
                 weight.data, bias.data, rows, columns, epsilon);
}

void layernorm_backward(Context& context, Array dx, Array dweight, Array dbias, Array dout, Array x,
                        Array weight, Array mean, Array rstd, bool accumulate_dx,
                        bool accumulate_dweight, bool accumulate_dbias) {
  const int64_t C = x.shape[-1], rows = C == 0 ? 0 : x.count() / C;
  const int32_t columns = static_cast<int32_t>(C), in_slice = slice_rows(rows);
  const int64_t slices = divide_up(rows, in_slice);
  const bool parameters = dweight || dbias;
  Scratch<float> scratch(context, parameters ? std::max<int64_t>(1, slices * 2 * C) : 1);
  float* partials = parameters ? scratch.data() : nullptr;
  const bool vectors = C % packet(x) == 0 && aligned(dx.data, dout.data, x.data, weight.data);
  if (C > (vectors ? wide : narrow_any)) {
    if (dx) {
      context.launch(by_type(x, "layernorm_backward_wide_f32", "layernorm_backward_wide_bf16"),
                     blocks(rows), wide_threads, 0, dx.data, dout.data, x.data, weight.data,
                     mean.f32(), rstd.f32(), columns, int32_t{accumulate_dx});
    }
    if (parameters) {
      const Grid grid{static_cast<unsigned>(divide_up(C, 256)), static_cast<unsigned>(slices)};
      context.launch(by_type(x, "layernorm_slices_wide_f32", "layernorm_slices_wide_bf16"), grid,
                     256, 0, partials, dout.data, x.data, mean.f32(), rstd.f32(), rows, columns,
                     in_slice);
    }
  } else {
    const size_t shared =
        C <= narrow ? static_cast<size_t>(padded(C, x)) * dtype_size(x.dtype) + 8 * C : 0;
    context.launch(backward_kernel(C, vectors, x), blocks(slices), C <= narrow ? 256 : 512,
                   static_cast<unsigned>(shared), dx.data, partials, dout.data, x.data, weight.data,
                   mean.f32(), rstd.f32(), rows, columns, in_slice, int32_t{accumulate_dx});
  }
  if (dweight) add_slices(context, dweight.f32(), partials, slices, C, 2 * C, accumulate_dweight);
  if (dbias) add_slices(context, dbias.f32(), partials + C, slices, C, 2 * C, accumulate_dbias);
}

}  // namespace gptloom::cuda
