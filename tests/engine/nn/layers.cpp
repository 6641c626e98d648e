#include "tests/engine/nn/golden_layer.h"

#include <cmath>

using namespace miniparallel;
using namespace miniparallel::testing;

TEST_CASE("layers against PyTorch: linear") {
  check_against_pytorch("linear", nn::Linear{5, 3});
  check_against_pytorch("linear_no_bias", nn::Linear{5, 3, {.bias = false}});
}

TEST_CASE("layers against PyTorch: conv2d") {
  check_against_pytorch("conv2d", nn::Conv2d{2, 4, 3});
  check_against_pytorch(
      "conv2d_options",
      nn::Conv2d{4,
                 6,
                 {3, 2},
                 {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2, .bias = false}});
}

TEST_CASE("layers against PyTorch: convolutions of sequences, transposed, and padded by name") {
  check_against_pytorch("conv1d",
                        nn::Conv1d{4, 6, 3, {.stride = 2, .padding = 2, .dilation = 2, .groups = 2}});
  check_against_pytorch("conv1d_same", nn::Conv1d{2, 3, 4, {.padding = "same", .bias = false}});
  check_against_pytorch("conv2d_same", nn::Conv2d{2, 3, {3, 4}, {.padding = "same", .dilation = {1, 2}}});
  check_against_pytorch("conv2d_valid", nn::Conv2d{2, 3, 3, {.padding = "valid"}});
  check_against_pytorch(
      "conv_transpose2d",
      nn::ConvTranspose2d{
          4, 6, {3, 2}, {.stride = {2, 3}, .padding = {1, 0}, .output_padding = {1, 2}, .groups = 2}});
  check_against_pytorch("conv_transpose2d_plain",
                        nn::ConvTranspose2d{2, 3, 3, {.bias = false, .dilation = 2}});
}

TEST_CASE("layers against PyTorch: volumes, bags of embeddings, local response") {
  check_against_pytorch(
      "conv3d", nn::Conv3d{2, 4, {2, 3, 2}, {.stride = {1, 2, 1}, .padding = {1, 0, 2}, .groups = 2}});
  check_against_pytorch("conv3d_same", nn::Conv3d{2, 3, 3, {.padding = "same", .bias = false}});
  check_against_pytorch(
      "conv_transpose1d",
      nn::ConvTranspose1d{4, 6, 3, {.stride = 3, .padding = 1, .output_padding = 2, .groups = 2}});
  check_against_pytorch(
      "conv_transpose3d",
      nn::ConvTranspose3d{
          4,
          6,
          {2, 3, 2},
          {.stride = {2, 1, 3}, .padding = {1, 0, 1}, .output_padding = {1, 0, 2}, .groups = 2}});
  check_against_pytorch("embedding_bag", nn::EmbeddingBag{7, 4});
  check_against_pytorch("embedding_bag_offsets",
                        nn::EmbeddingBag{7, 4, {.mode = BagMode::max, .padding_idx = -2}},
                        [](nn::EmbeddingBag& bag, const Inputs& x) { return bag(x[0], x[1]); });
  check_against_pytorch("local_response_norm", nn::LocalResponseNorm{3, 0.2});
}

