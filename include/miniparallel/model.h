#pragma once

#include <miniparallel/dtype.h>
#include <miniparallel/model/inventory.h>
#include <miniparallel/state_dict.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// Functions on models. A model is a plain struct of layers, tensors, structs and containers of these; see
/// model/reflect.h for what its members may be. Copying a model shares its tensors, `clone` does not.
///
/// A member is named by its path, "blocks.3.fc.bias". Of tied parameters, those that share one handle,
/// `parameters` gives the first and `state_dict` all, as PyTorch does. A file holds them once, under
/// the first name, as those of safetensors' save_model and of Hugging Face do; to load one, any of
/// the names will do.

namespace miniparallel {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

struct LoadOptions {
  bool strict = true;  ///< missing or unexpected names are an error; a mismatched shape always is
};
/// The names that a load that is not strict left out.
struct LoadReport {
  std::vector<std::string> missing;     ///< in the model only; of tied tensors all names
  std::vector<std::string> unexpected;  ///< in the state dict only
};

struct SummaryOptions {
  std::optional<DType> dtype = {};  ///< of the input; `default_dtype()` when not given, int64 for indices
};

namespace reflect {
NamedTensors named_parameters(const Inventory& model);
NamedTensors named_buffers(const Inventory& model);
std::vector<Tensor> parameters(const Inventory& model);
/// Throws `Error` for a plain Tensor that requires grad: its owner takes it for a parameter.
void check_trained_are_parameters(const char* op, const Inventory& model);
StateDict state_dict(const Inventory& model);
StateDict state_to_save(const Inventory& model);  ///< of tied tensors the first name alone
LoadReport load_state_dict(const Inventory& model, const StateDict& state, const LoadOptions& options);
PreparedLoad prepare_load(const Inventory& model, const StateDict& state, const LoadOptions& options = {},
                          LoadReport* report = nullptr);
void move(const Inventory& model, std::optional<Device> device, std::optional<DType> dtype);
void unshare(const Inventory& model);
void set_training(const Inventory& model, bool on);
void zero_grad(const Inventory& model);
void set_requires_grad(const Inventory& model, bool requires_grad);
std::int64_t num_parameters(const Inventory& model);
std::string summary(const Inventory& model, const Shape& input_shape, const SummaryOptions& options,
                    const std::function<void(const Tensor&)>& run);
}  // namespace reflect

namespace detail {
/// A wrapper around a model.
template <class T>
concept WrapsModel = requires(T& object) {
  object.state_dict();
  object.model();
};
}  // namespace detail

/// The trained tensors, each once. They are handles: an optimizer made of them follows `to` and
/// loading. Throws `Error` for a member of type Tensor that requires grad, as `state_dict` and `save`
/// do: it must be an nn::Parameter.
template <class Model>
std::vector<Tensor> parameters(const Model& model) {
  return reflect::parameters(reflect::inventory(model));
}
template <class Model>
NamedTensors named_parameters(const Model& model) {
  return reflect::named_parameters(reflect::inventory(model));
}
template <class Model>
NamedTensors named_buffers(const Model& model) {
  return reflect::named_buffers(reflect::inventory(model));
}

/// Number of elements of all parameters, each counted once.
template <class Model>
std::int64_t num_parameters(const Model& model) {
  return reflect::num_parameters(reflect::inventory(model));
}

/// Moves parameters, buffers and tensors to a device, converts the floating ones to a dtype. In place: behind
/// the handles, so everything that shares them follows; plain Tensor members get a new handle.
template <class Model>
Model& to(Model& model, Device device) {
  reflect::move(reflect::inventory(model), device, {});
  return model;
}
template <class Model>
Model& to(Model& model, DType dtype) {
  reflect::move(reflect::inventory(model), {}, dtype);
  return model;
}
template <class Model>
Model& to(Model& model, Device device, DType dtype) {
  reflect::move(reflect::inventory(model), device, dtype);
  return model;
}

/// A separate model: equal tensors in new memory, tied where those of `model` are, without gradients.
template <class Model>
Model clone(const Model& model) {
  Model made = reflect::copy(model);
  reflect::unshare(reflect::inventory(made));
  return made;
}

/// Switches dropout, batch normalisation and every other nn::Training member to training, or to evaluation.
template <class Model>
void train(Model& model, bool on = true) {
  reflect::set_training(reflect::inventory(model), on);
}
template <class Model>
void eval(Model& model) {
  train(model, false);
}

/// Drops the gradients of all parameters.
template <class Model>
void zero_grad(Model& model) {
  reflect::zero_grad(reflect::inventory(model));
}
/// Freezes all parameters (false) or lets them train.
template <class Model>
void requires_grad_(Model& model, bool requires_grad = true) {
  reflect::set_requires_grad(reflect::inventory(model), requires_grad);
}

/// Parameters and buffers by name, sharing memory with the model.
template <class Model>
StateDict state_dict(const Model& model) {
  return reflect::state_dict(reflect::inventory(model));
}
/// Copies the tensors of `state` into the model, across dtypes and devices. Names may carry the prefix
/// "module." that PyTorch's DataParallel gives them. Of tied tensors one name suffices; where `state` has
/// several they must agree. Throws one `Error` that lists every missing, unexpected and mismatched name, and
/// changes nothing then.
template <class Model>
LoadReport load_state_dict(Model& model, const StateDict& state, const LoadOptions& options = {}) {
  return reflect::load_state_dict(reflect::inventory(model), state, options);
}

/// A table of the layers with the shapes that they put out and the numbers of their parameters, from running
/// the model in evaluation mode on zeros of `input_shape`, which starts with the batch.
template <class Model>
std::string summary(Model& model, const Shape& input_shape, const SummaryOptions& options = {}) {
  if constexpr (detail::WrapsModel<Model>)  // of which it would see one replica, with its rows
    return summary(model.model(), input_shape, options);
  else
    return reflect::summary(reflect::inventory(model), input_shape, options,
                            [&model](const Tensor& input) { (void)model(input); });
}

}  // namespace miniparallel
