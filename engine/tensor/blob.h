#pragma once

#include <miniparallel/tensor.h>

#include <functional>

namespace miniparallel {

/// A tensor over memory of somebody else. `released` is called once, when nothing uses it any more; not at
/// all where this throws. `op` is the function that errors speak of.
Tensor make_foreign(const char* op, void* memory, const Shape& shape, const Shape& strides, DType dtype,
                    Device device, std::function<void(void*)> released);

}  // namespace miniparallel