TEST_CASE("layers against their functions: pools of volumes, shrinking activations, losses of margins") {
  const Tensor x = arange(64).to(float32).view({1, 2, 4, 2, 4}) - 30, rows = x.view({8, 8}) / 10;
  CHECK(equal(nn::MaxPool3d{2}(x), max_pool3d(x, 2)));
  CHECK(equal(nn::AvgPool3d{2}(x), avg_pool3d(x, 2)));
  CHECK(equal(nn::AdaptiveAvgPool3d{1}(x), mean(x, {2, 3, 4}, true)));
  CHECK(equal(nn::AdaptiveMaxPool3d{1}(x), amax(x, {2, 3, 4}, true)));
  CHECK(equal(nn::AdaptiveMaxPool2d{1}(x[0]), amax(x[0], {2, 3}, true)));
  CHECK(equal(nn::AdaptiveMaxPool1d{1}(rows.unsqueeze(0)), amax(rows.unsqueeze(0), {2}, true)));
  CHECK(equal(nn::Hardshrink{1}(rows), hardshrink(rows, 1)));
  CHECK(equal(nn::Softshrink{1}(rows), softshrink(rows, 1)));
  CHECK(equal(nn::Tanhshrink{}(rows), tanhshrink(rows)));
  CHECK(equal(nn::Threshold{1, 9}(rows), threshold(rows, 1, 9)));
  const Tensor signs = where(rows > 1, 1, -1), target = zeros({8}, int64);
  CHECK(equal(nn::PoissonNLLLoss{}(rows, abs(rows)), poisson_nll_loss(rows, abs(rows))));
  CHECK(equal(nn::SoftMarginLoss{}(rows, signs.to(float32)), soft_margin_loss(rows, signs.to(float32))));
  CHECK(equal(nn::MultiLabelSoftMarginLoss{}(rows, sigmoid(rows)),
              multilabel_soft_margin_loss(rows, sigmoid(rows))));
  CHECK(equal(nn::MultiMarginLoss{}(rows, target), multi_margin_loss(rows, target)));
  CHECK(equal(nn::HingeEmbeddingLoss{}(rows, signs), hinge_embedding_loss(rows, signs)));
  CHECK(equal(nn::MarginRankingLoss{0.5}(rows, -rows, signs), margin_ranking_loss(rows, -rows, signs, 0.5)));
  const Tensor steps = log_softmax(randn({5, 2, 4}), -1),
               classes = tensor<std::int64_t>({1, 2, 3, 3}, {2, 2});
  CHECK(equal(nn::CTCLoss{{.reduction = Reduction::sum}}(steps, classes, {5, 4}, {2, 2}),
              ctc_loss(steps, classes, {5, 4}, {2, 2}, {.reduction = Reduction::sum})));
}

