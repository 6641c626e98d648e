#pragma once

#include <miniparallel/tensor.h>

#include "engine/files/file.h"
#include "engine/io/safetensors.h"

#include <cstddef>
#include <span>
#include <string>

namespace miniparallel::io {

/// The elements of a contiguous tensor on the CPU, as they stand in a file.
std::span<std::byte> bytes_of(const Tensor& tensor);

/// A safetensors file opened for reading, its header checked. The tensors are read one by one.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  const SafetensorsHeader& header() const { return header_; }
  Tensor read(const SafetensorsEntry& entry) const;  ///< on the CPU

 private:
  InputFile file_;
  std::uint64_t data_ = 0;  // where the data starts in the file
  SafetensorsHeader header_;
};

}  // namespace miniparallel::io
