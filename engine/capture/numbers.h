#pragma once

#include <miniparallel/tensor.h>

#include "engine/capturing.h"

#include <cstddef>
#include <memory>
#include <vector>

namespace miniparallel {

/// The numbers of a captured step that change from one run to the next, on one GPU: laid out on the host, and
/// copied to the device before a run, all at once, if one has changed.
class StepNumbers {
 public:
  explicit StepNumbers(Device device) : device_(device) {}

  /// Room for so many bytes, aligned for any number. Null pointers where there is no more memory.
  Capture::Numbers reserve(std::size_t bytes);
  /// Enqueues the copy on the calling thread's stream.
  void upload();

 private:
  struct Chunk {
    Tensor on_device;
    std::vector<std::byte> now, uploaded;
    std::size_t used = 0;
  };

  Device device_;
  std::vector<std::unique_ptr<Chunk>> chunks_;
};

}  // namespace miniparallel
