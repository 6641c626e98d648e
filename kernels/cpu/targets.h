// Compiles the including file once per instruction set (Highway's foreach_target): x86-64 with AVX-512,
// with AVX2 and FMA, and the portable baseline. Use:
//
//   #undef HWY_TARGET_INCLUDE
//   #define HWY_TARGET_INCLUDE "kernels/cpu/softmax.cpp"
//   #include "kernels/cpu/targets.h"
//   HWY_BEFORE_NAMESPACE();
//   namespace miniparallel::kernels::cpu::HWY_NAMESPACE { ... plain loops, which the compiler
//   vectorises ... } HWY_AFTER_NAMESPACE();
//   #if HWY_ONCE
//   namespace miniparallel::kernels::cpu {
//   MP_DISPATCH(Softmax, softmax)  // where the loops' namespace defines const Softmax& softmax()
//   }
//   #endif
//
// Whatever is called from there must be in that namespace or forced inline: one symbol compiled for two
// instruction sets would let the linker pick the wrong one. A lambda needs HWY_ATTR.

// The bits up to 64 are of later versions of Highway, for later AVX-512 (Zen 4, Sapphire Rapids, AVX10).
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_SSSE3 | HWY_AVX3_DL | 127)
#endif
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// The loop that follows carries no dependence from one element to the next: an output may be one of the
// inputs, but then element by element.
#undef MP_IVDEP
#if defined(__clang__)
#define MP_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define MP_IVDEP _Pragma("GCC ivdep")
#endif

// The loop that follows is of few steps, whose number is a constant, and all are written out: what they index
// is in registers.
#undef MP_WRITE_OUT
#if defined(__clang__)
#define MP_WRITE_OUT _Pragma("unroll")
#else
#define MP_WRITE_OUT _Pragma("GCC unroll 16")
#endif

// Defines `const Type& name()`: the result of the function of that name that was compiled for the best
// instruction set of this CPU.
#undef MP_DISPATCH
#define MP_DISPATCH(Type, name)                             \
  HWY_EXPORT(name);                                         \
  const Type& name() {                                      \
    static const Type& best = HWY_DYNAMIC_DISPATCH(name)(); \
    return best;                                            \
  }

// Where a better instruction set is compiled too, the baseline need only be right and small.
#if defined(__GNUC__) && !defined(__clang__) && HWY_TARGET == HWY_SCALAR && defined(__x86_64__)
#pragma GCC optimize("O2")
#endif
