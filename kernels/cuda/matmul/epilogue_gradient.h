#pragma once

#include "kernels/matmul.h"

namespace miniparallel::kernels::cuda {

/// The launcher of `Matmul` with this name.
void epilogue_gradient(DType dtype, const EpilogueGradientArgs& args, Stream stream);

}  // namespace miniparallel::kernels::cuda
