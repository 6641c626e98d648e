#pragma once

#include <miniparallel/dtype.h>

#include "kernels/backend.h"

#include <cstdint>
#include <vector>

namespace miniparallel {

/// A library's operations over arrays of several GPUs.
class Collectives {
 public:
  virtual ~Collectives() = default;

  /// An array of one GPU, for work on one of its streams.
  struct Array {
    const void* data;
    kernels::Stream stream;
  };
  /// y = the sum of the arrays, `n` numbers each, in the library's order. They are of different GPUs; y is in
  /// the memory of the first one's, and may be its array. Enqueued, on each GPU after what its stream has
  /// been given before.
  virtual void sum(const std::vector<Array>& arrays, void* y, std::int64_t n, DType dtype) = 0;
};

}  // namespace miniparallel
