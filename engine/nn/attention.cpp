#include <miniparallel/nn/attention.h>

#include <miniparallel/nn/init.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

namespace miniparallel::nn {

namespace {

/// (..., n, heads * width) -> (..., heads, n, width)
Tensor split_heads(const Tensor& x, std::int64_t heads) {
  Shape shape = x.shape();
  shape[shape.rank() - 1] /= heads;
  shape.insert(shape.rank() - 1, heads);
  return x.reshape(shape).transpose(-3, -2);
}

/// (..., heads, n, width) -> (..., n, heads * width)
Tensor join_heads(const Tensor& x) { return x.transpose(-3, -2).flatten(-2, -1); }

}  // namespace

MultiheadAttention::MultiheadAttention(std::int64_t width, std::int64_t number_of_heads,
                                       const MultiheadAttentionOptions& options)
    : out_proj(width, width, {.bias = options.bias}), heads(number_of_heads), dropout(options.dropout) {
  check(heads > 0 && width % heads == 0, "MultiheadAttention: ", heads, " heads do not divide the width ",
        width, "; choose a divisor of it");
  in_proj_weight = Parameter(init::xavier_uniform_(empty({3 * width, width})));
  if (options.bias) {
    in_proj_bias = Parameter(zeros({3 * width}));
    init::zeros_(out_proj.bias);
  }
}

Tensor MultiheadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                      const AttendOptions& options) const {
  const std::int64_t width = out_proj.weight.size(0);
  for (const Tensor* x : {&query, &key, &value}) {
    check(x->dim() >= 2 && x->size(-1) == width, "MultiheadAttention: got query ", query.shape(), ", key ",
          key.shape(), " and value ", value.shape(), "; each must be (..., length, ", width, ")");
  }
  std::vector<Tensor> projected;
  if (query.is_same(key) && key.is_same(value)) {
    projected = linear(query, in_proj_weight, in_proj_bias).chunk(3, -1);  // one product instead of three
  } else {
    const std::vector<Tensor> weights = in_proj_weight.chunk(3);
    const std::vector<Tensor> biases =
        in_proj_bias.defined() ? in_proj_bias.chunk(3) : std::vector<Tensor>(3);
    for (std::size_t i = 0; const Tensor* x : {&query, &key, &value}) {
      projected.push_back(linear(*x, weights[i], biases[i]));
      ++i;
    }
  }
  for (Tensor& x : projected) x = split_heads(x, heads);
  const Tensor attended =
      scaled_dot_product_attention(projected[0], projected[1], projected[2], options.mask,
                                   {.causal = options.causal, .dropout = training ? dropout : 0.0});
  return observed(*this, out_proj(join_heads(attended)));
}

Tensor MultiheadAttention::operator()(const Tensor& x, const AttendOptions& options) const {
  return (*this)(x, x, x, options);
}

}  // namespace miniparallel::nn
