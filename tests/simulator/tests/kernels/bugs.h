#pragma once
// Kernels with one bug each, which the checker must report in every order and seed.

#include <cuda_runtime_api.h>

namespace simulator_tests::bugs {

void missing_barrier_before_read(float* data, cudaStream_t stream = nullptr);   // 64 elements
void missing_barrier_before_write(float* data, cudaStream_t stream = nullptr);  // 64 elements
void missing_syncwarp(float* data, cudaStream_t stream = nullptr);              // 32 elements
void divergent_barrier(float* data, cudaStream_t stream = nullptr);             // 64 elements
void shuffle_from_left_lane(float* data, cudaStream_t stream = nullptr);        // 32 elements
void shuffle_from_unnamed_lane(float* data, cudaStream_t stream = nullptr);     // 32 elements
void write_one_past(float* data, int n, cudaStream_t stream = nullptr);
void read_float(const float* in, float* out, cudaStream_t stream = nullptr);  // right, if in[0] was written
void read_int(const int* in, int* out, cudaStream_t stream = nullptr);
void race_between_blocks(float* data, cudaStream_t stream = nullptr);  // 1 element
void plain_accumulation(float* sum, cudaStream_t stream = nullptr);    // 1 element
void missing_fence(float* partial, unsigned* ticket, float* out,
                   cudaStream_t stream = nullptr);                 // 4 elements
void unwritten_shared(float* out, cudaStream_t stream = nullptr);  // 32 elements
void past_shared(float* out, cudaStream_t stream = nullptr);       // 32 elements

}  // namespace simulator_tests::bugs
