#include "tests/engine/nn/golden_layer.h"

using namespace miniparallel;
using namespace miniparallel::testing;

namespace {

using Options = nn::TransformerLayerOptions;

const Options small{.dim_feedforward = 12, .dropout = 0};

}  // namespace

TEST_CASE("layers against PyTorch: transformer encoder") {
  check_against_pytorch("encoder_layer", nn::TransformerEncoderLayer{8, 2, small});
  check_against_pytorch(
      "encoder_layer_norm_first",
      nn::TransformerEncoderLayer{8,
                                  2,
                                  {.dim_feedforward = 12,
                                   .dropout = 0,
                                   .activation = nn::FeedForward::gelu,
                                   .layer_norm_eps = 1e-3,
                                   .norm_first = true,
                                   .bias = false}},
      [](nn::TransformerEncoderLayer& layer, const Inputs& x) { return layer(x[0], {.causal = true}); });
  check_against_pytorch("encoder", nn::TransformerEncoder{{8, 2, small}, 2, nn::LayerNorm{8}},
                        [](nn::TransformerEncoder& encoder, const Inputs& x) {
                          const Tensor takes_part = !Golden("encoder")["ignored"];  // (batch, keys)
                          return encoder(x[0], {.mask = takes_part.view({3, 1, 1, 5})});
                        });
}

TEST_CASE("layers against PyTorch: transformer decoder") {
  const auto causal = [](auto& layer, const Inputs& x) { return layer(x[0], x[1], {.causal = true}); };
  check_against_pytorch("decoder_layer",
                        nn::TransformerDecoderLayer{
                            8, 2, {.dim_feedforward = 12, .dropout = 0, .activation = nn::FeedForward::gelu}},
                        causal);
  check_against_pytorch(
      "decoder_layer_norm_first",
      nn::TransformerDecoderLayer{8, 4, {.dim_feedforward = 12, .dropout = 0, .norm_first = true}},
      [](nn::TransformerDecoderLayer& layer, const Inputs& x) { return layer(x[0], x[1]); });
  check_against_pytorch("decoder", nn::TransformerDecoder{{8, 2, small}, 2}, causal);
}

TEST_CASE("Transformer: has PyTorch's defaults, and drops out in training alone") {
  manual_seed(5);
  nn::TransformerEncoderLayer layer{8, 2};
  CHECK(layer.linear1.weight.shape() == Shape{2048, 8});
  CHECK(layer.dropout2.p == 0.1);
  CHECK(layer.self_attn.dropout == 0.1);
  const Tensor x = randn({2, 3, 8});
  CHECK_FALSE(equal(layer(x), layer(x)));
  eval(layer);
  CHECK(equal(layer(x), layer(x)));
}

TEST_CASE("TransformerEncoder: its layers start alike, and each has its own parameters") {
  nn::TransformerEncoder encoder{{8, 2, small}, 3};
  CHECK(equal(encoder.layers[0].linear1.weight, encoder.layers[2].linear1.weight));
  CHECK(parameters(encoder).size() == 3 * parameters(encoder.layers[0]).size());
  CHECK(error_of([] { nn::TransformerEncoder{{8, 2, small}, 0}; }) ==
        "TransformerEncoder: got 0 layers; it needs at least one");
  CHECK(error_of([] { nn::TransformerDecoderLayer{8, 3}; }) ==
        "MultiheadAttention: 3 heads do not divide the width 8; choose a divisor of it");
}
