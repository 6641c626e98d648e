#pragma once

#include <miniparallel/model.h>
#include <miniparallel/state_dict.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// Stopping a training run and continuing later as if it had not been stopped:
///
///   Net model;
///   optim::Adam optimizer(parameters(model));
///   optim::StepLR scheduler(optimizer);
///   data::DataLoader batches(...);
///   double best = 0;
///   const Checkpoint training{{"model", model}, {"optimizer", optimizer}, {"scheduler", scheduler},
///                             {"batches", batches}, {"best", best}};
///
///   if (std::filesystem::exists(file)) load_checkpoint(file, training);
///   while (batches.position().epoch < 10) {
///     for (auto& [images, labels] : batches) {
///       ...
///       optimizer.step();
///       optimizer.zero_grad();
///       if (time_to_save()) save_checkpoint(file, training);  // the middle of an epoch will do
///     }
///     scheduler.step();
///     save_checkpoint(file, training);
///   }
///
/// A run after a load is bit-identical to the run after the save: on the same devices, with any number of the
/// loader's workers. Kept are parameters and buffers, the options and the state of optimizers,
/// the count of schedulers, the loader's place in its epoch, your own numbers and, in every checkpoint, the
/// state of the random numbers. Not kept are gradients (save after `zero_grad`), plain Tensor members of a
/// model and whether it trains or evaluates.
namespace miniparallel {

namespace detail {

/// Objects that save and load themselves: optimizers, schedulers, DataLoader, or your own type with
/// these two members.
template <class T>
concept SavesItself = requires(T& object, const StateDict& state) {
  { object.state_dict() } -> std::convertible_to<StateDict>;
  { object.prepare_load(state) } -> std::convertible_to<PreparedLoad>;
};
template <class T>
concept Number = std::is_arithmetic_v<T> && !std::same_as<T, long double>;

// Numbers and texts as the tensors of their part. The checks throw `Error` for other tensors.
StateDict number_state(std::int64_t value);
StateDict number_state(double value);
StateDict number_state(bool value);
StateDict text_state(const std::string& text);
StateDict list_state(const std::vector<std::int64_t>& values);
StateDict list_state(const std::vector<double>& values);
std::int64_t checked_whole_number(const StateDict& state);
double checked_number(const StateDict& state);
bool checked_flag(const StateDict& state);
std::string checked_text(const StateDict& state);
std::vector<std::int64_t> checked_whole_numbers(const StateDict& state);
std::vector<double> checked_numbers(const StateDict& state);
[[noreturn]] void fail_does_not_fit(std::int64_t value);

}  // namespace detail

/// One entry of a checkpoint: a name and, by reference, the object that it stands for.
///
/// - a model, or a wrapper of one
/// - an optimizer, a learning rate scheduler, a DataLoader, or any object with the members
///   `StateDict state_dict()` and `PreparedLoad prepare_load(const StateDict&)`
/// - a number (arithmetic), a std::string, a vector of std::int64_t or of double
class CheckpointPart {
 public:
  template <class T>
  CheckpointPart(std::string name, T& object) : name_(std::move(name)) {
    if constexpr (detail::SavesItself<T>) {
      refer_to_object(object);
    } else if constexpr (detail::WrapsModel<T>) {
      refer_to_model(object.model());
    } else if constexpr (detail::Number<T>) {
      refer_to_number(object);
    } else {
      refer_to_model(object);
    }
  }
  CheckpointPart(std::string name, std::string& text);
  CheckpointPart(std::string name, std::vector<std::int64_t>& numbers);
  CheckpointPart(std::string name, std::vector<double>& numbers);

  const std::string& name() const { return name_; }
  const std::string& kind() const { return kind_; }  ///< "model", "Adam", "StepLR", "number", ...
  StateDict state_dict() const { return state_dict_(); }
  PreparedLoad prepare_load(const StateDict& state, const LoadOptions& options, LoadReport& report) const {
    return prepare_load_(state, options, report);
  }

