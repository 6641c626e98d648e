#pragma once
// Kernel launches and shared memory, written once for nvcc and for the simulated GPU. This is the only file
// of the library that knows of the simulator: outside nvcc it brings the device language as C++ and queues
// the kernel as a closure.
//
//   __global__ void scale(float* x, float factor, int n) { ... }
//   launch(scale, {.grid = blocks(n, 256), .block = 256, .stream = stream}, x, 2.0f, n);

#include "check.h"

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "miniparallel/simulator.h"
#include "miniparallel/simulator/kernel.h"

#include <cstdint>
#include <memory>
#include <tuple>
#include <utility>
#endif

namespace miniparallel::cuda {

struct LaunchConfig {
  dim3 grid = 1;
  dim3 block = 1;
  std::size_t shared_bytes = 0;  ///< size of dynamic_shared<T>()
  cudaStream_t stream = nullptr;
};

/// Blocks of `block` threads that cover `count` items; at least one.
inline unsigned blocks(std::size_t count, unsigned block) {
  return count == 0 ? 1u : static_cast<unsigned>((count + block - 1) / block);
}

/// Throws when a launch failed, naming the kernel.
inline void check_launch(cudaError_t code, const void* kernel) {
  if (code == cudaSuccess || code == cudaErrorCudartUnloading) return;
  const char* name = "?";
  quietly(cudaFuncGetName(&name, kernel));
  throw_cuda_error(code, (std::string("the launch of kernel ") + name).c_str());
}

#ifdef __CUDACC__

/// Starts `kernel(arguments...)` on `config.stream`, whose device must be current. Throws CudaError.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchConfig& config, Arguments&&... arguments) {
  cudaLaunchConfig_t native{};
  native.gridDim = config.grid;
  native.blockDim = config.block;
  native.dynamicSmemBytes = config.shared_bytes;
  native.stream = config.stream;
  check_launch(cudaLaunchKernelEx(&native, kernel, static_cast<Parameters>(arguments)...),
               reinterpret_cast<const void*>(kernel));
}

/// The block's array of `N` elements. Arrays with different tags, or in different kernels, are different.
template <typename T, int N, auto tag = 0>
__device__ T (&shared_array())[N] {
  __shared__ T array[N];
  return array;
}

/// The array whose size the launch gives in bytes.
template <typename T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char miniparallel_dynamic_shared[];
  return reinterpret_cast<T*>(miniparallel_dynamic_shared);
}

/// A caching allocator says where its blocks begin and end their lives, in the order of the stream that uses
/// them. Nothing on a GPU; the simulated one finds accesses past a block's end or after its return.
inline void block_handed_out(const void*, std::size_t, cudaStream_t) {}
inline void block_returned(const void*, cudaStream_t) {}

#else

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), const LaunchConfig& config, Arguments&&... arguments) {
  using Bound = std::pair<void (*)(Parameters...), std::tuple<Parameters...>>;
  simulator::KernelLaunch call;
  call.function = reinterpret_cast<const void*>(kernel);
  call.grid = config.grid;
  call.block = config.block;
  call.shared_bytes = config.shared_bytes;
  call.stream = config.stream;
#ifdef __SANITIZE_THREAD__
  call.instrumented = true;
#endif
  call.arguments =
      std::make_shared<Bound>(kernel, std::tuple<Parameters...>(static_cast<Parameters>(arguments)...));
  call.argument_bytes = sizeof(Bound);
  call.invoke = [](void* arguments_of_kernel) {
    const Bound& bound = *static_cast<Bound*>(arguments_of_kernel);
    std::apply(bound.first, bound.second);
  };
  check_launch(simulator::launch_kernel(std::move(call)), reinterpret_cast<const void*>(kernel));
}

namespace detail {
template <typename T, int N, auto tag>
inline constexpr char shared_key = 0;
}

template <typename T, int N, auto tag = 0>
T (&shared_array())
[N] {
  using Array = T[N];
  return *static_cast<Array*>(
      simulator::shared_slot(&detail::shared_key<T, N, tag>, sizeof(Array), alignof(T)));
}

template <typename T>
T* dynamic_shared() {
  return static_cast<T*>(simulator::dynamic_shared_memory());
}

using simulator::block_handed_out;
using simulator::block_returned;

#endif

}  // namespace miniparallel::cuda
