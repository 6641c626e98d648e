#pragma once

#include <miniparallel/data/images.h>

#include <array>
#include <string>

namespace miniparallel::data {

/// CIFAR-10 in its binary version (https://www.cs.toronto.edu/~kriz/cifar.html): colour images of 32 by 32
/// pixels, ten classes.
class Cifar10 : public ImageDataset {
 public:
  static constexpr std::array<const char*, 10> kClasses = {
      "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

  /// Reads data_batch_1.bin to data_batch_5.bin, or test_batch.bin, of `folder`. The usual means and
  /// deviations are those of the training images. Throws `Error`, naming the file, where one is missing or
  /// not of this form.
  Cifar10(const std::string& folder, Split split,
          const Normalize& normalize = {{0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616}});
};

}  // namespace miniparallel::data
