#pragma once

#include "kernels/elementwise.h"
#include "kernels/matmul.h"

namespace miniparallel::kernels {

/// The activation as a separate pass, for products that end without it: of args.pre_activation where that is
/// wanted, otherwise of args.c; `count` matrices, `step` elements apart.
inline void activate(const Elementwise& elementwise, DType dtype, const MatmulArgs& args, std::int64_t count,
                     std::int64_t step, Stream stream) {
  if (args.activation == Activation::none) return;
  const Shape strides{step, args.c_stride, 1};
  ElementwiseArgs pass;
  pass.layout = make_layout({count, args.rows, args.columns}, {strides, strides});
  pass.operands[0] = args.c;
  pass.operands[1] = args.pre_activation == nullptr ? args.c : args.pre_activation;
  elementwise.unary(function_of(args.activation), dtype, pass, stream);
}

}  // namespace miniparallel::kernels
