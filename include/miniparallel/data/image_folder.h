#pragma once

#include <miniparallel/data/images.h>
#include <miniparallel/image.h>

#include <cstdint>
#include <string>
#include <vector>

namespace miniparallel::data {

/// Labelled images in a folder for each class, `folder/cat/1.jpg`, `folder/dog/old/2.png`: the classes are
/// the folders in the order of their names, the examples their PNG and JPEG files (by their endings, in
/// either case, in folders below too) in the order of their paths. As torchvision's.
class ImageFolder {
 public:
  using Example = ImageDataset::Example;
  struct Sample {
    std::string path;
    std::int64_t label;
  };

  /// Lists the files; they are read by `get`. Throws `Error` where there is no such folder, no folder in it,
  /// or one without an image.
  explicit ImageFolder(const std::string& folder, ImageReadMode mode = ImageReadMode::rgb);

  std::int64_t size() const { return static_cast<std::int64_t>(samples_.size()); }
  /// The image [channels, rows, columns] as float32 from 0 to 1, of its own size: a batch needs `Resize` or
  /// `RandomResizedCrop` before. `Error` unless 0 <= index < size(), and for a file that is damaged.
  Example get(std::int64_t index) const;

  const std::vector<std::string>& classes() const { return classes_; }
  const std::vector<Sample>& samples() const { return samples_; }

 private:
  ImageReadMode mode_;
  std::vector<std::string> classes_;
  std::vector<Sample> samples_;
};

}  // namespace miniparallel::data
