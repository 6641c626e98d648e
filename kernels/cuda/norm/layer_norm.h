#pragma once

#include "kernels/norm.h"

namespace miniparallel::kernels::cuda {

// The launchers of `Norm` with these names, made by layer_norm.cu.

void layer_forward(DType dtype, std::int64_t rows, std::int64_t width, const void* x, const void* weight,
                   const void* bias, double eps, void* y, void* mean, void* inv_std, Stream stream);
void layer_data_gradient(DType dtype, std::int64_t rows, std::int64_t width, const void* g, const void* x,
                         const void* mean, const void* inv_std, const void* weight, void* dx, int beta,
                         Stream stream);
void layer_parameter_gradient(DType dtype, std::int64_t rows, std::int64_t width, const void* g,
                              const void* x, const void* mean, const void* inv_std, void* dweight,
                              int weight_beta, void* dbias, int bias_beta, Stream stream);

}  // namespace miniparallel::kernels::cuda
