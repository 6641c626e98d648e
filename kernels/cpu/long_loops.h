#pragma once

#include "kernels/elementwise.h"
#include "kernels/macros.h"
#include "kernels/math_moderate.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

/// Loops of functors of many steps over float32. They take blocks of a fixed length: without a loop for the
/// rest, which is longer than that for the vectors, their code is small.

namespace miniparallel::kernels::cpu {

template <class F, class... Others>
constexpr bool is_one_of = (std::is_same_v<F, Others> || ...);

/// Whether a functor's forward, or backward, has a form without branches for operands that are Moderate.
template <class F>
constexpr bool has_moderate_forward = is_one_of<F, functors::Sin, functors::Cos, functors::Tan,
                                                functors::Fmod, functors::Remainder, functors::FloorDivide>;
template <class F>
constexpr bool has_moderate_backward = is_one_of<F, functors::Sin, functors::Cos, functors::Remainder>;

/// Whether forward, or backward, is of many steps.
template <class F>
constexpr bool is_long_forward =
    has_moderate_forward<F> ||
    is_one_of<F, functors::Asin, functors::Acos, functors::Atan, functors::Atan2, functors::Sinh,
              functors::Cosh, functors::Pow, functors::Exp, functors::Expm1, functors::Log, functors::Log1p,
              functors::Log2, functors::Log10, functors::Erf, functors::Erfinv, functors::Tanh,
              functors::Sigmoid, functors::GeluErf, functors::GeluTanh, functors::Silu, functors::Mish,
              functors::LogSigmoid, functors::Elu, functors::Celu, functors::Softplus, functors::Xlogy,
              functors::LogAddExp>;
template <class F>
constexpr bool is_long_backward =
    has_moderate_backward<F> ||
    is_one_of<F, functors::Sinh, functors::Cosh, functors::Pow, functors::Erf, functors::Erfinv,
              functors::GeluErf, functors::GeluTanh, functors::Silu, functors::Mish, functors::LogSigmoid,
              functors::Elu, functors::Celu, functors::Softplus, functors::LogAddExp>;

// What a loop computes of its inputs' elements.

template <class F>
struct UnaryForward {
  double p, q;
  static constexpr bool has_moderate = has_moderate_forward<F>;
  MP_INLINE static bool is_moderate(float x) { return math::is_moderate(x); }
  template <class T>
  MP_INLINE float operator()(T x) const {
    return F::forward(x, p, q);
  }
};
template <class F>
struct UnaryBackward {
  double p, q;
  static constexpr bool has_moderate = has_moderate_backward<F>;
  MP_INLINE static bool is_moderate(float, float x) { return math::is_moderate(x); }
  template <class T>
  MP_INLINE float operator()(T g, T x) const {
    return F::backward(g, x, p, q);
  }
};
template <class F>
struct BinaryForward {
  static constexpr bool has_moderate = has_moderate_forward<F>;
  MP_INLINE static bool is_moderate(float a, float b) { return math::is_moderate(a, b); }
  template <class T>
  MP_INLINE float operator()(T a, T b) const {
    return F::forward(a, b);
  }
};
template <class F, int side>
struct BinaryBackward {
  static constexpr bool has_moderate = side == 1 && has_moderate_backward<F>;
  MP_INLINE static bool is_moderate(float, float a, float b) { return math::is_moderate(a, b); }
  template <class T>
  MP_INLINE float operator()(T g, T a, T b) const {
    return side == 0 ? F::backward_a(g, a, b) : F::backward_b(g, a, b);
  }
};
/// Of a power with a fixed exponent, `factor`.
template <class Power>
struct PowForward {
  const Power& power;
  static constexpr bool has_moderate = false;
  MP_INLINE float operator()(float x) const { return power(x); }
};
template <class Power>
struct PowBackward {
  const Power& power;
  float factor;
  static constexpr bool has_moderate = false;
  MP_INLINE float operator()(float g, float x) const { return g * factor * power(x); }
};

inline constexpr std::int64_t kLongBlock = 128;  // of more rounds than a compiler writes out

/// Copies `count` elements, which ones follow.
__attribute__((noinline)) inline const float* copy_padded(const float* from, std::int64_t count,
                                                          float (&to)[kLongBlock]) {
  std::fill(std::copy_n(from, count, to), to + kLongBlock, 1.f);
  return to;
}

/// Element by element, with branches.
template <class Function, class... In>
__attribute__((noinline)) void branching_loop(std::int64_t n, float* out, const Function& f,
                                              const In*... in) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = f(in[i]...);
}

/// A whole block.
template <class Function, class... In>
MP_INLINE void long_block(float* out, const Function& f, const In*... in) {
  using Operand = std::conditional_t<Function::has_moderate, math::Moderate, float>;
  if constexpr (Function::has_moderate) {
    int others = 0;
    for (std::int64_t i = 0; i < kLongBlock; ++i) others |= f.is_moderate(in[i]...) ? 0 : 1;
    if (others != 0) return branching_loop(kLongBlock, out, f, in...);
  }
  MP_IVDEP
  for (std::int64_t i = 0; i < kLongBlock; ++i) out[i] = f(Operand(in[i])...);
}

/// out[i] = f(in[i]...)
template <class Function, std::size_t... k, class... In>
MP_INLINE void long_loop(std::int64_t n, float* out, const Function& f, std::index_sequence<k...>,
                         const In*... in) {
  float copies[sizeof...(In) + 1][kLongBlock];
  for (std::int64_t begin = 0; begin < n; begin += kLongBlock) {
    const std::int64_t count = std::min(kLongBlock, n - begin);
    const bool whole = count == kLongBlock;
    float* const to = whole ? out + begin : copies[sizeof...(In)];
    long_block(to, f, (whole ? in + begin : copy_padded(in + begin, count, copies[k]))...);
    if (!whole) std::copy_n(to, count, out + begin);
  }
}
template <class Function, class... In>
MP_INLINE void long_loop(std::int64_t n, float* out, const Function& f, const In*... in) {
  long_loop(n, out, f, std::index_sequence_for<In...>(), in...);
}

}  // namespace miniparallel::kernels::cpu
