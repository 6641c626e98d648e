#pragma once

#include <miniparallel/dtype.h>

#include "kernels/math.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <type_traits>

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

/// log(1 + e^-|x|) without losing a small e^-|x| (Kahan, as told in Goldberg 1991, theorem 4).
template <class T>
MP_INLINE T log_sum(T x) {
  const T e = math::exp(-math::abs(x)), sum = T(1) + e;
  return sum == T(1) ? e : math::log(sum) * e / (sum - T(1));
}

/// -target log s - (1 - target) log(1 - s) with s = sigmoid(x), as max(x, 0) - x target + log(1 + e^-|x|).
struct BinaryCrossEntropy {
  template <class T>
  MP_INLINE static T forward(T x, T target) {
    return (x < T(0) ? T(0) : x) - x * target + log_sum(x);
  }
  template <class T>
  MP_INLINE static T backward(T x, T target) {
    return math::sigmoid(x) - target;
  }
};

/// With d = x - target and `near` the number within the bound that is next to it: factor near (d - near / 2),
/// which is half the square within the bound, and the tangent beyond.
struct Huber {
  double bound, factor;

  template <class T>
  MP_INLINE T near(T d) const {
    const T b = static_cast<T>(bound);
    return d < -b ? -b : d > b ? b : d;
  }
  template <class T>
  MP_INLINE T forward(T x, T target) const {
    const T d = x - target, n = near(d);
    return static_cast<T>(factor) * n * (d - n * T(0.5));
  }
  template <class T>
  MP_INLINE T backward(T x, T target) const {
    return static_cast<T>(factor) * near(x - target);
  }
};

/// target (log target - x), 0 for a target of 0.
struct KlDivergence {
  template <class T>
  MP_INLINE static T forward(T x, T target) {
    return target * (math::log(target == T(0) ? T(1) : target) - x);
  }
  template <class T>
  MP_INLINE static T backward(T, T target) {
    return -target;
  }
};

/// The same of the logarithm of a target.
struct KlDivergenceOfLogs {
  template <class T>
  MP_INLINE static T forward(T x, T target) {
    return math::exp(target) * (target - x);
  }
  template <class T>
  MP_INLINE static T backward(T, T target) {
    return -math::exp(target);
  }
};

/// log(1 + e^-(x target)).
struct SoftMargin {
  template <class T>
  MP_INLINE static T forward(T x, T target) {
    const T z = -(x * target);
    return (z < T(0) ? T(0) : z) + log_sum(z);
  }
  template <class T>
  MP_INLINE static T backward(T x, T target) {
    return -target * math::sigmoid(-(x * target));
  }
};

}  // namespace functors

enum class LossFunction {
  squared_error,
  absolute_error,
  binary_cross_entropy,
  huber,
  kl_divergence,
  kl_divergence_of_logs,
  soft_margin
};
inline constexpr int kLossFunctions = 7;

struct PointwiseLossArgs {
  LossFunction function = LossFunction::squared_error;
  std::int64_t n = 0;
  const void* x = nullptr;
  const void* target = nullptr;
  bool reduce = true;            ///< one result, the sum, instead of one per element
  double scale = 1;              ///< factor of the sum
  double bound = 1, factor = 1;  ///< of `huber`
};
inline Sizes sizes(const PointwiseLossArgs& args) { return {nullptr, {args.n}}; }

/// The functor of a call.
template <class F>
MP_INLINE F functor_of(const PointwiseLossArgs& args) {
  if constexpr (std::is_same_v<F, functors::Huber>)
    return {args.bound, args.factor};
  else
    return {};
}

/// float32 and float64, on GPUs float16 and bfloat16, too; plain arrays.
struct PointwiseLoss {
  void (*forward)(DType dtype, const PointwiseLossArgs& args, void* y, Stream stream);
  /// The gradient of x from `g`, that of the result, or per element; null for 1 of one result.
  void (*backward)(DType dtype, const PointwiseLossArgs& args, const void* g, void* dx, Stream stream);
};

}  // namespace miniparallel::kernels
