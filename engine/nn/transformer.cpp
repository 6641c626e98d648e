#include <miniparallel/nn/transformer.h>

#include <miniparallel/model.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

#include <utility>

namespace miniparallel::nn {

namespace {

using Options = TransformerLayerOptions;

MultiheadAttention attention(std::int64_t width, std::int64_t heads, const Options& options) {
  return {width, heads, {.dropout = options.dropout, .bias = options.bias}};
}

LayerNorm normalisation(std::int64_t width, const Options& options) {
  return {width, {.eps = options.layer_norm_eps, .bias = options.bias}};
}

/// The first half of the feed-forward part; a ReLU costs no pass of its own.
Linear widening(std::int64_t width, const Options& options) {
  return {width,
          options.dim_feedforward,
          {.bias = options.bias,
           .activation = options.activation == FeedForward::relu ? Activation::relu : Activation::none}};
}

Linear narrowing(std::int64_t width, const Options& options) {
  return {options.dim_feedforward, width, {.bias = options.bias}};
}

template <class Layer>
Tensor feed_forward(const Layer& layer, const Tensor& x) {
  const Tensor wide = layer.linear1(x);
  return layer.linear2(layer.dropout(layer.activation == FeedForward::gelu ? gelu(wide) : wide));
}

/// x + part(x), normalised before the part or after the sum.
template <class Part>
Tensor residual(bool norm_first, const LayerNorm& norm, const Dropout& dropout, const Tensor& x, Part part) {
  if (norm_first) return x + dropout(part(norm(x)));
  return norm.add_norm(part(x), x, dropout.training ? dropout.p : 0).y;
}

template <class Layer>
std::vector<Layer> copies(const char* model, const Layer& layer, std::int64_t count) {
  check(count > 0, model, ": got ", count, " layers; it needs at least one");
  std::vector<Layer> layers;
  for (std::int64_t i = 0; i < count; ++i) layers.push_back(clone(layer));
  return layers;
}

}  // namespace

TransformerEncoderLayer::TransformerEncoderLayer(std::int64_t d_model, std::int64_t nhead,
                                                 const Options& options)
    : self_attn(attention(d_model, nhead, options)),
      linear1(widening(d_model, options)),
      linear2(narrowing(d_model, options)),
      norm1(normalisation(d_model, options)),
      norm2(normalisation(d_model, options)),
      dropout{options.dropout},
      dropout1{options.dropout},
      dropout2{options.dropout},
      activation(options.activation),
      norm_first(options.norm_first) {}

Tensor TransformerEncoderLayer::operator()(const Tensor& src, const AttendOptions& options) const {
  const Tensor x = residual(norm_first, norm1, dropout1, src,
                            [&](const Tensor& part) { return self_attn(part, options); });
  return observed(*this, residual(norm_first, norm2, dropout2, x,
                                  [&](const Tensor& part) { return feed_forward(*this, part); }));
}

TransformerDecoderLayer::TransformerDecoderLayer(std::int64_t d_model, std::int64_t nhead,
                                                 const Options& options)
    : self_attn(attention(d_model, nhead, options)),
      multihead_attn(attention(d_model, nhead, options)),
      linear1(widening(d_model, options)),
      linear2(narrowing(d_model, options)),
      norm1(normalisation(d_model, options)),
      norm2(normalisation(d_model, options)),
      norm3(normalisation(d_model, options)),
      dropout{options.dropout},
      dropout1{options.dropout},
      dropout2{options.dropout},
      dropout3{options.dropout},
      activation(options.activation),
      norm_first(options.norm_first) {}

Tensor TransformerDecoderLayer::operator()(const Tensor& tgt, const Tensor& memory,
                                           const AttendOptions& tgt_options,
                                           const AttendOptions& memory_options) const {
  Tensor x = residual(norm_first, norm1, dropout1, tgt,
                      [&](const Tensor& part) { return self_attn(part, tgt_options); });
  x = residual(norm_first, norm2, dropout2, x,
               [&](const Tensor& part) { return multihead_attn(part, memory, memory, memory_options); });
  return observed(*this, residual(norm_first, norm3, dropout3, x,
                                  [&](const Tensor& part) { return feed_forward(*this, part); }));
}

TransformerEncoder::TransformerEncoder(const TransformerEncoderLayer& layer, std::int64_t num_layers,
                                       std::optional<LayerNorm> last)
    : layers(copies("TransformerEncoder", layer, num_layers)), norm(std::move(last)) {}

Tensor TransformerEncoder::operator()(const Tensor& src, const AttendOptions& options) const {
  Tensor x = src;
  for (const TransformerEncoderLayer& layer : layers) x = layer(x, options);
  return observed(*this, norm ? (*norm)(x) : x);
}

TransformerDecoder::TransformerDecoder(const TransformerDecoderLayer& layer, std::int64_t num_layers,
                                       std::optional<LayerNorm> last)
    : layers(copies("TransformerDecoder", layer, num_layers)), norm(std::move(last)) {}

Tensor TransformerDecoder::operator()(const Tensor& tgt, const Tensor& memory,
                                      const AttendOptions& tgt_options,
                                      const AttendOptions& memory_options) const {
  Tensor x = tgt;
  for (const TransformerDecoderLayer& layer : layers) x = layer(x, memory, tgt_options, memory_options);
  return observed(*this, norm ? (*norm)(x) : x);
}

}  // namespace miniparallel::nn
