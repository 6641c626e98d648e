#pragma once

#include <miniparallel/dtype.h>

#include "kernels/math.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

/// Losses that compare two arrays element by element, forward and backward side by side.

namespace miniparallel::kernels {

namespace functors {

struct SquaredError {
  template <class T>
  MP_INLINE static T forward(T x, T target) {
    return (x - target) * (x - target);
  }
  template <class T>
  MP_INLINE static T backward(T x, T target) {
    return T(2) * (x - target);
  }
};

struct AbsoluteError {
  template <class T>
  MP_INLINE static T forward(T x, T target) {
    return math::abs(x - target);
  }
  template <class T>
  MP_INLINE static T backward(T x, T target) {
    const T d = x - target;
    return d > T(0) ? T(1) : d < T(0) ? T(-1) : d - d;  // 0, or NaN for NaN
  }
};

/// -target log s - (1 - target) log(1 - s) with s = sigmoid(x), as max(x, 0) - x target + log(1 + e^-|x|).
struct BinaryCrossEntropy {
  template <class T>
  MP_INLINE static T forward(T x, T target) {
    const T e = math::exp(-math::abs(x)), sum = T(1) + e;
    // log(1 + e) without losing a small e (Kahan, as told in Goldberg 1991, theorem 4).
    const T log_sum = sum == T(1) ? e : math::log(sum) * e / (sum - T(1));
    return (x < T(0) ? T(0) : x) - x * target + log_sum;
  }
  template <class T>
  MP_INLINE static T backward(T x, T target) {
    return math::sigmoid(x) - target;
  }
};

}  // namespace functors

enum class LossFunction { squared_error, absolute_error, binary_cross_entropy };

struct PointwiseLossArgs {
  LossFunction function = LossFunction::squared_error;
  std::int64_t n = 0;
  const void* x = nullptr;
  const void* target = nullptr;
  bool reduce = true;  ///< one result, the sum, instead of one per element
  double scale = 1;    ///< factor of the sum
};
inline Sizes sizes(const PointwiseLossArgs& args) { return {nullptr, {args.n}}; }

/// float32 and float64, on GPUs float16 and bfloat16, too; plain arrays.
struct PointwiseLoss {
  void (*forward)(DType dtype, const PointwiseLossArgs& args, void* y, Stream stream);
  /// The gradient of x from `g`, that of the result, or per element; null for 1 of one result.
  void (*backward)(DType dtype, const PointwiseLossArgs& args, const void* g, void* dx, Stream stream);
};

}  // namespace miniparallel::kernels
