#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"
#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

// Convolutions of sequences, transposed ones, resampling: what a row of the table does not say.

namespace miniparallel {
namespace {

using testing::error_of;

TEST_CASE("pixel_shuffle: r^2 channels are a square, row by row; unshuffle is its inverse") {
  const Tensor x = arange(8).view({1, 4, 1, 2});
  CHECK(equal(pixel_shuffle(x, 2), tensor({0, 2, 1, 3, 4, 6, 5, 7}, {1, 1, 2, 4})));
  const Tensor many = randn({2, 1, 2, 1, 2, 18, 2, 1});
  CHECK(equal(pixel_unshuffle(pixel_shuffle(many, 3), 3), many));
  CHECK(error_of([&] { pixel_shuffle(x, 3); }) ==
        "pixel_shuffle: 4 channels of [1, 4, 1, 2] are not a multiple of 3 x 3; choose another factor");
  CHECK(error_of([&] { pixel_shuffle(x[0][0], 2); }) ==
        "pixel_shuffle: got shape [1, 2]; it must be (..., channels, height, width)");
  CHECK(error_of([&] { pixel_shuffle(x, 0); }) == "pixel_shuffle: got factor 0; it must be at least 1");
  CHECK(error_of([&] { pixel_unshuffle(x, 2); }) ==
        "pixel_unshuffle: height and width of [1, 4, 1, 2] are not multiples of 2; choose another factor");
}

TEST_CASE("interpolate: nearest takes the pixel at or before each point, exactly") {
  for (const std::int64_t n : {1, 3, 41, 49, 107}) {
    const Tensor row = arange(n).to(float32).view({1, 1, 1, n}),
                 many = interpolate(row, {.size = {1, 7 * n}});
    CHECK(equal(many.flatten(), repeat_interleave(row.flatten(), 7)));
    CHECK(equal(interpolate(many, {.size = {1, n}}), row));
  }
  constexpr std::int64_t vast = std::int64_t{1} << 40;
  CHECK(
      error_of([] { interpolate(ones({1, 1, 1, 1}), {.size = {vast, vast}}); }).starts_with("interpolate: "));
  CHECK(interpolate(ones({1, 2, 3, 5}), {.scale_factor = 0.5}).shape() == Shape{1, 2, 1, 2});
  CHECK(error_of([] { interpolate(ones({1, 2, 3, 5}), {}); }) ==
        "interpolate: got neither size nor scale_factor; give one of them");
  CHECK(error_of([] { interpolate(ones({1, 2, 3, 5}), {.size = 2, .scale_factor = 2}); }) ==
        "interpolate: got a size and a scale_factor; give one of them");
  CHECK(
      error_of([] { interpolate(ones({1, 2, 3, 5}), {.scale_factor = 0.2}); }) ==
      "interpolate: scale_factor 0.2 gives [1, 2, 3, 5] a size of 0; it must be at least 1, and fit 63 bits");
  CHECK(error_of([] { interpolate(ones({2, 3, 5}), {.size = 2}); }) ==
        "interpolate: got shape [2, 3, 5]; it must be (n, channels, height, width), with pixels");
  CHECK(error_of([] { interpolate(ones({1, 2, 3, 5}), {.size = 2, .align_corners = true}); }) ==
        "interpolate: align_corners is an option of bilinear and bicubic; leave it out for nearest");
}

TEST_CASE("conv_transpose2d: is the gradient of conv2d by its input") {
  const Conv2dOptions options{.stride = 2, .padding = 1, .dilation = {1, 2}, .groups = 2};
  const Tensor x = randn({2, 4, 7, 8}).requires_grad_(), weight = randn({6, 2, 3, 2});
  const Tensor y = conv2d(x, weight, {}, options), g = randn(y.shape());
  y.backward(g);
  const Tensor back = conv_transpose2d(
      g, weight, {}, {.stride = 2, .padding = 1, .output_padding = {0, 1}, .groups = 2, .dilation = {1, 2}});
  CHECK(equal(back, x.grad()));
}

TEST_CASE("conv_transpose2d, conv1d and their pools: what does not fit is an error") {
  const Tensor x = ones({1, 4, 3, 3}), weight = ones({4, 2, 3, 3});
  CHECK(
      error_of([&] { conv_transpose2d(x, weight, {}, {.output_padding = 1}); }) ==
      "conv_transpose2d: got output_padding 1 x 1 with stride 1 x 1 and dilation 1 x 1; it must be at least "
      "0 and below one of them");
  CHECK(error_of([&] { conv_transpose2d(x, ones({3, 2, 3, 3})); }) ==
        "conv_transpose2d: input of shape [1, 4, 3, 3] has 4 channels, weight of shape [3, 2, 3, 3] with "
        "groups "
        "1 is for 3; they must be equal, and groups divide them");
  CHECK(error_of([&] { conv_transpose2d(x, weight, ones({2}), {.groups = 2}); }) ==
        "conv_transpose2d: bias has shape [2]; it must be [4]");
  CHECK(error_of([&] { conv_transpose2d(x, weight, {}, {.padding = 3}); }) ==
        "conv_transpose2d: input of shape [1, 4, 3, 3], weight of shape [4, 2, 3, 3], stride 1 x 1, padding "
        "3 x "
        "3 and dilation 1 x 1 leave nothing of the output; use a larger input or kernel, or less padding");
  CHECK(error_of([&] { conv2d(x, ones({2, 4, 3, 3}), {}, {.stride = {1, 2}, .padding = "same"}); }) ==
        "conv2d: padding \"same\" goes with stride 1, not 1 x 2; give the padding in numbers");
  CHECK(error_of([&] { conv1d(ones({4, 9}), ones({2, 4, 3})); }) ==
        "conv1d: input has shape [4, 9]; it must be (n, channels, length), for one sequence unsqueeze(0)");
  CHECK(error_of([&] { conv1d(ones({1, 4, 9}), ones({2, 3, 3})); }) ==
        "conv1d: input of shape [1, 4, 9] and weight of shape [2, 3, 3] do not fit with groups 1; the input "
        "has "
        "in channels, the weight is (out, in / groups, kernel)");
  CHECK(error_of([&] { max_pool1d(ones({1, 4, 2}), 3); }) ==
        "max_pool1d: kernel 3 does not fit an input of shape [1, 4, 2] with padding 0; use a larger input or "
        "padding, or a smaller kernel");
  CHECK(error_of([&] { avg_pool1d(ones({1, 4, 9}), 3, {.padding = 2}); }) ==
        "avg_pool1d: got padding 2 for kernel 3; it must be from 0 to half of the kernel");
}

TEST_CASE("conv2d: padding by name keeps height and width, whatever the kernel") {
  for (const Size2 kernel : {Size2{1, 2}, Size2{4, 3}, Size2{9, 6}})
    for (const Size2 dilation : {Size2{1}, Size2{2, 3}}) {
      const Tensor y = conv2d(ones({1, 1, 5, 4}), ones({2, 1, kernel.height, kernel.width}), {},
                              {.padding = "same", .dilation = dilation});
      CHECK(y.shape() == Shape{1, 2, 5, 4});
    }
}

TEST_CASE("cdist: at distance 0 the gradient is 0, by either way") {
  for (const std::int64_t rows : {3, 40}) {
    const Tensor x = (arange(4 * rows) * 0.5).view({rows, 4}).requires_grad_();  // products are exact
    const Tensor d = cdist(x, x.detach());
    CHECK(equal(d.diagonal(), zeros({rows})));
    d.diagonal().sum().backward();
    CHECK(equal(x.grad(), zeros_like(x)));
  }
  for (const double p : {1.0, 1.5, 2.0, HUGE_VAL}) {
    const Tensor x = ones({2, 3}).requires_grad_();
    cdist(x, ones({1, 3}), p).sum().backward();
    CHECK(equal(x.grad(), zeros_like(x)));
  }
  CHECK(error_of([] { cdist(ones({2, 3}), ones({2, 4})); }) ==
        "cdist: got shapes [2, 3] and [2, 4]; they must be (..., rows, width) of one width");
  CHECK(error_of([] { cdist(ones({2, 3}), ones({2, 3}), -1); }) == "cdist: p is -1; it must be at least 0");
}

}  // namespace
}  // namespace miniparallel
