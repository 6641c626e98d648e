#pragma once

#include <miniparallel/tensor.h>

namespace miniparallel {

/// A tensor in memory that no work of a graph shares. Undefined where there is no more, with the cache as it
/// is, since none can be given back while a graph is recorded.
Tensor make_exclusive(const Shape& shape, DType dtype, Device device);

}  // namespace miniparallel
