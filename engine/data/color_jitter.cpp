#include <miniparallel/data/transforms.h>

#include "engine/data/transforms.h"
#include "engine/error.h"

#include <algorithm>
#include <cmath>

namespace miniparallel::data {
namespace {

double clamped(double value) { return std::clamp(value, 0.0, 1.0); }

/// One pixel after the other of an image of red, green and blue, or of gray.
template <class T>
class Colours {
 public:
  explicit Colours(const Tensor& image)
      : area_(image.size(1) * image.size(2)), gray_(image.size(0) == 1), values_(image.data<T>()) {}

  void brighten(double factor) {
    for (std::int64_t i = 0; i < (gray_ ? area_ : 3 * area_); ++i)
      values_[i] = static_cast<T>(clamped(values_[i] * factor));
  }

  void contrast(double factor) {
    double sum = 0;
    for (std::int64_t i = 0; i < area_; ++i) sum += lightness(i);
    const double mean = area_ == 0 ? 0 : sum / static_cast<double>(area_);
    for (std::int64_t i = 0; i < (gray_ ? area_ : 3 * area_); ++i)
      values_[i] = static_cast<T>(clamped(mean + factor * (values_[i] - mean)));
  }

  void saturate(double factor) {
    if (gray_) return;
    for (std::int64_t i = 0; i < area_; ++i) {
      const double gray = lightness(i);
      for (int c = 0; c < 3; ++c) set(i, c, clamped(gray + factor * (at(i, c) - gray)));
    }
  }

  /// Turns the hue by `turn` of its circle; the largest and the smallest of the three stay as they are.
  void turn_hue(double turn) {
    if (gray_) return;
    for (std::int64_t i = 0; i < area_; ++i) {
      const double red = at(i, 0), green = at(i, 1), blue = at(i, 2);
      const double largest = std::max({red, green, blue}), range = largest - std::min({red, green, blue});
      if (range == 0) continue;
      double hue = largest == red     ? (green - blue) / range
                   : largest == green ? 2 + (blue - red) / range
                                      : 4 + (red - green) / range;
      hue += 6 * turn;
      // Foley and van Dam: how far each colour is below the largest, by its distance on the circle.
      const double offsets[3] = {5, 3, 1};
      for (int c = 0; c < 3; ++c) {
        const double k = hue + offsets[c], place = k - 6 * std::floor(k / 6);
        set(i, c, largest - range * clamped(std::min(place, 4 - place)));
      }
    }
  }

 private:
  double at(std::int64_t pixel, int channel) const { return values_[channel * area_ + pixel]; }
  void set(std::int64_t pixel, int channel, double value) {
    values_[channel * area_ + pixel] = static_cast<T>(value);
  }
  double lightness(std::int64_t pixel) const {  // ITU-R BT.601, as torchvision rounds it
    return gray_ ? at(pixel, 0) : 0.2989 * at(pixel, 0) + 0.587 * at(pixel, 1) + 0.114 * at(pixel, 2);
  }

  std::int64_t area_;
  bool gray_;
  T* values_;
};

template <class T>
void jitter(const Tensor& image, const ColorJitter& by, RandomStream& random) {
  const auto factor = [&](double range) {
    const double low = std::max(0.0, 1 - range);
    return low + (1 + range - low) * random.uniform();
  };
  std::array<int, 4> order = {0, 1, 2, 3};
  for (int i = 3; i > 0; --i) std::swap(order[i], order[static_cast<std::size_t>(random.below(i + 1))]);
  Colours<T> colours(image);
  for (const int change : order) {
    if (change == 0 && by.brightness > 0) colours.brighten(factor(by.brightness));
    if (change == 1 && by.contrast > 0) colours.contrast(factor(by.contrast));
    if (change == 2 && by.saturation > 0) colours.saturate(factor(by.saturation));
    if (change == 3 && by.hue > 0) colours.turn_hue(by.hue * (2 * random.uniform() - 1));
  }
}

}  // namespace

Tensor ColorJitter::operator()(const Tensor& image, RandomStream& random) const {
  check(brightness >= 0 && contrast >= 0 && saturation >= 0 && hue >= 0 && hue <= 0.5,
        "ColorJitter: brightness is ", brightness, ", contrast ", contrast, ", saturation ", saturation,
        " and hue ", hue, "; they must be at least 0, the hue at most 0.5");
  check_image("ColorJitter", image);
  check(image.size(0) == 1 || image.size(0) == 3, "ColorJitter: got shape ", image.shape(),
        "; the image must have 1 or 3 channels");
  check(image.dtype() == float32 || image.dtype() == float64, "ColorJitter: got ", image.dtype(),
        "; convert with to(float32), to numbers from 0 to 1");
  Tensor result = empty(image.shape(), {.dtype = image.dtype()}).copy_(image);
  if (image.dtype() == float32) {
    jitter<float>(result, *this, random);
  } else {
    jitter<double>(result, *this, random);
  }
  return result;
}

}  // namespace miniparallel::data
