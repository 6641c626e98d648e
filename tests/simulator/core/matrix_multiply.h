#pragma once
// What tensor cores do for a warp.

#include "miniparallel/simulator/kernel_runtime.h"

namespace miniparallel::simulator {

/// c += a b of the matrices that the 32 lanes share. Products are exact, sums are float32's, in the order of
/// the depth; a GPU's order and the rounding of its sums are its own.
void multiply_matrices(const MatrixShare* const (&shares)[32]);

}  // namespace miniparallel::simulator
