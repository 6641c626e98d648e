#pragma once

#include <miniparallel/dtype.h>

#include "kernels/layout.h"
#include "kernels/stream.h"

namespace miniparallel::kernels {

/// softmax(q k^T scale + mask) v for a batch of matrices q (n, e), k (m, e), v (m, ev), whose rows are plain
/// arrays. Results and gradients are row-major without gaps.
struct AttentionArgs {
  std::int64_t n = 0, m = 0, e = 0, ev = 0;
  Layout batch;  ///< steps from one matrix to the next, of q, k, v and mask
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  std::int64_t q_stride = 0, k_stride = 0, v_stride = 0;  ///< from row to row
  const void* mask = nullptr;  ///< null for none; bool (true takes part), or of the dtype and added
  bool mask_is_bool = false;
  std::int64_t mask_strides[2] = {};  ///< of its rows and columns
  bool causal = false;                ///< row i sees columns up to i
  double scale = 1;
};

/// float32 and float64. Memory beside the arguments: a block of rows of the scores per thread, never n x m. A
/// row that sees nothing gives zeros.
struct Attention {
  /// `log_sums`: (batch, n), kept for `backward`.
  void (*forward)(DType dtype, const AttentionArgs& args, void* out, void* log_sums, Stream stream);
  /// The gradients of q, k and v from `g`, that of `out`.
  void (*backward)(DType dtype, const AttentionArgs& args, const void* out, const void* log_sums,
                   const void* g, void* dq, void* dk, void* dv, Stream stream);
};

}  // namespace miniparallel::kernels
