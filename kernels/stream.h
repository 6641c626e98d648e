#pragma once

namespace miniparallel::kernels {

/// Where a launcher enqueues its work: a cudaStream_t and
/// its GPU, or nothing on the CPU (work is done on return).
struct Stream {
  void* handle = nullptr;
  int device = -1;  ///< index of the GPU; below 0 for the CPU

  friend bool operator==(const Stream&, const Stream&) = default;
};

}  // namespace miniparallel::kernels