 private:
  template <class T>
  void refer_to_object(T& object) {
    if constexpr (requires { kind_ = object.name(); }) {
      kind_ = object.name();
    } else {
      kind_ = reflect::type_name<T>;
    }
    state_dict_ = [&object] { return object.state_dict(); };
    prepare_load_ = [&object](const StateDict& state, const LoadOptions&, LoadReport&) -> PreparedLoad {
      return object.prepare_load(state);
    };
  }

  template <class T>
  void refer_to_model(T& model) {
    kind_ = "model";
    state_dict_ = [&model] { return reflect::state_to_save(reflect::inventory(model)); };
    prepare_load_ = [&model](const StateDict& state, const LoadOptions& options, LoadReport& report) {
      return reflect::prepare_load(reflect::inventory(model), state, options, &report);
    };
  }

  template <class T>
  void refer_to_number(T& number) {
    using Stored = std::conditional_t<std::is_floating_point_v<T>, double,
                                      std::conditional_t<std::same_as<T, bool>, bool, std::int64_t>>;
    kind_ = std::is_floating_point_v<T> ? "number" : std::same_as<T, bool> ? "bool" : "whole number";
    state_dict_ = [&number] { return detail::number_state(static_cast<Stored>(number)); };
    prepare_load_ = [&number](const StateDict& state, const LoadOptions&, LoadReport&) -> PreparedLoad {
      Stored stored{};
      if constexpr (std::same_as<Stored, double>) {
        stored = detail::checked_number(state);
      } else if constexpr (std::same_as<Stored, bool>) {
        stored = detail::checked_flag(state);
      } else {
        stored = detail::checked_whole_number(state);
        if (static_cast<std::int64_t>(static_cast<T>(stored)) != stored) detail::fail_does_not_fit(stored);
      }
      return [&number, stored] { number = static_cast<T>(stored); };
    };
  }

  std::string name_, kind_;
  std::function<StateDict()> state_dict_;
  std::function<PreparedLoad(const StateDict&, const LoadOptions&, LoadReport&)> prepare_load_;
};

/// The list of what a training run consists of, for saving and for loading. It refers to the objects, which
/// must outlive it. Names are your own and the keys of the file ("model.conv1.weight"): each once, without
/// '.', and not "random", which holds the state of the random numbers; other names throw `Error`.
class Checkpoint {
 public:
  Checkpoint(std::initializer_list<CheckpointPart> parts) : Checkpoint(std::vector(parts)) {}
  explicit Checkpoint(std::vector<CheckpointPart> parts);

  const std::vector<CheckpointPart>& parts() const { return parts_; }

 private:
  std::vector<CheckpointPart> parts_;
};

/// Writes the parts to one file, which replaces the old one in one step: after a crash, a kill or a full disk
/// it is the old one or the whole new one. A temporary file next to it, `.NAME.0.tmp`, that a killed process
/// leaves is removed by the next save. Throws `Error` where the file cannot be written.
///
/// It is a safetensors file, which Python reads too; its notes say `format: miniparallel checkpoint`, a
/// `version`, and the kind of each part.
void save_checkpoint(const std::string& file, const Checkpoint& checkpoint);

/// Puts every part back, and the state of the random numbers. All or nothing: where the file is cut off,
/// damaged, not a checkpoint, of a newer version, or its parts are not those of `checkpoint` (another model,
/// optimizer, dataset), `Error` says what it found and what it expected, and nothing has changed.
///
/// With `{.strict = false}` parts, and names inside models, that only one side has are left out instead;
/// they are listed in the report. So `load_checkpoint(file, {{"model", model}}, {.strict = false})`
/// takes the model alone.
LoadReport load_checkpoint(const std::string& file, const Checkpoint& checkpoint,
                           const LoadOptions& options = {});

}  // namespace miniparallel
