// Launch functions of the C interface and kernel attributes. A kernel is a C++ function here: only the typed
// launch() of the launch header knows its arguments, so the untyped launches cannot run it.

#include "core/call.h"
#include "core/device_model.h"
#include "core/symbol.h"

#include <cuda_runtime_api.h>

using namespace miniparallel::simulator;

namespace {

cudaError_t refuse(const char* name) {
  return call(name, [&](Simulation&, Lock&) -> cudaError_t {
    report(Finding::instrumentation,
           std::string(name) + " cannot start a simulated kernel; use launch() of the launch header");
    return cudaErrorInvalidDeviceFunction;
  });
}

}  // namespace

cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, std::size_t, cudaStream_t) {
  return refuse("cudaLaunchKernel");
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void*, void**) {
  return refuse("cudaLaunchKernelExC");
}

cudaError_t cudaLaunchCooperativeKernel(const void*, dim3, dim3, void**, std::size_t, cudaStream_t) {
  return refuse("cudaLaunchCooperativeKernel");
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", [&](Simulation& s, Lock&) -> cudaError_t {
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || static_cast<std::size_t>(value) > opt_in_shared_bytes(s, current_device(s)))
      return cudaErrorInvalidValue;
    s.dynamic_shared_limit[function] = value;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  return call("cudaFuncGetAttributes", [&](Simulation& s, Lock&) -> cudaError_t {
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(shared_bytes_per_block);
    attributes->numRegs = 32;
    attributes->binaryVersion = s.devices[static_cast<std::size_t>(current_device(s))].gpu.compute_capability;
    attributes->ptxVersion = attributes->binaryVersion;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetName(const char** name, const void* function) {
  thread_local std::string text;
  text = symbol_name(function);
  *name = text.c_str();
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int threads,
                                                                   std::size_t shared, unsigned) {
  return call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&](Simulation& s, Lock&) -> cudaError_t {
    if (threads <= 0 || threads > 1024) return cudaErrorInvalidValue;
    const auto by_shared =
        shared == 0 ? std::size_t{32} : (opt_in_shared_bytes(s, current_device(s)) + 1024) / shared;
    *blocks =
        static_cast<int>(std::min<std::size_t>({32, static_cast<std::size_t>(2048 / threads), by_shared}));
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          std::size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared, 0);
}
