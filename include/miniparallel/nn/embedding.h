#pragma once

#include <miniparallel/model/members.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/ops.h>

#include <optional>

namespace miniparallel::nn {

struct EmbeddingOptions {
  /// This row starts at zero and gets no gradient; negative counts from the end.
  std::optional<std::int64_t> padding_idx = {};
};

/// Indices of any shape, int64 or int32 -> their rows of the weight, indices.shape + (width). Starts normal
/// with variance 1.
struct Embedding {
  Embedding(std::int64_t count, std::int64_t width, const EmbeddingOptions& options = {});
  Tensor operator()(const Tensor& indices) const;

  Parameter weight;          ///< (count, width)
  std::int64_t padding_idx;  ///< -1 for none
  MINIPARALLEL_MEMBERS(weight, padding_idx)
};

struct EmbeddingBagOptions {
  BagMode mode = BagMode::mean;
  std::optional<std::int64_t> padding_idx = {};  ///< as in `EmbeddingOptions`; such indices count in no bag
};

/// Indices (bags, length), or (n) with the first of each bag in `offsets` (bags) -> (bags, width): the rows
/// of each bag brought together, see `embedding_bag`. Starts normal with variance 1.
struct EmbeddingBag {
  EmbeddingBag(std::int64_t count, std::int64_t width, const EmbeddingBagOptions& options = {});
  Tensor operator()(const Tensor& indices, const Tensor& offsets = {},
                    const Tensor& per_sample_weights = {}) const;

  Parameter weight;  ///< (count, width)
  BagMode mode;
  std::int64_t padding_idx;  ///< -1 for none
  MINIPARALLEL_MEMBERS(weight, mode, padding_idx)
};

}  // namespace miniparallel::nn
