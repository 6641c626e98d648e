#include <miniparallel/data/transforms.h>

#include "engine/data/transforms.h"
#include "engine/error.h"

#include <algorithm>
#include <cmath>

namespace miniparallel::data {
namespace {

/// The weights by which a pixel of the result sums those of the image, from `first` on.
template <class T>
struct Window {
  std::int64_t first = 0;
  std::vector<T> weights;
};

/// A triangle around each pixel's place in the image, as wide as two pixels of the wider of both.
template <class T>
std::vector<Window<T>> windows(std::int64_t in, std::int64_t out) {
  const double step = static_cast<double>(in) / static_cast<double>(out), reach = std::max(step, 1.0);
  const auto rounded = [](double x) { return static_cast<std::int64_t>(x + 0.5); };  // NOLINT: as Pillow does
  std::vector<Window<T>> result(static_cast<std::size_t>(out));
  for (std::int64_t i = 0; i < out; ++i) {
    Window<T>& window = result[static_cast<std::size_t>(i)];
    const double centre = step * (static_cast<double>(i) + 0.5);
    window.first = std::max<std::int64_t>(rounded(centre - reach), 0);
    const std::int64_t last = std::min(rounded(centre + reach), in);
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t j = window.first; j < last; ++j) {
      weights.push_back(std::max(0.0, 1 - std::abs((static_cast<double>(j) + 0.5 - centre) / reach)));
      sum += weights.back();
    }
    for (const double weight : weights) window.weights.push_back(static_cast<T>(weight / sum));
  }
  return result;
}

template <class T>
void resize_rows(const T* in, T* out, std::int64_t rows, std::int64_t in_columns,
                 const std::vector<Window<T>>& across) {
  for (std::int64_t row = 0; row < rows; ++row, in += in_columns) {
    for (const Window<T>& window : across) {
      T sum = 0;
      for (std::size_t j = 0; j < window.weights.size(); ++j)
        sum += window.weights[j] * in[static_cast<std::size_t>(window.first) + j];
      *out++ = sum;
    }
  }
}

template <class T>
void resize_columns(const T* in, T* out, std::int64_t columns, const std::vector<Window<T>>& down) {
  for (const Window<T>& window : down) {
    std::fill_n(out, columns, T(0));
    const T* row = in + window.first * columns;
    for (const T weight : window.weights) {
      for (std::int64_t i = 0; i < columns; ++i) out[i] += weight * row[i];
      row += columns;
    }
    out += columns;
  }
}

template <class T>
Tensor resize_as(const Tensor& image, std::int64_t rows, std::int64_t columns) {
  const Tensor source = image.contiguous();
  const std::int64_t channels = image.size(0), in_rows = image.size(1), in_columns = image.size(2);
  const TensorOptions options{.dtype = image.dtype()};
  Tensor wide = empty({channels, in_rows, columns}, options),
         result = empty({channels, rows, columns}, options);
  resize_rows(source.data<T>(), wide.data<T>(), channels * in_rows, in_columns,
              windows<T>(in_columns, columns));
  const auto down = windows<T>(in_rows, rows);
  for (std::int64_t channel = 0; channel < channels; ++channel)
    resize_columns(wide.data<T>() + channel * in_rows * columns, result.data<T>() + channel * rows * columns,
                   columns, down);
  return result;
}

Tensor resize(const char* name, const Tensor& image, std::int64_t rows, std::int64_t columns) {
  if (image.size(1) == rows && image.size(2) == columns) return image;
  if (image.dtype() == float32) return resize_as<float>(image, rows, columns);
  if (image.dtype() == float64) return resize_as<double>(image, rows, columns);
  check(image.dtype() == uint8, name, ": got ", image.dtype(), "; it must be float32, float64 or uint8");
  return resize_as<float>(image.to(float32), rows, columns).round().to(uint8);
}

void check_pixels(const char* name, const Tensor& image) {
  check_image(name, image);
  check(image.numel() > 0, name, ": got shape ", image.shape(), "; an image has at least one pixel");
}

double between(const std::array<double, 2>& range, RandomStream& random) {
  return range[0] + (range[1] - range[0]) * random.uniform();
}

}  // namespace

Tensor Resize::operator()(const Tensor& image) const {
  check(rows > 0 && columns >= 0, "Resize: got ", rows, " and ", columns, "; sizes must be at least 1");
  check_pixels("Resize", image);
  if (columns > 0) return resize("Resize", image, rows, columns);
  const std::int64_t height = image.size(1), width = image.size(2), shorter = std::min(height, width);
  return resize("Resize", image, rows * height / shorter, rows * width / shorter);
}

Tensor RandomResizedCrop::operator()(const Tensor& image, RandomStream& random) const {
  check(size > 0, "RandomResizedCrop: size is ", size, "; it must be at least 1");
  check(scale[0] > 0 && scale[0] <= scale[1] && ratio[0] > 0 && ratio[0] <= ratio[1],
        "RandomResizedCrop: scale is ", scale[0], " to ", scale[1], " and ratio ", ratio[0], " to ", ratio[1],
        "; ranges are above 0, the smaller number first");
  check_pixels("RandomResizedCrop", image);
  const std::int64_t rows = image.size(1), columns = image.size(2);
  const std::array<double, 2> logarithms = {std::log(ratio[0]), std::log(ratio[1])};
  for (int i = 0; i < 10; ++i) {
    const double area = static_cast<double>(rows * columns) * between(scale, random);
    const double sides = std::exp(between(logarithms, random));
    const std::int64_t width = std::lround(std::sqrt(area * sides)),
                       height = std::lround(std::sqrt(area / sides));
    if (width < 1 || width > columns || height < 1 || height > rows) continue;
    const std::int64_t top = random.below(rows - height + 1), left = random.below(columns - width + 1);
    return resize("RandomResizedCrop", crop(image, top, left, height, width), size, size);
  }
  const double sides = static_cast<double>(columns) / static_cast<double>(rows);
  std::int64_t width = columns, height = rows;
  if (sides < ratio[0]) height = std::lround(static_cast<double>(width) / ratio[0]);
  if (sides > ratio[1]) width = std::lround(static_cast<double>(height) * ratio[1]);
  height = std::clamp<std::int64_t>(height, 1, rows);
  width = std::clamp<std::int64_t>(width, 1, columns);
  return resize("RandomResizedCrop", crop(image, (rows - height) / 2, (columns - width) / 2, height, width),
                size, size);
}

}  // namespace miniparallel::data
