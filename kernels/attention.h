#pragma once

#include <miniparallel/dtype.h>
#include <miniparallel/shape.h>

#include "kernels/sizes.h"
#include "kernels/stream.h"

namespace miniparallel::kernels {

/// A batch of matrices whose rows are plain arrays.
struct MatrixBatch {
  void* data = nullptr;
  std::int64_t stride = 0;            ///< from row to row
  std::int64_t steps[kMaxRank] = {};  ///< from matrix to matrix, by dimension of the batch
};

/// out = softmax(q k^T scale + mask) v for a batch of matrices q (n, e), k (m, e) and v (m, ev).
struct AttentionArgs {
  std::int64_t n = 0, m = 0, e = 0, ev = 0;
  int batch_rank = 0;
  std::int64_t batch[kMaxRank] = {};  ///< its sizes
  std::int64_t matrices = 1;          ///< their product
  MatrixBatch q, k, v;
  MatrixBatch out;             ///< written by `forward`, read by `backward`, as is
  void* log_sums = nullptr;    ///< (batch, n): of each row's exponentials, in a base of the backend's choice
  const void* mask = nullptr;  ///< null for none; bool (true takes part), or of the dtype and added
  bool mask_is_bool = false;
  std::int64_t mask_strides[2] = {};       ///< of its rows and columns
  std::int64_t mask_steps[kMaxRank] = {};  ///< from matrix to matrix
  bool causal = false;                     ///< row i sees columns up to i
  double scale = 1;
};
inline Sizes sizes(const AttentionArgs& args) {
  return {"batch n m e ev", {args.matrices, args.n, args.m, args.e, args.ev}};
}

struct AttentionGradients {
  MatrixBatch g;                 ///< the gradient of `out`
  MatrixBatch dq, dk, dv;        ///< written
  void* row_products = nullptr;  ///< (batch, n), memory for the sums of out * g by row
};

/// float32 and float64; on a GPU also 16 bits, log_sums and row_products then float32. Memory besides the
/// arguments: per thread some rows of the scores, never n x m, and on the CPU copies of a k and a v. A row
/// that sees nothing gives zeros.
struct Attention {
  void (*forward)(DType dtype, const AttentionArgs& args, Stream stream);
  void (*backward)(DType dtype, const AttentionArgs& args, const AttentionGradients& gradients,
                   Stream stream);
};

}  // namespace miniparallel::kernels
