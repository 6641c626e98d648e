#pragma once

#include <miniparallel/dtype.h>

#include "kernels/half.h"
#include "kernels/reductions.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// Arrays are row-major (outer, n, inner); the recurrence runs along n.
struct ScanArgs {
  std::int64_t outer = 1, n = 1, inner = 1;
  const void* factor = nullptr;  ///< null: 1
  const void* term = nullptr;    ///< null: 0
  double initial = 0;            ///< what precedes the first element
  bool reverse = false;          ///< from the last element to the first
};
inline Sizes sizes(const ScanArgs& args) { return {"outer n inner", {args.outer, args.n, args.inner}}; }

struct Scan {
  /// y[i] = factor[i] y[i - 1] + term[i], in float64 or int64, all arrays alike: float32, float64, int64, on
  /// GPUs float16 and bfloat16, too.
  void (*recurrence)(DType dtype, const ScanArgs& args, void* y, Stream stream);
  /// dx[i] = the product of the factors of a line but the i-th, times the line's element of g (outer, inner);
  /// float32 or float64. Of the args only the sizes and the factors are read.
  void (*products_of_others)(DType dtype, const ScanArgs& args, const void* g, void* dx, Stream stream);
};

/// One step of the recurrence, y -> factor y + term, or several in a row. T is what elements are computed as.
template <class T>
struct ScanStep {
  using Value = Wide<T>;
  Value factor, term;

  /// The step of element `at`.
  template <class Stored>
  MP_INLINE static ScanStep load(const Stored* factor, const Stored* term, std::int64_t at) {
    return {factor ? convert<Value>(factor[at]) : Value(1), term ? convert<Value>(term[at]) : Value(0)};
  }
  MP_INLINE Value operator()(Value y) const {
    return static_cast<Value>(math::modular(factor) * math::modular(y) + math::modular(term));
  }
  /// This step, then `next`.
  MP_INLINE ScanStep then(const ScanStep& next) const {
    return {static_cast<Value>(math::modular(factor) * math::modular(next.factor)), next(term)};
  }
};

}  // namespace miniparallel::kernels
