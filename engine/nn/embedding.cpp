#include <miniparallel/nn/embedding.h>

#include <miniparallel/autograd.h>
#include <miniparallel/nn/init.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

namespace miniparallel::nn {

Embedding::Embedding(std::int64_t count, std::int64_t width, const EmbeddingOptions& options)
    : padding_idx(-1) {
  check(count > 0 && width > 0, "Embedding: got ", count, " rows and ", width,
        " columns; it needs at least one of each");
  weight = Parameter(init::normal_(empty({count, width})));
  if (!options.padding_idx) return;
  const std::int64_t given = *options.padding_idx;
  padding_idx = given < 0 ? given + count : given;
  check(padding_idx >= 0 && padding_idx < count, "Embedding: padding_idx is ", given,
        "; it must be at least ", -count, " and below ", count);
  init::zeros_(weight.detach().select(0, padding_idx));
}

Tensor Embedding::operator()(const Tensor& indices) const {
  return observed(*this, embedding(weight, indices, padding_idx));
}

}  // namespace miniparallel::nn
