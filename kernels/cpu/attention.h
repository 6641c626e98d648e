#pragma once

#include "kernels/attention.h"
#include "kernels/by_dtype.h"

namespace miniparallel::kernels::cpu {

inline constexpr std::int64_t kAttentionRows = 64;  // of the scores at once: they stay in the L2 cache

/// Rows [first, first + rows) of one matrix of scores, of which columns [0, columns) are looked at.
struct ScoreBlock {
  const AttentionArgs* args = nullptr;
  const void* mask = nullptr;  ///< of this matrix
  std::int64_t first = 0, rows = 0, columns = 0;
  std::int64_t stride = 0;  ///< of its rows in memory
};

struct BlockRows {
  const void* data = nullptr;
  std::int64_t stride = 0;
};

/// Row by row work on a block of scores, per dtype. `scores` holds q k^T where rows see columns; what they
/// become is 0 elsewhere.
struct AttentionLoops {
  /// Makes scores probabilities; writes the logs of the sums of exponentials, infinity for a row of nothing.
  void (*probabilities)(const ScoreBlock& block, void* scores, void* log_sums);
  /// Makes scores probabilities again, and `dp`, the gradient of the probabilities, that of q k^T. `out` and
  /// `g`: the block's rows of the result and its gradient.
  void (*score_gradients)(const ScoreBlock& block, void* scores, const void* log_sums, const BlockRows& out,
                          const BlockRows& g, void* dp);
};

const ByDType<AttentionLoops>& attention_loops();

}  // namespace miniparallel::kernels::cpu
