#pragma once

#include "kernels/math.h"

#include <type_traits>

/// What the functors share. They are every elementwise function, once: forward and backward side by side, for
/// the CPU, for CUDA and - where the backward is itself differentiated - for tensors, which is why they are
/// templates over T.

namespace miniparallel::kernels::functors {

using namespace math;  // for a Tensor, argument-dependent lookup finds the ops instead

/// A floating number: of type T, or left to promotion when T is a tensor.
template <class T>
MP_INLINE auto constant(double value) {
  if constexpr (std::is_arithmetic_v<T>)
    return static_cast<T>(value);
  else
    return value;
}

/// The values that the backward of a unary function reads besides the gradient.
enum class Saves { nothing, input, output };

}  // namespace miniparallel::kernels::functors
