#pragma once

#include "engine/cuda/staging.h"

#include <cstddef>

namespace miniparallel::cuda {

/// Copies between host and devices. Copies from the host to a device go through pinned memory, so that the
/// host need not wait.
class Copies {
 public:
  Copies(Gpus& gpus, Memory& memory) : gpus_(gpus), staging_(memory) {}

  Staging& staging() { return staging_; }

  /// `from` may be written again on return.
  void to_device(void* to, const void* from, std::size_t bytes, kernels::Stream stream);
  /// `from` is pinned and must not be written before the stream has got so far.
  void pinned_to_device(void* to, const void* from, std::size_t bytes, kernels::Stream stream);
  /// Waits.
  void to_host(void* to, const void* from, std::size_t bytes, kernels::Stream stream);

  /// Within a GPU.
  void within(void* to, const void* from, std::size_t bytes, kernels::Stream stream);

  // Between GPUs, after the work of both streams and before what both do next: by the GPUs alone, which must
  // reach each other, and through host memory.
  void direct(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
              std::size_t bytes);
  void staged(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
              std::size_t bytes);

 private:
  Gpus& gpus_;
  Staging staging_;
};

}  // namespace miniparallel::cuda
