// The CPU as a device: a queue whose thread runs each op over the process's thread pool.
#pragma once
#include <memory>

#include "allocator.h"
#include "cpu/ops.h"
#include "device.h"
#include "queue.h"

namespace gptloom::cpu {

// threads 0: as many as the process may use, in the pool that all such devices share. Any other
// number gives the device a pool of its own.
std::shared_ptr<Device> open_device(int threads);

}  // namespace gptloom::cpu
