#pragma once

#include <miniparallel/nn/linear.h>
#include <miniparallel/nn/training.h>

namespace miniparallel::nn {

struct MultiheadAttentionOptions {
  double dropout = 0;  ///< of the attention weights, in training
  bool bias = true;
};

struct AttendOptions {
  /// Broadcasts to (..., heads, queries, keys): bool, where true takes part, or floating, which is added.
  Tensor mask = {};
  bool causal = false;  ///< query i sees keys up to i
};

/// Attention of `heads` heads of width / heads each, between projections: query (..., n, width), key and
/// value (..., m, width) -> (..., n, width). The batch comes first. Throws `Error` unless `heads` divides the
/// width. Names and shapes of the parameters are PyTorch's; but note that a bool mask says what takes part,
/// as in `scaled_dot_product_attention`, not what is left out. (Vaswani et al.: "Attention is all you need",
/// 2017.)
struct MultiheadAttention {
  MultiheadAttention(std::int64_t width, std::int64_t heads, const MultiheadAttentionOptions& options = {});
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                    const AttendOptions& options = {}) const;
  /// Self-attention.
  Tensor operator()(const Tensor& x, const AttendOptions& options = {}) const;

  Parameter in_proj_weight;  ///< (3 width, width): of queries, keys, values. Starts Xavier-uniform.
  Parameter in_proj_bias;    ///< (3 width), zeros at the start, or undefined
  Linear out_proj;           ///< its bias starts at zero
  std::int64_t heads;
  double dropout;
  Training training;
  MINIPARALLEL_MEMBERS(in_proj_weight, in_proj_bias, out_proj, heads, dropout, training)
};

}  // namespace miniparallel::nn
