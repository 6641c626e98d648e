#pragma once

#include <miniparallel/model.h>
#include <miniparallel/state_dict.h>

#include <concepts>
#include <map>
#include <string>
#include <type_traits>

namespace miniparallel {

/// Notes that travel with the tensors of a file: texts by name.
using Metadata = std::map<std::string, std::string>;

/// Writes tensors as a safetensors file (https://github.com/huggingface/safetensors), which Python and
/// PyTorch read, without running code. The file at `path` is replaced in one step: whatever happens, it is
/// the old one or the whole new one. Throws `Error` where it cannot be written (no such folder, no
/// permission, disk full).
void save(const StateDict& tensors, const std::string& path, const Metadata& metadata = {});

/// The tensors of a safetensors file, on the CPU. The file is not trusted: its header is checked before
/// anything is allocated; `Error` names the file, what was found and what was expected.
StateDict load(const std::string& path);

/// The notes in a safetensors file. Throws `Error` as `load` does.
Metadata load_metadata(const std::string& path);

/// Anything but tensors by name: a model, an optimizer.
template <class T>
concept HasState = !std::same_as<std::remove_cvref_t<T>, StateDict>;

/// Writes the parameters and buffers of a model, or the state of an optimizer.
template <HasState T>
void save(T&& object, const std::string& path, const Metadata& metadata = {}) {
  if constexpr (requires { object.state_dict(); }) {
    save(object.state_dict(), path, metadata);
  } else {
    save(state_dict(object), path, metadata);
  }
}

/// Copies the tensors of a file into a model or an optimizer, across dtypes and devices. Throws one `Error`
/// that lists every missing, unexpected and mismatched name, and changes nothing then.
template <HasState T>
void load(T& object, const std::string& path) {
  if constexpr (requires { object.load_state_dict(StateDict()); }) {
    object.load_state_dict(load(path));
  } else {
    load_state_dict(object, load(path));
  }
}

}  // namespace miniparallel
