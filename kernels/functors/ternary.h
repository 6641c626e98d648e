#pragma once

#include "kernels/functors/common.h"

/// Ternary functions of a parameter p: y = forward(a, b, c, p), and the gradient of each side, which is made
/// of ops on tensors.

namespace miniparallel::kernels::functors {

struct Addcmul {
  static constexpr bool saves_a = false;
  template <class T>
  MP_INLINE static T forward(T a, T b, T c, double p) {
    return a + T(p) * b * c;
  }
  template <class T>
  static T backward_a(const T& g, const T&, const T&, const T&, double) {
    return g;
  }
  template <class T>
  static T backward_b(const T& g, const T&, const T&, const T& c, double p) {
    return g * c * p;
  }
  template <class T>
  static T backward_c(const T& g, const T&, const T& b, const T&, double p) {
    return g * b * p;
  }
};

struct Addcdiv {
  static constexpr bool saves_a = false;
  template <class T>
  MP_INLINE static T forward(T a, T b, T c, double p) {
    return a + T(p) * b / c;
  }
  template <class T>
  static T backward_a(const T& g, const T&, const T&, const T&, double) {
    return g;
  }
  template <class T>
  static T backward_b(const T& g, const T&, const T&, const T& c, double p) {
    return g / c * p;
  }
  template <class T>
  static T backward_c(const T& g, const T&, const T& b, const T& c, double p) {
    return g * b / (c * c) * -p;
  }
};

/// a + c (b - a), from the end that is nearer: exact at both.
struct Lerp {
  static constexpr bool saves_a = true;
  template <class T>
  MP_INLINE static T forward(T a, T b, T c, double) {
    const T distance = b - a;
    return c < T(0.5) ? a + c * distance : b - distance * (1 - c);
  }
  template <class T>
  static T backward_a(const T& g, const T&, const T&, const T& c, double) {
    return g * (1 - c);
  }
  template <class T>
  static T backward_b(const T& g, const T&, const T&, const T& c, double) {
    return g * c;
  }
  template <class T>
  static T backward_c(const T& g, const T& a, const T& b, const T&, double) {
    return g * (b - a);
  }
};

}  // namespace miniparallel::kernels::functors
