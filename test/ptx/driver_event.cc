// Events: points in a stream, with the time of the emulated clock.
#include "driver_state.h"
#include "graph.h"

namespace ptx::driver {

namespace {

constexpr unsigned disable_timing = 2, interprocess = 4, external = 1;

template <class F>
CUresult with_event(CUevent handle, F f) {
  return enter_context([&](Call& call) -> CUresult {
    const auto event = call.s.events.find(handle);
    return event ? f(call, event) : CUDA_ERROR_INVALID_HANDLE;
  });
}

}  // namespace
}  // namespace ptx::driver

using namespace ptx::driver;

CUresult cuEventCreate(CUevent* out, PTX_uint flags) {
  return enter_context([&](Call& call) {
    if (!out || flags > 7) return CUDA_ERROR_INVALID_VALUE;
    if (flags & interprocess) return CUDA_ERROR_NOT_SUPPORTED;
    auto event = std::make_shared<Event>();
    event->context = call.context;
    event->flags = flags;
    *out = reinterpret_cast<CUevent>(call.s.events.add(std::move(event)));
    return CUDA_SUCCESS;
  });
}

CUresult cuEventDestroy_v2(CUevent handle) {
  return with_event(handle, [&](Call& call, const std::shared_ptr<Event>&) {
    call.s.events.remove(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuEventRecord(CUevent event, CUstream stream) { return cuEventRecordWithFlags(event, stream, 0); }

CUresult cuEventRecordWithFlags(CUevent handle, CUstream stream_handle, PTX_uint flags) {
  return with_event(handle, [&](Call& call, const std::shared_ptr<Event>& event) -> CUresult {
    const auto stream = stream_of(call, stream_handle);
    if (!stream || event->context != call.context) return CUDA_ERROR_INVALID_HANDLE;
    if (flags > external) return CUDA_ERROR_INVALID_VALUE;
    if (stream->capture) {
      if (flags == external) return enqueue(call, *stream, RecordOp{event, nullptr});
      if (const CUresult error = capture_allows(call, *stream)) return error;
      event->capture = stream->capture;
      event->tips = stream->tips;
      event->record.reset();
      return CUDA_SUCCESS;
    }
    auto record = std::make_shared<EventRecord>();
    if (const CUresult error = enqueue(call, *stream, RecordOp{event, record})) return error;
    event->capture.reset();
    event->tips.clear();
    event->record = std::move(record);
    return CUDA_SUCCESS;
  });
}

CUresult cuEventQuery(CUevent handle) {
  return with_event(handle, [&](Call&, const std::shared_ptr<Event>& event) {
    if (event->capture) return CUDA_ERROR_CAPTURED_EVENT;
    return !event->record || event->record->task->done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}

CUresult cuEventSynchronize(CUevent handle) {
  return with_event(handle, [&](Call& call, const std::shared_ptr<Event>& event) {
    if (event->capture) return CUDA_ERROR_CAPTURED_EVENT;
    return event->record ? wait_for(call, event->record->task) : CUDA_SUCCESS;
  });
}

CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent start, CUevent end) {
  return with_event(start, [&](Call& call, const std::shared_ptr<Event>& first) {
    const auto second = call.s.events.find(end);
    if (!second || !first->record || !second->record) return CUDA_ERROR_INVALID_HANDLE;
    if ((first->flags | second->flags) & disable_timing) return CUDA_ERROR_INVALID_HANDLE;
    if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
    if (!first->record->task->done || !second->record->task->done) return CUDA_ERROR_NOT_READY;
    *milliseconds = static_cast<float>((second->record->time - first->record->time) * 1e3);
    return CUDA_SUCCESS;
  });
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start, CUevent end) {
  return cuEventElapsedTime_v2(milliseconds, start, end);
}
