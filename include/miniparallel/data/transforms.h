#pragma once

#include <miniparallel/data/example_random.h>
#include <miniparallel/tensor.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

/// Changes to one image, a CPU tensor of shape [channels, rows, columns]. They run where `Transformed` calls
/// them, on a loader's workers, take their random numbers from the stream of the example and return a new
/// image. They throw `Error` for any other tensor.
namespace miniparallel::data {

/// (x - mean) / stddev with a mean and a deviation for each channel, or one for all; `Error` for another
/// number of them. Images of float32 or float64.
struct Normalize {
  std::vector<double> mean, stddev;

  Tensor operator()(const Tensor& image) const;
};

/// The image in another size: `{256}` makes its shorter side 256 and keeps the ratio of its sides, `{224,
/// 320}` is rows and columns. Each pixel is the mean of what it covers, weighted by a triangle (bilinear with
/// antialiasing, as torchvision has it). Images of float32, float64 or uint8.
struct Resize {
  std::int64_t rows;
  std::int64_t columns = 0;

  Tensor operator()(const Tensor& image) const;
};

/// A square of `size` pixels from the middle; zeros surround an image that is smaller.
struct CenterCrop {
  std::int64_t size;

  Tensor operator()(const Tensor& image) const;
};

/// A square of `size` pixels at a random place of the image, which gets `padding` zeros on each side before;
/// `Error` where it does not fit.
struct RandomCrop {
  std::int64_t size;
  std::int64_t padding = 0;

  Tensor operator()(const Tensor& image, RandomStream& random) const;
};

/// A random part of the image, brought to a square of `size` pixels as `Resize` does: a part of its area
/// drawn from `scale`, its width over its height drawn from `ratio`, evenly in the logarithm. Where ten draws
/// do not fit the image it is the largest part in its middle of an allowed ratio. (Szegedy et al.: "Going
/// deeper with convolutions", 2014.)
struct RandomResizedCrop {
  std::int64_t size;
  std::array<double, 2> scale = {0.08, 1.0};
  std::array<double, 2> ratio = {3.0 / 4, 4.0 / 3};

  Tensor operator()(const Tensor& image, RandomStream& random) const;
};

/// The image turned by `degrees` against the clock about its middle, in its own size: the nearest pixels, and
/// zeros outside.
Tensor rotate(const Tensor& image, double degrees);

/// `rotate` by an angle from -degrees to degrees.
struct RandomRotation {
  double degrees;

  Tensor operator()(const Tensor& image, RandomStream& random) const;
};

/// Changes of light, in random order: brightness, contrast and saturation are multiplied by a number from
/// max(0, 1 - x) to 1 + x, the hue is turned by up to `hue` of its circle, at most 0.5. Images of float32 or
/// float64 from 0 to 1 with 1 channel (gray: the first two alone) or 3.
struct ColorJitter {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;

  Tensor operator()(const Tensor& image, RandomStream& random) const;
};

/// The image, or with this probability its mirror image, left and right exchanged.
struct RandomHorizontalFlip {
  double probability = 0.5;

  Tensor operator()(const Tensor& image, RandomStream& random) const;
};

/// Calls `transform(value, random)`, or `transform(value)` where it takes no random numbers.
template <class Transform, class T>
auto apply_transform(const Transform& transform, T value, RandomStream& random) {
  if constexpr (std::invocable<const Transform&, T, RandomStream&>) {
    return transform(std::move(value), random);
  } else {
    return transform(std::move(value));
  }
}

/// Transforms one after the other: `Compose(RandomCrop{32, 4}, RandomHorizontalFlip{})`.
template <class... Transforms>
class Compose {
 public:
  explicit Compose(Transforms... transforms) : transforms_(std::move(transforms)...) {}

  Tensor operator()(Tensor image, RandomStream& random) const {
    std::apply(
        [&](const Transforms&... transform) {
          ((image = apply_transform(transform, std::move(image), random)), ...);
        },
        transforms_);
    return image;
  }

 private:
  std::tuple<Transforms...> transforms_;
};

}  // namespace miniparallel::data
