#pragma once
// In the place of NVIDIA's file of this name, which is empty for a host compiler: thrust::sort with a CUDA
// policy, as work on the policy's stream. Policies, allocators and everything else are NVIDIA's.

#include "miniparallel/simulator/library_call.h"

#include <thrust/detail/raw_pointer_cast.h>
#include <thrust/detail/temporary_array.h>
#include <thrust/system/cuda/detail/execution_policy.h>
#include <thrust/system/cuda/detail/util.h>

#include <algorithm>
#include <cstdint>
#include <memory>

THRUST_NAMESPACE_BEGIN
namespace cuda_cub {

template <class Policy, class Iterator, class Compare>
void sort(execution_policy<Policy>& policy, Iterator first, Iterator last, Compare compare) {
  const auto count = last - first;
  if (count == 0) return;
  auto* const keys = thrust::raw_pointer_cast(&*first);
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof *keys;
  // NVIDIA's radix sort asks for a second array of keys, a
  // KiB per tile of a few thousand of them, and counters.
  const std::size_t scratch_bytes = bytes + bytes / 16 + (std::size_t{64} << 10);
  thrust::detail::temporary_array<std::uint8_t, Policy> scratch(policy,
                                                                static_cast<std::ptrdiff_t>(scratch_bytes));
  const cudaError_t error = miniparallel::simulator::queue_library_call(
      stream(policy), "thrust::sort", {keys, bytes}, {scratch.data().get(), scratch_bytes},
      [=] { std::sort(keys, keys + count, compare); });
  throw_on_error(error, "thrust::sort");
  throw_on_error(synchronize_optional(policy), "thrust::sort");
}

template <class Policy, class Iterator>
void sort(execution_policy<Policy>& policy, Iterator first, Iterator last) {
  cuda_cub::sort(policy, first, last, [](const auto& a, const auto& b) { return a < b; });
}

}  // namespace cuda_cub
THRUST_NAMESPACE_END
