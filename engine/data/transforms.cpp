#include <miniparallel/data/transforms.h>

#include "engine/data/transforms.h"
#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace miniparallel::data {
namespace {

double for_channel(const std::vector<double>& values, std::int64_t channel) {
  return values[values.size() == 1 ? 0 : static_cast<std::size_t>(channel)];
}

template <class T>
void normalize(const Tensor& image, const Tensor& result, const Normalize& by) {
  const std::int64_t area = image.size(1) * image.size(2);
  const T* in = image.data<T>();
  T* out = result.data<T>();
  for (std::int64_t channel = 0; channel < image.size(0); ++channel, in += area, out += area) {
    const auto mean = static_cast<T>(for_channel(by.mean, channel));
    const auto scale = static_cast<T>(1 / for_channel(by.stddev, channel));
    for (std::int64_t i = 0; i < area; ++i) out[i] = (in[i] - mean) * scale;
  }
}

/// Where a part of `part` pixels in the middle of `size` starts, rounded as torchvision does.
std::int64_t middle(std::int64_t size, std::int64_t part) {
  if (size < part) return -((part - size) / 2);
  return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(size - part) / 2));
}

/// The elements of a row in reverse order; elements are `size` bytes.
void mirror_row(const std::byte* in, std::byte* out, std::int64_t count, std::size_t size) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::memcpy(out + static_cast<std::size_t>(count - 1 - i) * size, in + static_cast<std::size_t>(i) * size,
                size);
  }
}

}  // namespace

void check_image(const char* name, const Tensor& image) {
  check(image.dim() == 3, name, ": got shape ", image.shape(), "; an image is [channels, rows, columns]");
  check(image.device().is_cpu(), name, ": got an image on ", image.device(), "; transforms run on the CPU");
}

Tensor crop(const Tensor& image, std::int64_t top, std::int64_t left, std::int64_t height,
            std::int64_t width) {
  const std::int64_t first_row = std::max<std::int64_t>(top, 0),
                     last_row = std::min(top + height, image.size(1));
  const std::int64_t first = std::max<std::int64_t>(left, 0), last = std::min(left + width, image.size(2));
  Tensor result = zeros({image.size(0), height, width}, {.dtype = image.dtype()});
  if (first_row < last_row && first < last) {
    result.narrow(1, first_row - top, last_row - first_row)
        .narrow(2, first - left, last - first)
        .copy_(image.narrow(1, first_row, last_row - first_row).narrow(2, first, last - first));
  }
  return result;
}

Tensor Normalize::operator()(const Tensor& image) const {
  check_image("Normalize", image);
  check(image.dtype() == float32 || image.dtype() == float64, "Normalize: got ", image.dtype(),
        "; convert with to(float32)");
  for (const auto* values : {&mean, &stddev}) {
    check(values->size() == 1 || std::ssize(*values) == image.size(0), "Normalize: ", std::ssize(*values),
          " numbers for an image of ", image.size(0), " channels; give one, or one per channel");
  }
  const Tensor source = image.contiguous();
  Tensor result = empty(image.shape(), {.dtype = image.dtype()});
  if (image.dtype() == float32) {
    normalize<float>(source, result, *this);
  } else {
    normalize<double>(source, result, *this);
  }
  return result;
}

Tensor RandomCrop::operator()(const Tensor& image, RandomStream& random) const {
  check(size > 0 && padding >= 0, "RandomCrop: size is ", size, " and padding ", padding,
        "; the first must be at least 1, the second at least 0");
  check_image("RandomCrop", image);
  const std::int64_t rows = image.size(1), columns = image.size(2);
  const std::int64_t free_rows = rows + 2 * padding - size, free_columns = columns + 2 * padding - size;
  check(free_rows >= 0 && free_columns >= 0, "RandomCrop: a square of ", size, " does not fit shape ",
        image.shape(), " with padding ", padding, "; use a smaller square or more padding");
  // Where the crop starts, seen from the image's first pixel.
  const std::int64_t top = random.below(free_rows + 1) - padding,
                     left = random.below(free_columns + 1) - padding;
  return crop(image, top, left, size, size);
}

Tensor CenterCrop::operator()(const Tensor& image) const {
  check(size > 0, "CenterCrop: size is ", size, "; it must be at least 1");
  check_image("CenterCrop", image);
  return crop(image, middle(image.size(1), size), middle(image.size(2), size), size, size);
}

Tensor RandomHorizontalFlip::operator()(const Tensor& image, RandomStream& random) const {
  check(probability >= 0 && probability <= 1, "RandomHorizontalFlip: probability is ", probability,
        "; it must be in [0, 1]");
  check_image("RandomHorizontalFlip", image);
  if (!random.chance(probability)) return image;
  const Tensor source = image.contiguous();
  Tensor result = empty(image.shape(), {.dtype = image.dtype()});
  const std::int64_t columns = image.size(2);
  const std::size_t element = size_of(image.dtype());
  const std::size_t row_bytes = static_cast<std::size_t>(columns) * element;
  for (std::int64_t row = 0; row < image.size(0) * image.size(1); ++row) {
    const std::size_t at = static_cast<std::size_t>(row) * row_bytes;
    mirror_row(raw(source) + at, raw(result) + at, columns, element);
  }
  return result;
}

}  // namespace miniparallel::data
