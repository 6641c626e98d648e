#pragma once

#include <miniparallel/cuda.h>
#include <miniparallel/error.h>
#include <miniparallel/parallel.h>

#include <numeric>
#include <optional>
#include <string>
#include <vector>

/// The first N GPUs of `--gpus N`, or the CPU for 0. Without the option the list is empty, which means all
/// GPUs, or the CPU if there is none. Throws `Error` where the machine has fewer.
inline miniparallel::DeviceList devices_of(const std::optional<int>& gpus) {
  if (!gpus) return {};
  if (*gpus == 0) return {miniparallel::Device::cpu()};
  const int count = miniparallel::cuda_device_count();
  if (*gpus > count)
    throw miniparallel::Error(
        "--gpus " + std::to_string(*gpus) + ": this machine has " + std::to_string(count) +
        (count == 0 ? " (" + miniparallel::cuda_unavailable_reason() + ")" : "") + "; ask for fewer");
  std::vector<int> first(static_cast<std::size_t>(*gpus));
  std::iota(first.begin(), first.end(), 0);
  return first;
}
