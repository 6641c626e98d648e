#pragma once

#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/random.h"

namespace miniparallel::kernels {

// What precedes and follows layer normalisation after a residual, as passes of their own.

/// args.sum = args.residual + dropout(args.x).
inline void write_sum(const Elementwise& elementwise, const Random& random, DType dtype,
                      const LayerNormArgs& args, Stream stream) {
  ElementwiseArgs add;
  add.layout = make_layout({args.rows * args.width}, {{1}, {1}, {1}});
  add.operands[0] = args.sum;
  add.operands[1] = const_cast<void*>(args.residual);
  add.operands[2] = const_cast<void*>(args.x);
  if (args.mask.p == 0) return elementwise.binary(Binary::add, dtype, add, stream);
  add.layout = make_layout({args.rows * args.width}, {{1}, {1}});
  elementwise.convert(dtype, dtype, add, stream);  // a copy of the residual
  random.dropout(dtype, {args.x, {args.sum, 1}, args.rows * args.width, args.mask}, stream);
}

/// The gradient of x from that of the sum.
inline void drop_gradient(const Random& random, DType dtype, const LayerNormArgs& args, const void* of_sum,
                          void* dropped, Stream stream) {
  if (dropped != nullptr)
    random.dropout(dtype, {of_sum, {dropped}, args.rows * args.width, args.mask}, stream);
}

}  // namespace miniparallel::kernels
