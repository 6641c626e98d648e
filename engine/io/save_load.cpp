#include <miniparallel/io.h>

#include <bit>
#include <vector>

#include "engine/error.h"
#include "engine/io/file.h"
#include "engine/io/safetensors.h"
#include "engine/tensor/tensor_impl.h"

namespace miniparallel {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files hold little-endian elements");

std::span<std::byte> bytes_of(const Tensor& tensor) {
  const auto count = static_cast<std::size_t>(tensor.numel()) * size_of(tensor.dtype());
  return count == 0 ? std::span<std::byte>() : std::span(raw(tensor), count);
}

/// A file and its checked header.
struct Safetensors {
  explicit Safetensors(const std::string& path) : file(path) {
    std::string prefix(std::min(io::kSafetensorsPrefix, file.size()), '\0');
    file.read(0, std::as_writable_bytes(std::span(prefix)));
    const std::uint64_t length = io::parse_safetensors_prefix(prefix, file.size(), path);
    std::string json(length, '\0');
    file.read(io::kSafetensorsPrefix, std::as_writable_bytes(std::span(json)));
    data = io::kSafetensorsPrefix + length;
    header = io::parse_safetensors_header(json, file.size() - data, path);
  }

  Tensor read(const io::SafetensorsEntry& entry) const {
    const Tensor tensor = empty(entry.shape, {.dtype = entry.dtype});
    const auto bytes = bytes_of(tensor);
    file.read(data + entry.begin, bytes);
    if (entry.dtype == boolean) {  // any byte but 0 and 1 would not be a bool to C++
      for (std::byte& byte : bytes) byte = std::byte{byte != std::byte{0}};
    }
    return tensor;
  }

  io::InputFile file;
  std::uint64_t data = 0;  ///< where the data starts in the file
  io::SafetensorsHeader header;
};

}  // namespace

void save(const StateDict& tensors, const std::string& path, const Metadata& metadata) {
  io::SafetensorsHeader header{.entries = {}, .metadata = metadata};
  for (const auto& [name, tensor] : tensors) {
    check(tensor.defined(), "save: the tensor '", name, "' is undefined");
    check(name != "__metadata__",
          "save: the name '__metadata__' has a meaning of its own in safetensors files");
    header.entries.push_back(
        {.name = name, .dtype = tensor.dtype(), .shape = {tensor.shape().begin(), tensor.shape().end()}});
  }
  io::lay_out_safetensors(header);

  const std::string text = io::format_safetensors_header(header);

  io::AtomicFile file(path);
  file.write(std::as_bytes(std::span(text)));
  for (const io::SafetensorsEntry& entry : header.entries) {
    file.write(bytes_of(tensors.at(entry.name).detach().cpu().contiguous()));
  }
  file.commit();
}

StateDict load(const std::string& path) {
  const Safetensors source(path);
  StateDict tensors;
  for (const io::SafetensorsEntry& entry : source.header.entries) tensors[entry.name] = source.read(entry);
  return tensors;
}

Metadata load_metadata(const std::string& path) { return Safetensors(path).header.metadata; }

}  // namespace miniparallel
