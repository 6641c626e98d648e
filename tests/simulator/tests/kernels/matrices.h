#pragma once
// One warp multiplies two matrices on tensor cores.

#include <cuda_fp16.h>

namespace simulator_tests {

/// c += a b by one warp, 16 x 16; a and b are stored by rows, or by columns. T: Half, BFloat16, or float,
/// which is TF32.
template <class T>
void multiply_matrices(const T* a, const T* b, float* c, bool by_columns);

namespace bugs {

/// Half of the warp multiplies.
void half_a_warp_multiplies(const __half* a, float* c);
/// Each half of the warp loads in a place of its own.
void warp_loads_in_two_places(const __half* a, float* c);
/// A warp reads what one lane wrote without waiting for it.
void load_without_syncwarp(const __half* a, float* c);
/// The last row is past the end.
void load_past_the_end(const __half* a, float* c);
/// At an address that is a multiple of 2 bytes only.
void load_misaligned(const __half* a, float* c);
/// A warp stores, one lane reads what others stored.
void read_stored_without_syncwarp(float* c);

}  // namespace bugs
}  // namespace simulator_tests
