#pragma once

#include <miniparallel/tensor.h>

namespace miniparallel::optim {

/// The gradient of `parameter`, made contiguous (and kept so) where it is not; undefined without one.
/// Throws, naming `op`, unless it has the parameter's shape, dtype and device and is floating.
Tensor dense_gradient(const char* op, const Tensor& parameter);

}  // namespace miniparallel::optim
