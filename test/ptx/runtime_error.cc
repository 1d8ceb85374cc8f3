// Names and texts of the runtime's error codes. The codes are the driver's; the names are not, and a
// few codes the driver has no text for.
#include "runtime.h"

namespace {

struct Entry {
  int code;
  const char* text;
};

#define NAME(name) {cudaError##name, "cudaError" #name},
constexpr Entry names[] = {
    {cudaSuccess, "cudaSuccess"},
    NAME(InvalidValue) NAME(MemoryAllocation) NAME(InitializationError) NAME(CudartUnloading)
    NAME(ProfilerDisabled) NAME(ProfilerNotInitialized) NAME(ProfilerAlreadyStarted)
    NAME(ProfilerAlreadyStopped) NAME(InvalidConfiguration) NAME(InvalidPitchValue)
    NAME(InvalidSymbol) NAME(InvalidHostPointer) NAME(InvalidDevicePointer)
    NAME(InvalidMemcpyDirection) NAME(StubLibrary) NAME(InsufficientDriver)
    NAME(CallRequiresNewerDriver) NAME(DevicesUnavailable) NAME(IncompatibleDriverContext)
    NAME(MissingConfiguration) NAME(LaunchMaxDepthExceeded) NAME(SyncDepthExceeded)
    NAME(LaunchPendingCountExceeded) NAME(InvalidDeviceFunction) NAME(NoDevice)
    NAME(InvalidDevice) NAME(DeviceNotLicensed) NAME(SoftwareValidityNotEstablished)
    NAME(StartupFailure) NAME(InvalidKernelImage) NAME(DeviceUninitialized)
    NAME(MapBufferObjectFailed) NAME(UnmapBufferObjectFailed) NAME(ArrayIsMapped)
    NAME(AlreadyMapped) NAME(NoKernelImageForDevice) NAME(AlreadyAcquired) NAME(NotMapped)
    NAME(NotMappedAsArray) NAME(NotMappedAsPointer) NAME(ECCUncorrectable) NAME(UnsupportedLimit)
    NAME(DeviceAlreadyInUse) NAME(PeerAccessUnsupported) NAME(InvalidPtx)
    NAME(InvalidGraphicsContext) NAME(NvlinkUncorrectable) NAME(JitCompilerNotFound)
    NAME(UnsupportedPtxVersion) NAME(JitCompilationDisabled) NAME(UnsupportedExecAffinity)
    NAME(UnsupportedDevSideSync) NAME(Contained) NAME(InvalidSource) NAME(FileNotFound)
    NAME(SharedObjectSymbolNotFound) NAME(SharedObjectInitFailed) NAME(OperatingSystem)
    NAME(InvalidResourceHandle) NAME(IllegalState) NAME(LossyQuery) NAME(SymbolNotFound)
    NAME(NotReady) NAME(IllegalAddress) NAME(LaunchOutOfResources) NAME(LaunchTimeout)
    NAME(PeerAccessAlreadyEnabled) NAME(PeerAccessNotEnabled) NAME(SetOnActiveProcess)
    NAME(ContextIsDestroyed) NAME(Assert) NAME(TooManyPeers) NAME(HostMemoryAlreadyRegistered)
    NAME(HostMemoryNotRegistered) NAME(HardwareStackError) NAME(IllegalInstruction)
    NAME(MisalignedAddress) NAME(InvalidAddressSpace) NAME(InvalidPc) NAME(LaunchFailure)
    NAME(CooperativeLaunchTooLarge) NAME(NotPermitted) NAME(NotSupported) NAME(SystemNotReady)
    NAME(SystemDriverMismatch) NAME(CompatNotSupportedOnDevice) NAME(CdpNotSupported)
    NAME(CdpVersionMismatch) NAME(StreamCaptureUnsupported) NAME(StreamCaptureInvalidated)
    NAME(StreamCaptureMerge) NAME(StreamCaptureUnmatched) NAME(StreamCaptureUnjoined)
    NAME(StreamCaptureIsolation) NAME(StreamCaptureImplicit) NAME(CapturedEvent)
    NAME(StreamCaptureWrongThread) NAME(Timeout) NAME(GraphExecUpdateFailure) NAME(ExternalDevice)
    NAME(InvalidClusterSize) NAME(FunctionNotLoaded) NAME(InvalidResourceType)
    NAME(InvalidResourceConfiguration) NAME(Unknown)
};
#undef NAME

constexpr Entry texts[] = {
    {cudaErrorInvalidConfiguration, "invalid configuration argument"},
    {cudaErrorInvalidPitchValue, "invalid pitch argument"},
    {cudaErrorInvalidSymbol, "invalid device symbol"},
    {cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorMissingConfiguration, "__global__ function call is not configured"},
    {cudaErrorInvalidDeviceFunction, "invalid device function"},
};

const char* find(const Entry* begin, const Entry* end, int code) {
  for (const Entry* entry = begin; entry != end; ++entry)
    if (entry->code == code) return entry->text;
  return nullptr;
}

constexpr const char* unknown = "unrecognized error code";

}  // namespace

extern "C" {

const char* cudaGetErrorName(cudaError_t error) {
  const char* name = find(std::begin(names), std::end(names), error);
  return name ? name : unknown;
}

const char* cudaGetErrorString(cudaError_t error) {
  const char* text = find(std::begin(texts), std::end(texts), error);
  if (!text) cuGetErrorString(static_cast<CUresult>(error), &text);
  return text ? text : unknown;
}

}  // extern "C"
