#include "engine/io/safetensors_file.h"

#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <bit>

namespace miniparallel::io {

static_assert(std::endian::native == std::endian::little, "safetensors files hold little-endian elements");

std::span<std::byte> bytes_of(const Tensor& tensor) {
  const auto count = static_cast<std::size_t>(tensor.numel()) * size_of(tensor.dtype());
  return count == 0 ? std::span<std::byte>() : std::span(raw(tensor), count);
}

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  std::string prefix(std::min(kSafetensorsPrefix, file_.size()), '\0');
  file_.read(0, std::as_writable_bytes(std::span(prefix)));
  const std::uint64_t length = parse_safetensors_prefix(prefix, file_.size(), path);
  std::string json(length, '\0');
  file_.read(kSafetensorsPrefix, std::as_writable_bytes(std::span(json)));
  data_ = kSafetensorsPrefix + length;
  header_ = parse_safetensors_header(json, file_.size() - data_, path);
}

Tensor SafetensorsFile::read(const SafetensorsEntry& entry) const {
  Tensor tensor = empty(entry.shape, {.dtype = entry.dtype});
  const auto bytes = bytes_of(tensor);
  file_.read(data_ + entry.begin, bytes);
  if (entry.dtype == boolean) {  // any byte but 0 and 1 would not be a bool to C++
    for (std::byte& byte : bytes) byte = std::byte{byte != std::byte{0}};
  }
  return tensor;
}

}  // namespace miniparallel::io
