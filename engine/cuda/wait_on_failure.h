#pragma once

#include "engine/cuda/events.h"
#include "kernels/stream.h"

#include <exception>

namespace miniparallel::cuda {

/// When something fails halfway, nothing waits for the work that it has enqueued on `stream`, and memory that
/// this uses is about to be freed: the host waits.
class WaitOnFailure {
 public:
  explicit WaitOnFailure(kernels::Stream stream) : stream_(stream) {}
  ~WaitOnFailure() {
    if (std::uncaught_exceptions() > before_) quietly(cudaStreamSynchronize(native(stream_)));
  }
  WaitOnFailure(const WaitOnFailure&) = delete;
  WaitOnFailure& operator=(const WaitOnFailure&) = delete;

 private:
  kernels::Stream stream_;
  int before_ = std::uncaught_exceptions();
};

}  // namespace miniparallel::cuda
