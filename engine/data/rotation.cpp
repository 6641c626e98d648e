#include <miniparallel/data/transforms.h>

#include "engine/data/transforms.h"
#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"

#include <cmath>
#include <cstring>
#include <numbers>

namespace miniparallel::data {

Tensor rotate(const Tensor& image, double degrees) {
  check_image("rotate", image);
  check(std::isfinite(degrees), "rotate: degrees is ", degrees, "; it must be finite");
  const Tensor source = image.contiguous();
  Tensor result = zeros(image.shape(), {.dtype = image.dtype()});
  const std::int64_t rows = image.size(1), columns = image.size(2);
  const std::size_t element = size_of(image.dtype());
  const double angle = degrees * std::numbers::pi / 180, cosine = std::cos(angle), sine = std::sin(angle);
  const double middle_row = static_cast<double>(rows - 1) / 2,
               middle_column = static_cast<double>(columns - 1) / 2;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const double down = static_cast<double>(row) - middle_row,
                   across = static_cast<double>(column) - middle_column;
      const double from_row = std::nearbyint(middle_row + cosine * down + sine * across);
      const double from_column = std::nearbyint(middle_column + cosine * across - sine * down);
      if (from_row < 0 || from_row >= static_cast<double>(rows) || from_column < 0 ||
          from_column >= static_cast<double>(columns))
        continue;
      const std::int64_t from =
          static_cast<std::int64_t>(from_row) * columns + static_cast<std::int64_t>(from_column);
      for (std::int64_t plane = 0; plane < image.size(0) * rows * columns; plane += rows * columns) {
        std::memcpy(raw(result) + static_cast<std::size_t>(plane + row * columns + column) * element,
                    raw(source) + static_cast<std::size_t>(plane + from) * element, element);
      }
    }
  }
  return result;
}

Tensor RandomRotation::operator()(const Tensor& image, RandomStream& random) const {
  check(degrees >= 0 && std::isfinite(degrees), "RandomRotation: degrees is ", degrees,
        "; it must be at least 0");
  return rotate(image, degrees * (2 * random.uniform() - 1));
}

}  // namespace miniparallel::data
