#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace miniparallel::data {

/// Bytes of one image: a plane of 32 x 32 for each of red, green and blue.
inline constexpr std::size_t kCifarImage = std::size_t{3} * 32 * 32;

/// Images and their labels, one after the other.
struct CifarRecords {
  std::vector<std::uint8_t> pixels, labels;
};

/// Appends the records of a CIFAR-10 file, a byte of label
/// before each image. `name` is the file that errors speak of.
void parse_cifar10(std::span<const std::byte> file, const std::string& name, CifarRecords& records);

}  // namespace miniparallel::data
