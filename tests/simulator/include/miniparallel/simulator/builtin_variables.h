#pragma once
// The built-in variables of a CUDA thread. A fiber never leaves its OS thread, so thread_local is per CUDA
// thread as long as the scheduler sets threadIdx at every switch.

#include <vector_types.h>

inline thread_local constinit uint3 threadIdx{};
inline thread_local constinit uint3 blockIdx{};
inline thread_local constinit dim3 blockDim{};
inline thread_local constinit dim3 gridDim{};
inline constexpr int warpSize = 32;
