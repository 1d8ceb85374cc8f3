// An NVIDIA GPU as a device.
#pragma once
#include <memory>

#include "cuda/stream.h"
#include "device.h"

namespace gptloom::cuda {

// Throws Error("ERR_NO_DRIVER") without a driver, "ERR_DEVICE" when there is no such GPU.
std::shared_ptr<Device> open_device(int ordinal, const StreamOptions& options);

}  // namespace gptloom::cuda
