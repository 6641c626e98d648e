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
/// anything is allocated; `Error` names the file, what it found and what it expected.
StateDict load(const std::string& path);

/// The notes in a safetensors file. Throws `Error` as `load` does.
Metadata load_metadata(const std::string& path);

/// Anything but tensors by name: a model, an optimizer.
template <class T>
concept HasState = !std::same_as<std::remove_cvref_t<T>, StateDict>;

namespace detail {
/// An optimizer, a scheduler: it has a state, which is not that of a model.
template <class T>
concept HasOwnState = !WrapsModel<T> && requires(T& object) {
  object.state_dict();
  object.load_state_dict(StateDict());
};
LoadReport load(const reflect::Inventory& model, const std::string& path, const LoadOptions& options);
}  // namespace detail

/// Writes the parameters and buffers of a model, or the state of an optimizer. Tied tensors are written once,
/// under the first of their names.
template <HasState T>
void save(T&& object, const std::string& path, const Metadata& metadata = {}) {
  if constexpr (detail::WrapsModel<T>) {
    save(reflect::state_to_save(reflect::inventory(object.model())), path, metadata);
  } else if constexpr (requires { object.state_dict(); }) {
    save(object.state_dict(), path, metadata);
  } else {
    save(reflect::state_to_save(reflect::inventory(object)), path, metadata);
  }
}

/// Copies the tensors of a file into a model, as `load_state_dict` does: across dtypes and devices, all names
/// or, with `{.strict = false}`, those that are in both. Throws one `Error` that lists every name that does
/// not fit, and changes nothing then.
template <HasState T>
  requires(!detail::HasOwnState<T>)
LoadReport load(T& model, const std::string& path, const LoadOptions& options = {}) {
  if constexpr (detail::WrapsModel<T>) {
    return detail::load(reflect::inventory(model.model()), path, options);
  } else {
    return detail::load(reflect::inventory(model), path, options);
  }
}

/// Loads the state of an optimizer, all or nothing.
template <detail::HasOwnState T>
void load(T& object, const std::string& path) {
  object.load_state_dict(load(path));
}

}  // namespace miniparallel
