#include <miniparallel/data/images.h>

#include "engine/error.h"

namespace miniparallel::data {
namespace {

double for_channel(const std::vector<double>& values, std::int64_t channel, std::int64_t channels) {
  check(values.size() == 1 || std::ssize(values) == channels, "ImageDataset: ", std::ssize(values),
        " means or deviations for images of ", channels, " channels; give one, or one per channel");
  return values[values.size() == 1 ? 0 : static_cast<std::size_t>(channel)];
}

}  // namespace

ImageDataset::ImageDataset(const Tensor& pixels, const Tensor& labels, const Normalize& normalize)
    : pixels_(pixels.contiguous()), labels_(labels.to(int64).contiguous()) {
  check(pixels.dim() == 4 && pixels.dtype() == uint8, "ImageDataset: pixels are ", pixels.dtype(),
        " of shape ", pixels.shape(), "; they must be uint8 [n, channels, rows, columns]");
  check(labels.dim() == 1 && labels.size(0) == pixels.size(0), "ImageDataset: ", pixels.size(0),
        " images, but labels of shape ", labels.shape(), "; give one label for each image");
  const std::int64_t channels = pixels.size(1);
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    const double mean = for_channel(normalize.mean, channel, channels);
    const double stddev = for_channel(normalize.stddev, channel, channels);
    check(stddev > 0, "ImageDataset: the standard deviation to divide by is ", stddev,
          "; it must be above 0");
    scale_.push_back(static_cast<float>(1 / (255 * stddev)));
    shift_.push_back(static_cast<float>(-mean / stddev));
  }
}

ImageDataset::Example ImageDataset::get(std::int64_t index) const {
  const Batch batch = get_batch({&index, 1});
  return {batch.images[0], batch.labels[0]};
}

ImageDataset::Batch ImageDataset::get_batch(std::span<const std::int64_t> indices) const {
  const auto count = static_cast<std::int64_t>(indices.size());
  const std::int64_t channels = pixels_.size(1), rows = pixels_.size(2), columns = pixels_.size(3);
  const std::int64_t area = rows * columns;
  Batch batch{empty({count, channels, rows, columns}, {.dtype = float32}), empty({count}, {.dtype = int64})};
  float* out = batch.images.data<float>();
  std::int64_t* label = batch.labels.data<std::int64_t>();
  for (const std::int64_t index : indices) {
    check(index >= 0 && index < size(), "ImageDataset: index ", index, " of ", size(),
          " images; it must be at least 0 and below ", size());
    const std::uint8_t* in = pixels_.data<std::uint8_t>() + index * channels * area;
    for (std::size_t channel = 0; channel < scale_.size(); ++channel, in += area, out += area) {
      const float scale = scale_[channel], shift = shift_[channel];
      for (std::int64_t i = 0; i < area; ++i) out[i] = static_cast<float>(in[i]) * scale + shift;
    }
    *label++ = labels_.data<std::int64_t>()[index];
  }
  return batch;
}

}  // namespace miniparallel::data
