#pragma once

#include "kernels/cuda/device/check.h"

#include <atomic>
#include <string>

namespace miniparallel::kernels::cuda {

/// Gives back to CUDA the memory that the engine keeps for reuse. Set by the engine.
inline std::atomic<void (*)()> give_back_cached_memory = nullptr;

/// Makes a call that takes memory which the kernels keep for themselves. When the call answers
/// `out_of_memory`, the engine's cached memory is given back and the call is made again; `OutOfMemoryError`
/// if that does not help, else the call's status.
template <class Status>
Status with_memory(int device, const std::string& what, Status out_of_memory, const auto& call) {
  for (const bool again : {false, true}) {
    if (const Status status = call(); status != out_of_memory) return status;
    static_cast<void>(cudaGetLastError());
    if (const auto give_back = give_back_cached_memory.load(); !again && give_back != nullptr) give_back();
  }
  throw OutOfMemoryError(
      "cuda:" + std::to_string(device) + ": out of memory: " + what +
      " was asked for, and cached memory has been given back; use a smaller batch or free tensors");
}

}  // namespace miniparallel::kernels::cuda
