#pragma once

#include <miniparallel/model/members.h>
#include <miniparallel/nn/parameter.h>

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

}  // namespace miniparallel::nn
