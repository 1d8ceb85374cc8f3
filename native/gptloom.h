/* The C interface for kernels of your own: a Node addon exports a gptloom_kernel, nativeKernel() of
 * 'gptloom/tensor' takes it, and it runs in the queue of a device, in order with everything else, on
 * the CPU or on a GPU. This header stands alone; nothing is linked. examples/kernel/ is a whole addon.
 *
 * Compile it with the package's folder `native` among the include directories, and after <node_api.h>
 * where gptloom_kernel_to_js is wanted. */
#ifndef GPTLOOM_H
#define GPTLOOM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when one of the structs below changes in a way that compiled kernels would notice. */
#define GPTLOOM_KERNEL_VERSION 1

enum gptloom_dtype { GPTLOOM_FLOAT32 = 0, GPTLOOM_INT32 = 1, GPTLOOM_BFLOAT16 = 2 };
enum gptloom_device { GPTLOOM_CPU = 0, GPTLOOM_CUDA = 1 };

/* A dense row-major tensor. `data` is memory of the device: on a GPU only its kernels may touch it. */
typedef struct {
  void* data;
  int32_t dtype; /* gptloom_dtype */
  int32_t rank;
  int64_t sizes[6];
} gptloom_array;

typedef struct gptloom_call gptloom_call;

/* Computes outputs [begin, end) of those that the work was split into. */
typedef void (*gptloom_body)(void* state, int64_t begin, int64_t end);

/* One call: what to compute, and how. Valid until the function returns. */
struct gptloom_call {
  int32_t device; /* gptloom_device */
  int32_t count;  /* of arrays */
  const gptloom_array* arrays; /* in the order in which JavaScript gave them */
  const void* params;          /* a copy of the bytes that JavaScript gave; 16-byte aligned */
  size_t params_size;

  /* CPU only. Calls body over [0, n) in pieces of `grain`, on the device's threads, and returns when
   * all are done. For the same bits with any number of threads, let pieces write different outputs. */
  void (*parallel)(const gptloom_call* call, int64_t n, int64_t grain, gptloom_body body,
                   void* state);

  /* CUDA only. Queues a kernel of the image: a grid of grid[0..2] blocks of `threads` threads with
   * `shared` bytes of dynamic shared memory. args[i] points at the i-th argument, of sizes[i] bytes,
   * which is copied. */
  void (*launch)(const gptloom_call* call, const char* kernel, const uint32_t grid[3],
                 uint32_t threads, uint32_t shared, const void* const* args, const size_t* sizes,
                 size_t count);

  void* internal;
};

/* Returns null, or what is wrong, as text that outlives the call. Called on a thread of the device,
 * never on that of JavaScript; it must not throw. */
typedef const char* (*gptloom_function)(const gptloom_call* call);

/* Lives as long as the process. */
typedef struct {
  uint32_t version;      /* GPTLOOM_KERNEL_VERSION */
  uint32_t reserved;     /* 0 */
  const char* name;      /* for messages */
  gptloom_function cpu;  /* null: does not run there */
  gptloom_function cuda; /* null: does not run there */
  const void* image;     /* PTX as text that ends in 0, a cubin or a fatbin; null without `cuda` */
} gptloom_kernel;

#ifdef SRC_NODE_API_H_
/* The JavaScript value that nativeKernel() takes. */
static inline napi_status gptloom_kernel_to_js(napi_env env, const gptloom_kernel* kernel,
                                               napi_value* result) {
  const napi_type_tag tag = {0x67707431746c6f6dULL, 0x6b65726e656c0001ULL};
  napi_status status = napi_create_object(env, result);
  if (status == napi_ok) status = napi_wrap(env, *result, (void*)kernel, NULL, NULL, NULL);
  return status == napi_ok ? napi_type_tag_object(env, *result, &tag) : status;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
