#pragma once

#include <miniparallel/data/images.h>
#include <miniparallel/tensor.h>

#include <array>
#include <string>
#include <vector>

namespace miniparallel::data {

/// MNIST and the sets in its form (Fashion-MNIST, KMNIST): grey images of 28 by 28 pixels, ten classes.
class Mnist : public ImageDataset {
 public:
  /// Reads `{train,t10k}-{images-idx3,labels-idx1}-ubyte` of `folder`, with `.gz` or without; Kaggle's copy
  /// has a dot for the second dash. The usual mean and deviation are those of MNIST's training images. Throws
  /// `Error`, naming the file, where one is missing, damaged or holds something else.
  Mnist(const std::string& folder, Split split, const Normalize& normalize = {{0.1307}, {0.3081}});
};

/// Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist), whose files have the names of MNIST's;
/// the usual mean and deviation are those of its training images.
class FashionMnist : public Mnist {
 public:
  static constexpr std::array<const char*, 10> kClasses = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                           "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                           "Bag",         "Ankle boot"};

  FashionMnist(const std::string& folder, Split split, const Normalize& normalize = {{0.2860}, {0.3530}})
      : Mnist(folder, split, normalize) {}
};

/// The array in an IDX file, plain or gzip: uint8, int32, float32 or float64; int8 and int16 become int32.
/// Throws `Error`, naming the file, what it found and what it expected.
Tensor read_idx(const std::string& path);

/// Whether `folder` holds the four files that `Mnist` reads.
bool is_mnist_dir(const std::string& folder);

/// Where MNIST is usually kept: $MNIST_DIR, data/mnist, torchvision's data/MNIST/raw, the
/// user's cache (`mnist_cache_dir`), /usr/share/datasets/mnist.
std::vector<std::string> mnist_search_path();

/// Where a program may put its own copy: $XDG_CACHE_HOME/miniparallel/mnist, by default below ~/.cache.
std::string mnist_cache_dir();

/// Fashion-MNIST of Debian's package dataset-fashion-mnist.
std::string fashion_mnist_dir();

/// The first of `mnist_search_path()` that holds the files. Where none does, `fashion_mnist_dir()`, which a
/// warning in the log says: its clothes are harder than digits. Throws `Error` with the list where that is
/// missing too.
std::string default_mnist_dir();

}  // namespace miniparallel::data
