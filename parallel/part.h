#pragma once

#include <miniparallel/tensor.h>

namespace miniparallel::parallel {

/// What one replica adds to a sum.
struct Part {
  int rank;  ///< the replica's place in the list
  Tensor values;
};

}  // namespace miniparallel::parallel
