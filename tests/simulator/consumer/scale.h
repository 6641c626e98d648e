#pragma once
#include <cuda_runtime.h>

/// x *= factor, on the stream's device
void scale(float* x, float factor, int n, cudaStream_t stream);
