// Devices: how many, which is current, what they can do.

#include "core/call.h"
#include "core/capture.h"
#include "core/device_model.h"
#include "core/memory.h"

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>

using namespace miniparallel::simulator;

namespace {

bool exists(const Simulation& s, int device) {
  return device >= 0 && device < static_cast<int>(s.devices.size());
}

int attribute(const Simulation& s, cudaDeviceAttr which, int device, cudaError_t& error) {
  const Gpu& gpu = s.devices[static_cast<std::size_t>(device)].gpu;
  switch (which) {
    case cudaDevAttrMaxThreadsPerBlock:
      return 1024;
    case cudaDevAttrMaxBlockDimX:
      return 1024;
    case cudaDevAttrMaxBlockDimY:
      return 1024;
    case cudaDevAttrMaxBlockDimZ:
      return 64;
    case cudaDevAttrMaxGridDimX:
      return 0x7fffffff;
    case cudaDevAttrMaxGridDimY:
      return 65535;
    case cudaDevAttrMaxGridDimZ:
      return 65535;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return static_cast<int>(shared_bytes_per_block);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(opt_in_shared_bytes(s, device));
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(opt_in_shared_bytes(s, device)) + 1024;
    case cudaDevAttrTotalConstantMemory:
      return 65536;
    case cudaDevAttrWarpSize:
      return 32;
    case cudaDevAttrMaxRegistersPerBlock:
      return 65536;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return 65536;
    case cudaDevAttrClockRate:
      return 1'500'000;
    case cudaDevAttrMultiProcessorCount:
      return gpu.multiprocessors;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return 2048;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return 32;
    case cudaDevAttrL2CacheSize:
      return 50 << 20;
    case cudaDevAttrComputeCapabilityMajor:
      return gpu.compute_capability / 10;
    case cudaDevAttrComputeCapabilityMinor:
      return gpu.compute_capability % 10;
    case cudaDevAttrPciBusId:
      return device + 1;
    case cudaDevAttrPciDeviceId:
      return 0;
    case cudaDevAttrPciDomainId:
      return 0;
    case cudaDevAttrComputeMode:
      return cudaComputeModeDefault;
    case cudaDevAttrAsyncEngineCount:
      return 3;
    case cudaDevAttrTextureAlignment:
      return 512;
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrHostRegisterSupported:
      return 1;
    case cudaDevAttrIntegrated:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrEccEnabled:
      return 0;
    default:
      error = cudaErrorInvalidValue;
      return 0;
  }
}

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return call("cudaGetDeviceCount", [&](Simulation& s, Lock&) -> cudaError_t {
    *count = static_cast<int>(s.devices.size());
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", [&](Simulation& s, Lock&) -> cudaError_t {
    if (!exists(s, device)) return cudaErrorInvalidDevice;
    HostThread::get(s).device = device;
    return cudaSuccess;
  });
}

cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  return call("cudaInitDevice",
              [&](Simulation& s, Lock&) { return exists(s, device) ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", [&](Simulation& s, Lock&) -> cudaError_t {
    *device = current_device(s);
    return cudaSuccess;
  });
}

cudaError_t cudaSetDeviceFlags(unsigned) {
  return call("cudaSetDeviceFlags", [](Simulation&, Lock&) { return cudaSuccess; });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device) {
  return call("cudaDeviceGetAttribute", [&](Simulation& s, Lock&) -> cudaError_t {
    if (!exists(s, device)) return cudaErrorInvalidDevice;
    cudaError_t error = cudaSuccess;
    *value = attribute(s, which, device, error);
    return error;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", [&](Simulation& s, Lock&) -> cudaError_t {
    if (!exists(s, device)) return cudaErrorInvalidDevice;
    const Gpu& gpu = s.devices[static_cast<std::size_t>(device)].gpu;
    cudaError_t error = cudaSuccess;
    const auto get = [&](cudaDeviceAttr which) { return attribute(s, which, device, error); };
    cudaDeviceProp p{};
    std::snprintf(p.name, sizeof p.name, "%s", gpu.name.c_str());
    std::memcpy(p.uuid.bytes, "simulated-gpu-\0", 15);
    p.uuid.bytes[15] = static_cast<char>(device);
    p.totalGlobalMem = gpu.memory;
    p.sharedMemPerBlock = shared_bytes_per_block;
    p.sharedMemPerBlockOptin = opt_in_shared_bytes(s, device);
    p.sharedMemPerMultiprocessor = p.sharedMemPerBlockOptin + 1024;
    p.regsPerBlock = p.regsPerMultiprocessor = 65536;
    p.warpSize = 32;
    p.maxThreadsPerBlock = p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
    p.maxThreadsDim[2] = 64;
    p.maxGridSize[0] = 0x7fffffff;
    p.maxGridSize[1] = p.maxGridSize[2] = 65535;
    p.totalConstMem = 65536;
    p.major = gpu.compute_capability / 10;
    p.minor = gpu.compute_capability % 10;
    p.multiProcessorCount = gpu.multiprocessors;
    p.maxThreadsPerMultiProcessor = get(cudaDevAttrMaxThreadsPerMultiProcessor);
    p.maxBlocksPerMultiProcessor = get(cudaDevAttrMaxBlocksPerMultiprocessor);
    p.l2CacheSize = get(cudaDevAttrL2CacheSize);
    p.asyncEngineCount = get(cudaDevAttrAsyncEngineCount);
    p.pciBusID = get(cudaDevAttrPciBusId);
    p.concurrentKernels = p.canMapHostMemory = p.unifiedAddressing = p.streamPrioritiesSupported = 1;
    p.hostRegisterSupported = p.memoryPoolsSupported = 1;
    p.textureAlignment = 512;
    *properties = p;
    return error;
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  return call("cudaDeviceGetPCIBusId", [&](Simulation& s, Lock&) -> cudaError_t {
    if (!exists(s, device)) return cudaErrorInvalidDevice;
    std::snprintf(text, static_cast<std::size_t>(length), "0000:%02x:00.0", device + 1);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return call("cudaDeviceGetStreamPriorityRange", [&](Simulation&, Lock&) -> cudaError_t {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call("cudaDeviceSynchronize", [](Simulation& s, Lock& lock) -> cudaError_t {
    complain_about_unread_error(s, "cudaDeviceSynchronize");
    const int device = current_device(s);
    if (const cudaError_t error = wait_error(s, device); error != cudaSuccess) return error;
    Counters& counters = s.devices[static_cast<std::size_t>(device)].counters;
    ++counters.host_synchronizations;
    ++counters.device_synchronizations;
    if (const cudaError_t error = state_error(s, device); error != cudaSuccess) return error;
    return wait_for_device(s, lock, device);
  });
}

cudaError_t cudaDeviceReset() {
  return call("cudaDeviceReset", [](Simulation& s, Lock& lock) -> cudaError_t {
    const int device = current_device(s);
    if (const cudaError_t error = wait_error(s, device); error != cudaSuccess) return error;
    if (const cudaError_t error = wait_for_device(s, lock, device); error != cudaSuccess) return error;
    for (const Allocation* allocation : s.arenas.live(device)) {
      release(s, reinterpret_cast<void*>(allocation->begin), device, "cudaDeviceReset", s.host);
    }
    s.devices[static_cast<std::size_t>(device)].enabled_peers.clear();
    return cudaSuccess;
  });
}

// The versions can be asked for without a device, so that a program can say why it has none.

cudaError_t cudaDriverGetVersion(int* version) {
  *version = simulation().settings.driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
