#pragma once

#include <miniparallel/tensor.h>

#include "engine/capturing.h"
#include "engine/device/accelerator.h"

#include <vector>

namespace miniparallel {

/// While it lives, the calling thread works as if it were outside of the step: it captures nothing, and uses
/// the compute streams.
class OutsideOfStep {
 public:
  OutsideOfStep() : streams_(chosen_streams()) { set_chosen_streams({}); }
  ~OutsideOfStep() { set_chosen_streams(streams_); }
  OutsideOfStep(const OutsideOfStep&) = delete;
  OutsideOfStep& operator=(const OutsideOfStep&) = delete;

 private:
  WithoutCapture without_;
  std::vector<StreamKind> streams_;
};

/// A tensor in memory that no work of a graph shares. Undefined where there is no more, with the cache as it
/// is, since none can be given back while a graph is recorded.
Tensor make_exclusive(const Shape& shape, DType dtype, Device device);

}  // namespace miniparallel
