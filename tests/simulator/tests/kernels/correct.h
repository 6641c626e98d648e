#pragma once
// Kernels that are right, in the manners that CUDA kernels
// are usually written: they must run in every mode and seed.

#include <cuda_runtime_api.h>

namespace simulator_tests {

/// y = a * x + y
void saxpy(float a, const float* x, float* y, int n, cudaStream_t stream = nullptr);
/// x = value
void fill(float* x, float value, int n, cudaStream_t stream = nullptr);
/// out[c][r] = in[r][c], through a padded tile
void transpose(const float* in, float* out, int rows, int columns, cudaStream_t stream = nullptr);
/// Inclusive prefix sum of one block, n <= 1024 and a power of two
void scan(const int* in, int* out, int n, cudaStream_t stream = nullptr);
/// *out += sum of in, by warp shuffles and one atomic per block
void shuffle_sum(const float* in, float* out, int n, cudaStream_t stream = nullptr);
/// Counts of the 64 values 0..63, first in shared memory
void histogram(const unsigned char* in, unsigned* counts, int n, cudaStream_t stream = nullptr);
/// c = a * b, all n x n with n a multiple of 16
void matmul(const float* a, const float* b, float* c, int n, cudaStream_t stream = nullptr);
/// Softmax of each row of 64 columns, a warp per row with __syncwarp
void softmax(const float* in, float* out, int rows, cudaStream_t stream = nullptr);
/// *out = sum of in in one launch: the last block adds up what the others left behind a fence
void fence_sum(const float* in, float* partial, unsigned* ticket, float* out, int n,
               cudaStream_t stream = nullptr);
/// out = in reversed per 256 elements, through dynamic shared memory that the block fills together
void cooperative_copy(const float* in, float* out, int n, cudaStream_t stream = nullptr);

}  // namespace simulator_tests
