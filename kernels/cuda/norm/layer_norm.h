#pragma once

#include "kernels/norm.h"

namespace miniparallel::kernels::cuda {

// The launchers of `Norm` with these names, made by layer_norm.cu.

void layer_forward(DType dtype, const LayerNormArgs& args, void* y, Stream stream);
void layer_data_gradient(DType dtype, const LayerNormArgs& args, const void* g, Destination dx, void* dropped,
                         Stream stream);
void layer_parameter_gradient(DType dtype, const LayerNormArgs& args, const void* g, Destination dweight,
                              Destination dbias, Stream stream);

}  // namespace miniparallel::kernels::cuda
