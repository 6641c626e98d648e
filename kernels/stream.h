#pragma once

namespace miniparallel::kernels {

/// Where a launcher enqueues its work: a cudaStream_t on a GPU, nothing on the CPU (work is done on return).
struct Stream {
  void* handle = nullptr;
};

}  // namespace miniparallel::kernels
