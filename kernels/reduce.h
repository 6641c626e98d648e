#pragma once

#include <miniparallel/dtype.h>

#include "kernels/layout.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

namespace miniparallel::kernels {

/// Output element o, counted in row-major order over `kept`, combines the input's elements at
/// offset(kept, o) + offset(reduced, r) for every r. Both layouts have one operand, the input; the output is
/// a plain array.
struct ReduceArgs {
  Layout kept, reduced;
  void* out = nullptr;
  const void* in = nullptr;
  const void* center =
      nullptr;              ///< `sum_squares`: one value per output, of the input's dtype, float32 of 16 bits
  double scale = 1;         ///< `sum`, `sum_squares` of floating input: factor of the result
  bool accumulate = false;  ///< `sum` of floating input: add to the output instead of replacing it
  bool wide = false;        ///< `sum`, `sum_squares` of 16 bits: the output is float32
};
inline Sizes sizes(const ReduceArgs& args) {
  return {"kept reduced", {args.kept.numel(), args.reduced.numel()}};
}

/// Results depend neither on the number of threads nor on the instruction set: sums and products go
/// through a fixed number of lanes and fixed chunks, in double or int64. NaN wins over every number.
struct Reduce {
  /// Floating dtypes, 16 bits on GPUs only, stay; int64, int32, uint8 and bool give int64. Nothing sums to 0.
  void (*sum)(DType dtype, const ReduceArgs& args, Stream stream);
  /// Sum of (x - center)^2; floating dtypes, 16 bits on GPUs only.
  void (*sum_squares)(DType dtype, const ReduceArgs& args, Stream stream);
  /// The product, of float32, float64 and int64; of nothing 1.
  void (*product)(DType dtype, const ReduceArgs& args, Stream stream);
  /// Of the input's dtype, float16 and bfloat16 on GPUs only; `reduced` must not be empty.
  void (*amax)(DType dtype, const ReduceArgs& args, Stream stream);
  void (*amin)(DType dtype, const ReduceArgs& args, Stream stream);
  /// int64: the first r, in row-major order, of the maximum; `reduced` must not be empty.
  void (*argmax)(DType dtype, const ReduceArgs& args, Stream stream);
};

}  // namespace miniparallel::kernels
