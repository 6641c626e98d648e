#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace miniparallel::data {

enum class Split { train, test };

/// x becomes (x - mean) / stddev.
struct Normalize {
  double mean = 0, stddev = 1;
};

/// MNIST and the sets in its form (Fashion-MNIST, KMNIST): grey images with a class each, held in memory as
/// bytes and turned into numbers batch by batch.
class Mnist {
 public:
  struct Example {
    Tensor image;  ///< [1, 28, 28] float32
    Tensor label;  ///< no dimensions, int64
  };
  struct Batch {
    Tensor images;  ///< [n, 1, 28, 28] float32
    Tensor labels;  ///< [n] int64
  };

  /// Mean and standard deviation of the pixels of MNIST's training images, with white as 1.
  static constexpr Normalize kNormalize{0.1307, 0.3081};

  /// Reads `{train,t10k}-{images-idx3,labels-idx1}-ubyte` of `folder`, with `.gz` or without.
  Mnist(const std::string& folder, Split split, const Normalize& normalize = kNormalize);

  std::int64_t size() const { return labels_.size(0); }
  Example get(std::int64_t index) const;
  Batch get_batch(std::span<const std::int64_t> indices) const;

  const Tensor& pixels() const { return pixels_; }  ///< [size, 1, rows, columns] uint8, 0 is black
  const Tensor& labels() const { return labels_; }  ///< [size] int64

 private:
  Tensor pixels_, labels_;
  Normalize normalize_;
};

/// The array in an IDX file, plain or gzip: uint8, int32, float32 or float64. Throws `Error`, naming the
/// file, what was found and what was expected.
Tensor read_idx(const std::string& path);

/// Whether `folder` holds the four files that `Mnist` reads.
bool is_mnist_dir(const std::string& folder);

/// Where MNIST is usually kept: $MNIST_DIR, data/mnist, torchvision's data/MNIST/raw, the user's cache
/// (`mnist_cache_dir`), /usr/share/datasets/mnist.
std::vector<std::string> mnist_search_path();

/// Where a program may put its own copy: $XDG_CACHE_HOME/miniparallel/mnist, by default below ~/.cache.
std::string mnist_cache_dir();

/// Fashion-MNIST of Debian's package dataset-fashion-mnist.
std::string fashion_mnist_dir();

/// The first of `mnist_search_path()`, then `fashion_mnist_dir()`, that holds the files. Throws `Error` with
/// the list where none does.
std::string default_mnist_dir();

}  // namespace miniparallel::data
