// Streams: the order of work.
#include <algorithm>

#include "driver_state.h"
#include "graph.h"

namespace ptx::driver {

namespace {

thread_local bool per_thread_default = false;

const CUstream legacy_handle = reinterpret_cast<CUstream>(1),
               per_thread_handle = reinterpret_cast<CUstream>(2);

std::shared_ptr<Stream> per_thread_stream(Call& call) {
  auto& stream = call.context->per_thread[std::this_thread::get_id()];
  if (!stream) {
    stream = std::make_shared<Stream>();
    stream->context = call.context;
    stream->id = ++call.s.ids + 2;
  }
  return stream;
}

bool blocking(const Stream& stream) { return !(stream.flags & non_blocking); }

// What the next task of a stream waits for: its own last one, and what the null stream's rule adds.
std::vector<std::shared_ptr<Task>> before(Call& call, const Stream& stream) {
  std::vector<std::shared_ptr<Task>> tasks = {stream.last};
  Context* const context = stream.context;
  if (stream.legacy) {
    for (const auto& [handle, other] : call.s.streams.all()) {
      if (other->context == context && blocking(*other)) tasks.push_back(other->last);
    }
    for (const auto& [thread, other] : context->per_thread) tasks.push_back(other->last);
  } else if (blocking(stream)) {
    tasks.push_back(context->legacy->last);
  }
  return tasks;
}

}  // namespace

CUstream default_stream() { return per_thread_default ? per_thread_handle : legacy_handle; }
PerThreadScope::PerThreadScope() : before(per_thread_default) { per_thread_default = true; }
PerThreadScope::~PerThreadScope() { per_thread_default = before; }

std::shared_ptr<Stream> stream_of(Call& call, CUstream handle) {
  if (!handle) handle = default_stream();
  if (handle == legacy_handle) return call.context->legacy;
  if (handle == per_thread_handle) return per_thread_stream(call);
  const auto stream = call.s.streams.find(handle);
  return stream && stream->context == call.context ? stream : nullptr;
}

// The null stream waits for all blocking ones, so that it cannot be used while one of them is captured.
CUresult not_with_legacy_capture(Call& call, const Stream& stream) {
  if (!stream.legacy) return CUDA_SUCCESS;
  for (Capture* capture : call.s.captures) {
    for (const Stream* member : capture->members) {
      if (member->context != stream.context || !blocking(*member)) continue;
      capture->invalid = true;
      return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
  }
  return CUDA_SUCCESS;
}

CUresult enqueue(Call& call, Stream& stream, Operation operation, std::shared_ptr<Task>* task,
                 const std::vector<std::shared_ptr<Task>>& also) {
  if (stream.capture) return capture_operation(call, stream, std::move(operation));
  if (const CUresult error = not_with_legacy_capture(call, stream)) return error;
  const auto* record = std::get_if<RecordOp>(&operation);
  const std::shared_ptr<EventRecord> noted = record ? record->record : nullptr;
  auto after = before(call, stream);
  after.insert(after.end(), also.begin(), also.end());
  stream.last = call.s.queue.add(call.s, stream.context, std::move(operation), after);
  if (noted) noted->task = stream.last;
  if (task) *task = stream.last;
  return CUDA_SUCCESS;
}

CUresult wait_for(Call& call, const std::shared_ptr<Task>& task) {
  Context* const context = call.context;
  if (task) call.s.queue.wait(call.lock, *task);
  return context->error;
}

CUresult run_now(Call& call, Operation operation) {
  std::shared_ptr<Task> task;
  const auto stream = stream_of(call, nullptr);
  const CUresult error = enqueue(call, *stream, std::move(operation), &task);
  return error ? error : wait_for(call, task);
}

CUresult wait_idle(Call& call, Context* context) {
  call.s.queue.wait_idle(call.lock, context);
  return context ? context->error : CUDA_SUCCESS;
}

namespace {

template <class F>
CUresult with_stream(CUstream handle, F f) {
  return enter_context([&](Call& call) -> CUresult {
    const auto stream = stream_of(call, handle);
    return stream ? f(call, *stream) : CUDA_ERROR_INVALID_HANDLE;
  });
}

// Calls that look at a stream's progress have no answer while it is captured, and end the capture.
CUresult not_captured(Stream& stream) {
  if (!stream.capture) return CUDA_SUCCESS;
  stream.capture->invalid = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult create(CUstream* out, unsigned flags, int priority) {
  return enter_context([&](Call& call) {
    if (!out || flags > non_blocking) return CUDA_ERROR_INVALID_VALUE;
    auto stream = std::make_shared<Stream>();
    stream->context = call.context;
    stream->flags = flags;
    stream->priority = std::clamp(priority, -5, 0);
    stream->id = ++call.s.ids + 2;
    *out = reinterpret_cast<CUstream>(call.s.streams.add(std::move(stream)));
    return CUDA_SUCCESS;
  });
}

template <class T>
CUresult write_value(CUstream handle, CUdeviceptr address, T value, unsigned flags) {
  return with_stream(handle, [&](Call& call, Stream& stream) -> CUresult {
    if (flags > 1 || address % sizeof value) return CUDA_ERROR_INVALID_VALUE;
    CUDA_MEMCPY3D p = {};
    p.srcMemoryType = CU_MEMORYTYPE_HOST, p.srcHost = &value;
    p.dstMemoryType = CU_MEMORYTYPE_UNIFIED, p.dstDevice = address;
    p.WidthInBytes = sizeof value, p.Height = 1, p.Depth = 1;
    CopyOp op;
    if (const CUresult error = make_copy(call, p, true, &op)) return error;
    return enqueue(call, stream, std::move(op));
  });
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuStreamCreate(CUstream* stream, PTX_uint flags) { return create(stream, flags, 0); }

CUresult cuStreamCreateWithPriority(CUstream* stream, PTX_uint flags, int priority) {
  return create(stream, flags, priority);
}

CUresult cuStreamDestroy_v2(CUstream handle) {
  return enter_context([&](Call& call) {
    const auto stream = call.s.streams.find(handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture) drop_capture(call, stream->capture);
    call.s.streams.remove(handle);  // its work goes on, as the manual has it
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamQuery(CUstream handle) {
  return with_stream(handle, [&](Call& call, Stream& stream) {
    if (const CUresult error = not_captured(stream)) return error;
    for (const auto& task : before(call, stream)) {
      if (task && !task->done) return CUDA_ERROR_NOT_READY;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamSynchronize(CUstream handle) {
  return with_stream(handle, [&](Call& call, Stream& stream) {
    if (const CUresult error = not_captured(stream)) return error;
    if (const CUresult error = not_with_legacy_capture(call, stream)) return error;
    CUresult result = call.context->error;
    for (const auto& task :
         stream.legacy ? before(call, stream) : std::vector<std::shared_ptr<Task>>{stream.last})
      result = wait_for(call, task);
    return result;
  });
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event_handle, PTX_uint flags) {
  return with_stream(handle, [&](Call& call, Stream& stream) -> CUresult {
    const auto event = call.s.events.find(event_handle);
    if (!event) return CUDA_ERROR_INVALID_HANDLE;
    if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
    if (stream.capture || event->capture) return capture_wait(call, stream, event, flags == 1);
    if (!event->record) return CUDA_SUCCESS;
    return enqueue(call, stream, WaitOp{event}, nullptr, {event->record->task});
  });
}

CUresult cuStreamAddCallback(CUstream handle, CUstreamCallback callback, void* data, PTX_uint flags) {
  return with_stream(handle, [&](Call& call, Stream& stream) -> CUresult {
    if (!callback || flags) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult error = not_captured(stream)) return error;
    HostOp op;
    op.callback = callback;
    op.data = data;
    op.stream = handle;
    op.context = call.context;
    return enqueue(call, stream, std::move(op));
  });
}

CUresult cuStreamGetPriority(CUstream handle, int* priority) {
  return with_stream(handle, [&](Call&, Stream& stream) {
    if (!priority) return CUDA_ERROR_INVALID_VALUE;
    *priority = stream.priority;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetFlags(CUstream handle, PTX_uint* flags) {
  return with_stream(handle, [&](Call&, Stream& stream) {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = stream.flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetId(CUstream handle, unsigned long long* id) {
  return with_stream(handle, [&](Call&, Stream& stream) {
    if (!id) return CUDA_ERROR_INVALID_VALUE;
    *id = stream.id;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetCtx(CUstream handle, CUcontext* context) {
  return with_stream(handle, [&](Call&, Stream& stream) {
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    *context = reinterpret_cast<CUcontext>(stream.context);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetDevice(CUstream handle, CUdevice* device) {
  return with_stream(handle, [&](Call&, Stream&) {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = 0;
    return CUDA_SUCCESS;
  });
}

// Attributes are hints that have no effect here; they are kept and given back.
CUresult cuStreamGetAttribute(CUstream handle, CUlaunchAttributeID attribute,
                              CUlaunchAttributeValue* value) {
  return with_stream(handle, [&](Call&, Stream& stream) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    *value = stream.attributes[attribute];
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamSetAttribute(CUstream handle, CUlaunchAttributeID attribute,
                              const CUlaunchAttributeValue* value) {
  return with_stream(handle, [&](Call&, Stream& stream) {
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    stream.attributes[attribute] = *value;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamCopyAttributes(CUstream to, CUstream from) {
  return with_stream(from, [&](Call& call, Stream& source) {
    const auto target = stream_of(call, to);
    if (!target) return CUDA_ERROR_INVALID_HANDLE;
    target->attributes = source.attributes;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamAttachMemAsync(CUstream handle, CUdeviceptr address, size_t, PTX_uint) {
  return with_stream(handle, [&](Call& call, Stream&) {
    const auto at = call.s.blocks.find(address);
    return at != call.s.blocks.end() && at->second.managed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr address, uint32_t value, PTX_uint flags) {
  return write_value(stream, address, value, flags);
}

CUresult cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr address, uint64_t value, PTX_uint flags) {
  return write_value(stream, address, value, flags);
}
