#pragma once

#include "kernels/functors/common.h"

/// Binary functions: y = forward(a, b), da = backward_a(g, a, b), db = backward_b(g, a, b).

namespace miniparallel::kernels::functors {

struct Add {
  static constexpr bool linear = true;  // the gradient reads neither operand
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(modular(a) + modular(b));
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T) {
    return g;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T, T) {
    return g;
  }
};

struct Sub {
  static constexpr bool linear = true;  // the gradient reads neither operand
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(modular(a) - modular(b));
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T) {
    return g;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T, T) {
    return T(-g);
  }
};

struct Mul {
  static constexpr bool bilinear = true;  // the gradient of a side reads the other one only
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(modular(a) * modular(b));
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T b) {
    return g * b;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T) {
    return g * a;
  }
};

struct Div {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return a / b;
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T b) {
    return g / b;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return -g * a / (b * b);
  }
};

struct Pow {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return pow(a, b);
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return select(b == 0, zero(g), T(g * b * pow(a, T(b - 1))));
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    const T slope = T(g * pow(a, b) * log(a));
    return select(a == 0, select(b >= 0, zero(g), slope), slope);
  }
};

struct Maximum {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return a != a ? a : b != b ? b : a > b ? a : b;
  }  // a NaN wins
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return select(a < b, zero(g), select(a == b, T(g * constant<T>(0.5)), g));  // NaN: to both sides
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return backward_a(g, b, a);
  }
};

struct Minimum {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return a != a ? a : b != b ? b : a < b ? a : b;
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return select(a > b, zero(g), select(a == b, T(g * constant<T>(0.5)), g));  // NaN: to both sides
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return backward_a(g, b, a);
  }
};

struct FloorDivide {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return floor_divide(a, b);
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T) {
    return zero(g);
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T, T) {
    return zero(g);
  }
};

struct Remainder {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return remainder(a, b);
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T) {
    return g;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return -g * floor_divide(a, b);
  }
};

struct Fmod {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return fmod(a, b);
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T, T) {
    return g;
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return -g * trunc(T(a / b));
  }
};

struct Atan2 {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return atan2(a, b);
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return g * b / (a * a + b * b);
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return -g * a / (a * a + b * b);
  }
};

struct Hypot {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return hypot(a, b);
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return g * (a / hypot(a, b));
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return g * (b / hypot(a, b));
  }
};

/// The larger one and log(1 + exp(-|a - b|)); that difference of the same infinity counts as 0.
struct LogAddExp {
  template <class T>
  MP_INLINE static T difference(T a, T b) {
    return select((a == b) & (abs(a) == constant<T>(HUGE_VAL)), zero(a), T(a - b));
  }
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    const T d = difference(a, b);
    return (d > 0 ? a : b) + log1p(exp(d > 0 ? -d : d));
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return g * sigmoid(difference(a, b));
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return g * sigmoid(difference(b, a));
  }
};

/// a log(b), 0 where a is 0.
struct Xlogy {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return b != b ? b : a == 0 ? T(0) : a * log(b);
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    const T slope = g * log(b);
    return select(a == 0, select(b <= 0, zero(g), slope), slope);
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T b) {
    return g * a / b;
  }
};

/// a, or b a below 0. (He et al. 2015.)
struct Prelu {
  static constexpr const char* op = "prelu";
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return a > 0 ? a : b * a;
  }
  template <class T>
  MP_INLINE static T backward_a(T g, T a, T b) {
    return select(a > 0, g, T(g * b));
  }
  template <class T>
  MP_INLINE static T backward_b(T g, T a, T) {
    return select(a > 0, zero(g), T(g * a));
  }
};

// Of integers, without a gradient.

struct BitwiseAnd {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(a & b);
  }
};

struct BitwiseOr {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(a | b);
  }
};

struct BitwiseXor {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return T(a ^ b);
  }
};

/// Whether a shift by b leaves nothing of a T: processors take it modulo the width.
template <class T>
MP_INLINE bool shifts_all(T b) {
  return static_cast<std::make_unsigned_t<T>>(b) >= 8 * sizeof(T);
}

struct LeftShift {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    return shifts_all(b) ? T(0) : T(static_cast<std::make_unsigned_t<T>>(a) << b);
  }
};

/// With copies of the sign.
struct RightShift {
  template <class T>
  MP_INLINE static T forward(T a, T b) {
    constexpr T most = T(8 * sizeof(T) - std::is_signed_v<T>);  // uint8 is shifted as an int
    return T(a >> (shifts_all(b) ? most : b));
  }
};

}  // namespace miniparallel::kernels::functors
