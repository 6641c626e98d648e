#pragma once

#include <miniparallel/dtype.h>

#include "kernels/math.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// Row-major (outer, n, inner) arrays; the softmax is over n.
struct SoftmaxArgs {
  std::int64_t outer = 0, n = 0, inner = 1;
  bool log = false;
};
inline Sizes sizes(const SoftmaxArgs& args) { return {"outer n inner", {args.outer, args.n, args.inner}}; }

namespace functors {

/// dx = y (g - sum of g y); of the logarithm: dx = g - exp(y) (sum of g).
struct SoftmaxGradient {
  bool log;
  template <class T>
  MP_INLINE double term(T g, T y) const {
    return static_cast<double>(g) * (log ? 1 : static_cast<double>(y));
  }
  template <class T>
  MP_INLINE T operator()(T g, T y, T sum) const {
    return log ? g - math::exp(y) * sum : y * (g - sum);
  }
};

}  // namespace functors

/// float32 and float64, on GPUs 16 bits, too; an output may be one of the inputs.
struct Softmax {
  void (*forward)(DType dtype, const SoftmaxArgs& args, const void* x, void* y, Stream stream);
  /// dx from the gradient g and the result y.
  void (*backward)(DType dtype, const SoftmaxArgs& args, const void* g, const void* y, void* dx,
                   Stream stream);
};

}  // namespace miniparallel::kernels
