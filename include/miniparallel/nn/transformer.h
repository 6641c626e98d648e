#pragma once

#include <miniparallel/nn/attention.h>
#include <miniparallel/nn/dropout.h>
#include <miniparallel/nn/linear.h>
#include <miniparallel/nn/norm.h>

#include <cstdint>
#include <optional>
#include <vector>

/// Transformers. Parameters have PyTorch's names and shapes. The batch comes first, as with PyTorch's
/// `batch_first=True`: x is (..., length, width). Masks are `AttendOptions`; note that a bool mask says what
/// takes part, where PyTorch's layers name what is left out. (Vaswani et al.: "Attention is all you need",
/// 2017.)
namespace miniparallel::nn {

enum class FeedForward { relu, gelu };

struct TransformerLayerOptions {
  std::int64_t dim_feedforward = 2048;
  double dropout = 0.1;  ///< of the attention weights, of each part's result and inside the feed-forward part
  FeedForward activation = FeedForward::relu;
  double layer_norm_eps = 1e-5;
  bool norm_first = false;  ///< each part normalises what it reads, not its sum with what it read
  bool bias = true;
};

/// x -> x + self-attention(x) -> x + feed-forward(x), each normalised: (..., n, d_model), the same shape.
struct TransformerEncoderLayer {
  TransformerEncoderLayer(std::int64_t d_model, std::int64_t nhead,
                          const TransformerLayerOptions& options = {});
  Tensor operator()(const Tensor& src, const AttendOptions& options = {}) const;

  MultiheadAttention self_attn;
  Linear linear1, linear2;
  LayerNorm norm1, norm2;
  Dropout dropout, dropout1, dropout2;
  FeedForward activation;
  bool norm_first;
  MINIPARALLEL_MEMBERS(self_attn, linear1, linear2, norm1, norm2, dropout, dropout1, dropout2, activation,
                       norm_first)
};

/// The same with attention to `memory` (..., m, d_model), what an encoder made, between the two.
struct TransformerDecoderLayer {
  TransformerDecoderLayer(std::int64_t d_model, std::int64_t nhead,
                          const TransformerLayerOptions& options = {});
  /// The options are those of the attention of `tgt` to itself, and to `memory`.
  Tensor operator()(const Tensor& tgt, const Tensor& memory, const AttendOptions& tgt_options = {},
                    const AttendOptions& memory_options = {}) const;

  MultiheadAttention self_attn, multihead_attn;
  Linear linear1, linear2;
  LayerNorm norm1, norm2, norm3;
  Dropout dropout, dropout1, dropout2, dropout3;
  FeedForward activation;
  bool norm_first;
  MINIPARALLEL_MEMBERS(self_attn, multihead_attn, linear1, linear2, norm1, norm2, norm3, dropout, dropout1,
                       dropout2, dropout3, activation, norm_first)
};

/// `num_layers` layers, which start as separate copies of one, then `norm`, where given: a stack of layers
/// with norm_first needs it.
struct TransformerEncoder {
  TransformerEncoder(const TransformerEncoderLayer& layer, std::int64_t num_layers,
                     std::optional<LayerNorm> norm = {});
  Tensor operator()(const Tensor& src, const AttendOptions& options = {}) const;

  std::vector<TransformerEncoderLayer> layers;
  std::optional<LayerNorm> norm;
  MINIPARALLEL_MEMBERS(layers, norm)
};

struct TransformerDecoder {
  TransformerDecoder(const TransformerDecoderLayer& layer, std::int64_t num_layers,
                     std::optional<LayerNorm> norm = {});
  Tensor operator()(const Tensor& tgt, const Tensor& memory, const AttendOptions& tgt_options = {},
                    const AttendOptions& memory_options = {}) const;

  std::vector<TransformerDecoderLayer> layers;
  std::optional<LayerNorm> norm;
  MINIPARALLEL_MEMBERS(layers, norm)
};

}  // namespace miniparallel::nn
