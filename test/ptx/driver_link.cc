// The JIT linker, as far as one image goes: what was added comes back and is loaded as a module.
#include "driver_state.h"

namespace ptx::driver {

namespace {

struct Link {
  std::string bytes;
  int parts = 0;
};

Table<Link>& links() {
  static Table<Link>* const all = new Table<Link>;
  return *all;
}

constexpr int input_ptx = 1, input_fatbin = 2;  // CUjitInputType

template <class F>
CUresult with_link(CUlinkState handle, F f) {
  return enter_context([&](Call&) -> CUresult {
    const auto link = links().find(handle);
    return link ? f(*link) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult add(Link& link, int type, const void* data, size_t bytes) {
  if (!data || !bytes || (type != input_ptx && type != input_fatbin)) return CUDA_ERROR_INVALID_VALUE;
  if (link.parts++ > 0) {
    complain("cuLinkAddData: linking several images is not supported");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  link.bytes.assign(static_cast<const char*>(data), bytes);
  link.bytes.append(64, 0);
  return CUDA_SUCCESS;
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuLinkCreate_v2(PTX_uint, CUjit_option*, void**, CUlinkState* state) {
  return enter_context([&](Call&) {
    if (!state) return CUDA_ERROR_INVALID_VALUE;
    *state = reinterpret_cast<CUlinkState>(links().add(std::make_shared<Link>()));
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkAddData_v2(CUlinkState state, int type, void* data, size_t bytes, const char*, PTX_uint,
                          CUjit_option*, void**) {
  return with_link(state, [&](Link& link) { return add(link, type, data, bytes); });
}

CUresult cuLinkAddFile_v2(CUlinkState state, int type, const char* path, PTX_uint, CUjit_option*, void**) {
  return with_link(state, [&](Link& link) -> CUresult {
    std::string bytes;
    if (!path) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = read_file(path, &bytes)) return error;
    return add(link, type, bytes.data(), bytes.size());
  });
}

CUresult cuLinkComplete(CUlinkState state, void** image, size_t* bytes) {
  return with_link(state, [&](Link& link) {
    if (!image || link.parts == 0) return CUDA_ERROR_INVALID_VALUE;
    *image = link.bytes.data();
    if (bytes) *bytes = link.bytes.size();
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkDestroy(CUlinkState state) {
  return enter_context(
      [&](Call&) { return links().remove(state) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}
