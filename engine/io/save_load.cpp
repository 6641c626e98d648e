#include <miniparallel/io.h>

#include "engine/error.h"
#include "engine/files/file.h"
#include "engine/io/safetensors_file.h"

namespace miniparallel {

void save(const StateDict& tensors, const std::string& path, const Metadata& metadata) {
  io::SafetensorsHeader header{.entries = {}, .metadata = metadata};
  for (const auto& [name, tensor] : tensors) {
    check(tensor.defined(), "save: the tensor '", name, "' is undefined; assign it first, or leave it out");
    check(name != "__metadata__",
          "save: the name '__metadata__' is reserved in safetensors files; choose another");
    header.entries.push_back(
        {.name = name, .dtype = tensor.dtype(), .shape = {tensor.shape().begin(), tensor.shape().end()}});
  }
  io::lay_out_safetensors(header);

  const std::string text = io::format_safetensors_header(header);

  io::AtomicFile file(path);
  file.write(std::as_bytes(std::span(text)));
  for (const io::SafetensorsEntry& entry : header.entries) {
    file.write(io::bytes_of(tensors.at(entry.name).detach().cpu().contiguous()));
  }
  file.commit();
}

StateDict load(const std::string& path) {
  const io::SafetensorsFile file(path);
  StateDict tensors;
  for (const io::SafetensorsEntry& entry : file.header().entries) tensors[entry.name] = file.read(entry);
  return tensors;
}

LoadReport detail::load(const reflect::Inventory& model, const std::string& path,
                        const LoadOptions& options) {
  const StateDict state = miniparallel::load(path);
  try {
    return reflect::load_state_dict(model, state, options);
  } catch (const OutOfMemoryError&) {
    throw;
  } catch (const Error& error) {
    fail(path, ": ", error.what());
  }
}

Metadata load_metadata(const std::string& path) { return io::SafetensorsFile(path).header().metadata; }

}  // namespace miniparallel
