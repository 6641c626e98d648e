#pragma once

/// Marks small functions that run on the host and on a GPU. Forced inlining also keeps one symbol from being
/// compiled for two instruction sets: the code becomes part of the loop that calls it.
#if defined(__CUDACC__)
#define MP_INLINE __host__ __device__ __forceinline__
#define MP_UNROLL _Pragma("unroll")
#define MP_PRAGMA(text) _Pragma(#text)
#define MP_UNROLL_BY(count) MP_PRAGMA(unroll count)
#else
#define MP_INLINE inline __attribute__((always_inline))
#define MP_UNROLL
#define MP_UNROLL_BY(count)
#endif

/// A row of a family's table, {MP_NORM(MP_LAUNCHER)}: functions that have the launchers' names.
#define MP_LAUNCHER(name) .name = name,
