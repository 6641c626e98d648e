#pragma once

#include <miniparallel/data/transforms.h>
#include <miniparallel/tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace miniparallel::data {

/// Labelled images, held in memory as bytes and turned into float32 batch by batch: a pixel p becomes
/// (p / 255 - mean) / stddev of its channel.
class ImageDataset {
 public:
  struct Example {
    Tensor image;  ///< [channels, rows, columns] float32
    Tensor label;  ///< no dimensions, int64
  };
  struct Batch {
    Tensor images;  ///< [n, channels, rows, columns] float32
    Tensor labels;  ///< [n] int64
  };

  /// `pixels`: [n, channels, rows, columns] uint8; `labels`: [n], whole
  /// numbers. Throws `Error` for other shapes or pixels, and unless `normalize`
  /// has a mean and a deviation above 0 for each channel, or one for all.
  ImageDataset(const Tensor& pixels, const Tensor& labels, const Normalize& normalize);

  std::int64_t size() const { return labels_.size(0); }
  Example get(std::int64_t index) const;  ///< `Error` unless 0 <= index < size()
  Batch get_batch(std::span<const std::int64_t> indices) const;

  const Tensor& pixels() const { return pixels_; }
  const Tensor& labels() const { return labels_; }

 private:
  Tensor pixels_, labels_;
  std::vector<float> scale_, shift_;  // of each channel: image = pixel * scale + shift
};

enum class Split { train, test };

}  // namespace miniparallel::data
