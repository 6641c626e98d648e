#pragma once

#include "tests/support/gzip.h"
#include "tests/support/temporary_folder.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace miniparallel::testing {

/// An IDX file of this element type and shape.
inline std::string idx_file(char type, const std::vector<std::uint32_t>& shape, const std::string& elements) {
  std::string bytes = {0, 0, type, static_cast<char>(shape.size())};
  for (const std::uint32_t size : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  }
  return bytes + elements;
}

/// Writes one split of a tiny data set in MNIST's form:
/// image i has pixels of value 10 i, its label is i % 10.
inline void write_mnist_split(const std::filesystem::path& folder, const std::string& split, int images,
                              bool packed, std::uint32_t side = 28) {
  std::string pixels, labels;
  for (int i = 0; i < images; ++i) {
    pixels += std::string(side * side, static_cast<char>(10 * i));
    labels += static_cast<char>(i % 10);
  }
  const auto count = static_cast<std::uint32_t>(images);
  const auto write = [&](const std::string& name, const std::string& bytes) {
    write_text(folder / (split + name + (packed ? ".gz" : "")), packed ? gzip(bytes) : bytes);
  };
  write("-images-idx3-ubyte", idx_file(8, {count, side, side}, pixels));
  write("-labels-idx1-ubyte", idx_file(8, {count}, labels));
}

}  // namespace miniparallel::testing
