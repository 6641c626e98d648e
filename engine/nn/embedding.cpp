#include <miniparallel/nn/embedding.h>

#include <miniparallel/autograd.h>
#include <miniparallel/nn/init.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

namespace miniparallel::nn {

namespace {

/// The table of a layer; returns the row that is padding, -1 for none.
std::int64_t start(const char* layer, Parameter& weight, std::int64_t count, std::int64_t width,
                   std::optional<std::int64_t> padding_idx) {
  check(count > 0 && width > 0, layer, ": got ", count, " rows and ", width,
        " columns; it needs at least one of each");
  weight = Parameter(init::normal_(empty({count, width})));
  if (!padding_idx) return -1;
  const std::int64_t row = *padding_idx < 0 ? *padding_idx + count : *padding_idx;
  check(row >= 0 && row < count, layer, ": padding_idx is ", *padding_idx, "; it must be at least ", -count,
        " and below ", count);
  init::zeros_(weight.detach().select(0, row));
  return row;
}

}  // namespace

Embedding::Embedding(std::int64_t count, std::int64_t width, const EmbeddingOptions& options)
    : padding_idx(start("Embedding", weight, count, width, options.padding_idx)) {}

Tensor Embedding::operator()(const Tensor& indices) const {
  return observed(*this, embedding(weight, indices, padding_idx));
}

EmbeddingBag::EmbeddingBag(std::int64_t count, std::int64_t width, const EmbeddingBagOptions& options)
    : mode(options.mode), padding_idx(start("EmbeddingBag", weight, count, width, options.padding_idx)) {}

Tensor EmbeddingBag::operator()(const Tensor& indices, const Tensor& offsets,
                                const Tensor& per_sample_weights) const {
  return observed(
      *this,
      embedding_bag(weight, indices, offsets,
                    {.mode = mode, .padding_idx = padding_idx, .per_sample_weights = per_sample_weights}));
}

}  // namespace miniparallel::nn