TEST_CASE("RReLU, AlphaDropout, Dropout3d: random in training, not in evaluation") {
  manual_seed(11);
  const Tensor x = -ones({100'000}, float64);
  nn::RReLU slopes;
  const Tensor y = slopes(x);
  CHECK(amin(y).item() >= -1.0 / 3);
  CHECK(amax(y).item() <= -1.0 / 8);
  CHECK(mean(y).item() == doctest::Approx(-11.0 / 48).epsilon(0.01));
  CHECK(equal(slopes(-x), -x));
  eval(slopes);
  CHECK(allclose(slopes(x), x * (11.0 / 48)));

  nn::AlphaDropout alpha{0.3};
  const Tensor normal = randn({200'000}, float64), dropped = alpha(normal);
  CHECK(std::abs(mean(dropped).item()) < 0.02);
  CHECK(var(dropped).item() == doctest::Approx(1).epsilon(0.02));
  CHECK(equal(alpha_dropout(normal, 1), zeros_like(normal)));
  eval(alpha);
  CHECK(alpha(normal).is_same(normal));

  nn::Dropout3d channels{0.5};
  const Tensor kept = channels(ones({50, 40, 2, 2, 2}));
  CHECK(equal(amax(kept, {2, 3, 4}), amin(kept, {2, 3, 4})));
  CHECK(mean(kept).item() == doctest::Approx(1).epsilon(0.1));
}

TEST_CASE("layers against their functions: pools of sequences, pixel shuffles, channels dropped") {
  const Tensor x = arange(24).to(float32).view({2, 3, 4}), image = arange(32).to(float32).view({2, 4, 2, 2});
  CHECK(equal(nn::MaxPool1d{2}(x), max_pool1d(x, 2)));
  CHECK(
      equal(nn::AvgPool1d{3, {.stride = 1, .padding = 1}}(x), avg_pool1d(x, 3, {.stride = 1, .padding = 1})));
  CHECK(equal(nn::AdaptiveAvgPool1d{1}(x), mean(x, {2}, true)));
  CHECK(nn::PixelShuffle{2}(image).shape() == Shape{2, 1, 4, 4});
  CHECK(equal(nn::PixelUnshuffle{2}(nn::PixelShuffle{2}(image)), image));
  nn::Dropout2d dropout{1};
  CHECK(equal(dropout(image), zeros_like(image)));
  eval(dropout);
  CHECK(equal(dropout(image), image));
}

TEST_CASE("layers against PyTorch: embedding") {
  check_against_pytorch("embedding", nn::Embedding{7, 4});
  check_against_pytorch("embedding_padding", nn::Embedding{7, 4, {.padding_idx = -2}});
}

TEST_CASE("layers start as PyTorch's do") {
  const auto largest = [](const Tensor& x) { return largest_magnitude(x); };
  manual_seed(3);
  const nn::Linear linear{400, 200};
  const double bound = 1.0 / 20;
  CHECK(largest(linear.weight) <= bound);
  CHECK(largest(linear.weight) > 0.999 * bound);
  CHECK(largest(linear.bias) <= bound);
  CHECK(largest(linear.bias) > 0.9 * bound);

  const nn::Conv2d conv{8, 64, {5, 3}, {.groups = 2}};
  const double conv_bound = 1 / std::sqrt(4.0 * 5 * 3);
  CHECK(largest(conv.weight) <= conv_bound);
  CHECK(largest(conv.weight) > 0.99 * conv_bound);

  const nn::ConvTranspose2d transposed{64, 8, {5, 3}, {.groups = 2}};
  CHECK(largest(transposed.weight) <= conv_bound);
  CHECK(largest(transposed.weight) > 0.99 * conv_bound);

  const nn::Embedding embedding{1000, 100, {.padding_idx = 7}};
  CHECK(mean(embedding.weight).item() == doctest::Approx(0).epsilon(0.02));
  CHECK(var(embedding.weight).item() == doctest::Approx(1).epsilon(0.02));
  CHECK(largest(embedding.weight[7]) == 0);
  CHECK(largest(embedding.weight[6]) > 0);
  CHECK(embedding.weight.requires_grad());
}

TEST_CASE("init: bounds and deviations of the formulas") {
  Tensor weight = empty({50, 40, 3, 3});
  CHECK(nn::init::fans(weight).in == 360);
  CHECK(nn::init::fans(weight).out == 450);
  const auto bound = [&](double expected) {
    const double largest = largest_magnitude(weight);
    return largest <= expected && largest > 0.99 * expected;
  };
  const auto deviation = [&] { return std::sqrt(var(weight).item()); };

  CHECK(nn::init::xavier_uniform_(weight, 2).is_same(weight));
  CHECK(bound(2 * std::sqrt(6.0 / 810)));
  nn::init::xavier_normal_(weight);
  CHECK(deviation() == doctest::Approx(std::sqrt(2.0 / 810)).epsilon(0.03));
  nn::init::kaiming_uniform_(weight, {.negative_slope = std::sqrt(5.0)});
  CHECK(bound(1 / std::sqrt(360.0)));
  nn::init::kaiming_normal_(weight, {.mode = nn::init::Fan::out});
  CHECK(deviation() == doctest::Approx(std::sqrt(2.0 / 450)).epsilon(0.03));
  nn::Parameter parameter(weight);
  nn::init::constant_(parameter, 3);
  CHECK(parameter.version() == 5);
  CHECK(error_of([] { nn::init::xavier_normal_(empty({3})); }).find("[3]") != std::string::npos);
}

TEST_CASE("init: eye_, and orthonormal rows or columns") {
  CHECK(equal(nn::init::eye_(empty({2, 3})), tensor({1.0, 0.0, 0.0, 0.0, 1.0, 0.0}, {2, 3})));
  manual_seed(5);
  for (const Shape& shape : {Shape{70, 40}, Shape{40, 70}, Shape{9, 2, 3}, Shape{1, 5}}) {
    CAPTURE(shape);
    const Tensor weight = nn::init::orthogonal_(empty(shape, {.dtype = float64}), 2);
    const Tensor matrix = weight.reshape({shape[0], weight.numel() / shape[0]});
    const bool wide = matrix.size(0) <= matrix.size(1);
    const Tensor product = wide ? matmul(matrix, matrix.t()) : matmul(matrix.t(), matrix);
    CHECK(largest_difference(product, 4 * eye(product.size(0), float64)) < 1e-13);
    CHECK(std::abs(mean(weight).item()) < 0.5);
  }
  const nn::Parameter parameter(zeros({3, 3}));
  nn::init::orthogonal_(parameter);
  CHECK(std::abs(sum(square(parameter)).item() - 3) < 1e-5);
  CHECK(error_of([] { nn::init::orthogonal_(empty({3})); }) ==
        "orthogonal_: got shape [3]; it needs a weight (out, in, ...)");
}

TEST_CASE("init: trunc_normal_ has the moments of the truncated distribution, and its ends") {
  manual_seed(7);
  Tensor x = empty({200, 500}, {.dtype = float64});
  CHECK(nn::init::trunc_normal_(x).is_same(x));
  CHECK(largest_magnitude(x) <= 2);
  CHECK(largest_magnitude(x) > 1.999);
  CHECK(std::abs(mean(x).item()) < 0.01);
  CHECK(var(x).item() == doctest::Approx(0.77374).epsilon(0.01));
  // Between 1 and 3 of a normal distribution around 0.5 with deviation 2: mean and variance by its formulas.
  nn::init::trunc_normal_(x, 0.5, 2, 1, 3);
  CHECK(amin(x).item() >= 1);
  CHECK(amax(x).item() <= 3);
  CHECK(mean(x).item() == doctest::Approx(1.88017).epsilon(0.003));
  nn::init::trunc_normal_(x, 0, 1, -30, 30);
  CHECK(var(x).item() == doctest::Approx(1).epsilon(0.02));
  CHECK(std::isfinite(largest_magnitude(x)));
  CHECK(error_of([] { nn::init::trunc_normal_(empty({3}), 0, 1, 2, 2); }) ==
        "trunc_normal_: got numbers from 2 to 2; the first must be below");
}

TEST_CASE("Dropout: follows train and eval") {
  nn::Dropout dropout{0.5};
  const Tensor x = ones({1000});
  const double kept = dropout(x).sum().item() / 2;
  CHECK(kept > 400);
  CHECK(kept < 600);
  eval(dropout);
  CHECK(equal(dropout(x), x));
}

TEST_CASE("layers: bad sizes are errors that say which") {
  CHECK(error_of([] { nn::Linear{0, 3}; }) ==
        "Linear: got 0 features in and 3 out; it needs at least one on each side");
  CHECK(error_of([] { nn::Conv2d{3, 4, 3, {.groups = 2}}; }) ==
        "Conv2d: 2 groups do not divide 3 channels in and 4 out; choose a divisor of both");
  CHECK(error_of([] { nn::Conv2d{3, 4, 3, {.stride = 2, .padding = "same"}}; }) ==
        "Conv2d: padding \"same\" goes with stride 1, not (2, 2); give the padding in numbers");
  CHECK(error_of([] { nn::Conv1d{3, 4, 3, {.padding = "full"}}; }) ==
        "padding: got \"full\"; it is \"same\", \"valid\" or numbers");
  CHECK(error_of([] { nn::ConvTranspose2d{3, 0, 3}; }) ==
        "ConvTranspose2d: got 3 channels in, 0 out and a kernel of (3, 3); each must be at least 1");
  CHECK(error_of([] { nn::Embedding{8, 3, {.padding_idx = 8}}; }) ==
        "Embedding: padding_idx is 8; it must be at least -8 and below 8");
}

TEST_CASE("layers: copies share their tensors") {
  const nn::Linear layer{2, 3};
  const nn::Linear copy = layer;
  CHECK(copy.weight.is_same(layer.weight));
}
