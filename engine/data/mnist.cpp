#include <miniparallel/data/mnist.h>

#include "engine/data/idx.h"
#include "engine/error.h"
#include "engine/files/file.h"

#include <filesystem>

namespace miniparallel::data {
namespace {

std::string images_name(Split split) {
  return split == Split::train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte";
}
std::string labels_name(Split split) {
  return split == Split::train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte";
}

/// The name in Kaggle's copy: train-images.idx3-ubyte.
std::string with_dot(std::string name) {
  name[name.rfind("-idx")] = '.';
  return name;
}

/// The file `name` of `folder`, also with Kaggle's dot, plain or with `.gz`; empty if it does not exist.
std::string find_file(const std::string& folder, const std::string& name) {
  for (const std::string& file : {name, name + ".gz", with_dot(name), with_dot(name) + ".gz"}) {
    const auto path = std::filesystem::path(folder) / file;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(path, ignored)) return path.string();
  }
  return {};
}

Tensor read_part(const std::string& folder, const std::string& name, int rank) {
  const std::string path = find_file(folder, name);
  check(!path.empty(), "Mnist: neither ", name, " nor ", name, ".gz is in '", folder, "', nor ",
        with_dot(name), "; name the folder that has them");
  Tensor array = read_idx(path);
  check(array.dtype() == uint8 && array.dim() == rank, path, ": holds ", array.dtype(), " of shape ",
        array.shape(), "; expected uint8 with ", rank, " dimensions");
  return array;
}

}  // namespace

Tensor read_idx(const std::string& path) {
  const IdxArray array = parse_idx(io::read_file(path), path);
  check(array.shape.size() <= kMaxRank, path, ": has ", array.shape.size(),
        " dimensions; tensors have at most ", kMaxRank);
  return from_data(array.bytes.data(), array.shape, array.dtype);
}

Mnist::Mnist(const std::string& folder, Split split, const Normalize& normalize)
    : ImageDataset{read_part(folder, images_name(split), 3).unsqueeze(1),
                   read_part(folder, labels_name(split), 1), normalize} {}

bool is_mnist_dir(const std::string& folder) {
  for (const Split split : {Split::train, Split::test}) {
    if (find_file(folder, images_name(split)).empty()) return false;
    if (find_file(folder, labels_name(split)).empty()) return false;
  }
  return true;
}

}  // namespace miniparallel::data
