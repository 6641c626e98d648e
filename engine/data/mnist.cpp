#include <miniparallel/data/mnist.h>

#include <filesystem>
#include <utility>

#include "engine/data/idx.h"
#include "engine/error.h"
#include "engine/io/file.h"

namespace miniparallel::data {
namespace {

const char* prefix(Split split) { return split == Split::train ? "train" : "t10k"; }

/// The file `name` of `folder`, plain or with `.gz`; empty where there is neither.
std::string find_file(const std::string& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    const auto path = std::filesystem::path(folder) / (name + ending);
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) return path.string();
  }
  return {};
}

Tensor read_part(const std::string& folder, const std::string& name, int rank) {
  const std::string path = find_file(folder, name);
  check(!path.empty(), "Mnist: neither ", name, " nor ", name, ".gz is in '", folder, "'");
  Tensor array = read_idx(path);
  check(array.dtype() == uint8 && array.dim() == rank, path, ": holds ", array.dtype(), " of shape ",
        array.shape(), ", expected uint8 with ", rank, " dimensions");
  return array;
}

}  // namespace

Tensor read_idx(const std::string& path) {
  const IdxArray array = parse_idx(io::read_file(path), path);
  check(array.shape.size() <= kMaxRank, path, ": has ", array.shape.size(),
        " dimensions, tensors have at most ", kMaxRank);
  return from_data(array.bytes.data(), array.shape, array.dtype);
}

Mnist::Mnist(const std::string& folder, Split split, const Normalize& normalize) : normalize_(normalize) {
  const std::string part = prefix(split);
  pixels_ = read_part(folder, part + "-images-idx3-ubyte", 3).unsqueeze(1);
  labels_ = read_part(folder, part + "-labels-idx1-ubyte", 1).to(int64);
  check(pixels_.size(0) == labels_.size(0), "Mnist: '", folder, "' has ", pixels_.size(0), " ", part,
        " images but ", labels_.size(0), " labels");
  check(normalize.stddev > 0, "Mnist: the standard deviation to divide by is ", normalize.stddev);
}

Mnist::Example Mnist::get(std::int64_t index) const {
  const Batch batch = get_batch({&index, 1});
  return {batch.images[0], batch.labels[0]};
}

Mnist::Batch Mnist::get_batch(std::span<const std::int64_t> indices) const {
  const auto count = static_cast<std::int64_t>(indices.size());
  const std::int64_t rows = pixels_.size(2), columns = pixels_.size(3), area = rows * columns;
  Batch batch{empty({count, 1, rows, columns}, {.dtype = float32}), empty({count}, {.dtype = int64})};

  const auto scale = static_cast<float>(1 / (255 * normalize_.stddev));
  const auto shift = static_cast<float>(-normalize_.mean / normalize_.stddev);
  float* image = batch.images.data<float>();
  std::int64_t* label = batch.labels.data<std::int64_t>();
  for (const std::int64_t index : indices) {
    check(index >= 0 && index < size(), "Mnist: index ", index, " of ", size(), " images");
    const std::uint8_t* pixels = pixels_.data<std::uint8_t>() + index * area;
    for (std::int64_t i = 0; i < area; ++i) image[i] = static_cast<float>(pixels[i]) * scale + shift;
    image += area;
    *label++ = labels_.data<std::int64_t>()[index];
  }
  return batch;
}

bool is_mnist_dir(const std::string& folder) {
  for (const std::string part : {"train", "t10k"}) {
    if (find_file(folder, part + "-images-idx3-ubyte").empty()) return false;
    if (find_file(folder, part + "-labels-idx1-ubyte").empty()) return false;
  }
  return true;
}

}  // namespace miniparallel::data
