#pragma once

#include <cstdint>

// The launchers of squared_relu.cu. Only this header stands between the two worlds: the program knows no
// CUDA, the kernels know no tensors. `stream` is a cudaStream_t of GPU `device`; pointers lead to its memory.

/// y = max(x, 0)^2, element by element.
void squared_relu(const float* x, float* y, std::int64_t n, int device, void* stream);

/// dx = g * 2 * max(x, 0), where g is the gradient of y.
void squared_relu_backward(const float* g, const float* x, float* dx, std::int64_t n, int device,
                           void* stream);
