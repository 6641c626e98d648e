#pragma once

#include <miniparallel/data/example_random.h>
#include <miniparallel/tensor.h>

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

/// A square of `size` pixels at a random place of the image, which gets `padding` zeros on each side before;
/// `Error` where it does not fit.
struct RandomCrop {
  std::int64_t size;
  std::int64_t padding = 0;

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
