#pragma once

#include <miniparallel/device.h>
#include <miniparallel/dtype.h>
#include <miniparallel/model/reflect.h>
#include <miniparallel/tensor.h>

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// Nested values: tensors in containers (vector, array, optional, tuple, pair, map, unordered_map,
/// unique_ptr) and plain structs, in one another as you like, such as batches and the results of models.
///
/// A type whose members cannot be found is a compile-time error that tells the remedy. Undefined tensors are
/// left as they are.
namespace miniparallel {

namespace nested {

/// Where in a value a tensor is; `path.text()` is `loss[2]`.
using Path = reflect::Path;

/// The names of things in error messages: "gather: replicas 0 and 1 differ ...".
struct JoinNames {
  std::string_view op = "join";
  std::string_view values = "values";
};

namespace detail {

/// Throws the `Error` of two values that do not have one structure.
[[noreturn]] void fail_to_join(const JoinNames& names, const Path& path, std::size_t value,
                               const std::string& why);
[[noreturn]] void fail_to_join_nothing(const JoinNames& names);
/// Whether the tensors are defined. Throws where only some are.
bool are_defined(const std::vector<Tensor>& tensors, const JoinNames& names, const Path& path);
/// Stands in a value that is kept without its tensors for each of them.
Tensor placeholder(const Tensor& like);

/// f(argument), or f(argument, path) where it takes that.
template <class F, class Argument>
decltype(auto) call(F& f, Argument&& argument, const Path& path) {
  if constexpr (std::invocable<F&, Argument, const Path&>) {
    return f(std::forward<Argument>(argument), path);
  } else {
    return f(std::forward<Argument>(argument));
  }
}

template <class T>
concept BelongsToModel = std::derived_from<T, Tensor> && !std::same_as<T, Tensor>;

/// make(places, path) stands for the tensors at one place, the first value for other members.
template <class Make>
struct TensorRule {
  const Make& make;
  JoinNames names = {};

  template <class T>
    requires std::same_as<std::remove_const_t<T>, Tensor>
  Tensor leaf(const reflect::Places<T>& places, const Path& path) {
    return make(places, path);
  }
  template <class T>
    requires(is_plain<std::remove_const_t<T>>)
  std::remove_const_t<T> leaf(const reflect::Places<T>& places, const Path&) {
    return places.take(0);
  }
  template <class T>
    requires(BelongsToModel<std::remove_const_t<T>>)
  std::remove_const_t<T> leaf(const reflect::Places<T>& places, const Path&) {
    static_assert(!BelongsToModel<std::remove_const_t<T>>,
                  "miniparallel: an nn::Parameter or nn::Buffer belongs to a model, which to(model, device) "
                  "moves and clone(model) copies; in a batch or a result make it a Tensor");
    return places.take(0);
  }
  void differ(const Path& path, std::size_t i, const std::string& why) { fail_to_join(names, path, i, why); }
};
template <class Make>
TensorRule(const Make&, JoinNames) -> TensorRule<Make>;

template <class F>
struct ForEachRule {
  F& f;
  template <class T>
    requires(is_plain<std::remove_const_t<T>>)
  void leaf(const reflect::Places<T>&, const Path&) {}
  template <class T>
    requires std::derived_from<std::remove_const_t<T>, Tensor>
  void leaf(const reflect::Places<T>& places, const Path& path) {
    if (places[0].defined()) call(f, places[0], path);
  }
};

}  // namespace detail

/// A value of the same type in which f(tensor), or f(tensor, path), stands for each tensor. Other members
/// are copied; those of a temporary are moved. Paths begin with `root`.
template <class Value, class F>
std::remove_cvref_t<Value> map(Value&& value, F&& f, const Path& root = Path()) {
  using Place = std::conditional_t<std::is_lvalue_reference_v<Value>, const std::remove_reference_t<Value>,
                                   std::remove_reference_t<Value>>;
  const auto make = [&f](const auto& places, const Path& path) {
    Tensor tensor = places.take(0);
    return tensor.defined() ? Tensor(detail::call(f, std::move(tensor), path)) : tensor;
  };
  detail::TensorRule rule{make, JoinNames()};
  return reflect::join(reflect::Places<Place>(value), root, rule);
}

/// Makes one value of several of one type: f(tensors), or f(tensors, path), stands for the tensors at one
/// place, given as a vector. Other members are the first value's. Throws `Error`, naming the path, where
/// there are no values, or containers differ in size or keys, or one holds a value that another does not.
///
///   Outputs all = nested::join(outputs, [](const std::vector<Tensor>& rows) { return cat(rows); });
template <class Value, class F>
Value join(std::vector<Value> values, F&& f, const JoinNames& names = {}) {
  static_assert(!std::same_as<Value, bool>, "miniparallel: numbers hold no tensors to join");
  if (values.empty()) detail::fail_to_join_nothing(names);
  const auto make = [&](const auto& places, const Path& path) {
    std::vector<Tensor> tensors;
    tensors.reserve(places.size());
    for (std::size_t i = 0; i < places.size(); ++i) tensors.push_back(places.take(i));
    return detail::are_defined(tensors, names, path) ? Tensor(detail::call(f, std::move(tensors), path))
                                                     : Tensor();
  };
  detail::TensorRule rule{make, names};
  return reflect::join(reflect::Places<Value>(values.data(), values.size()), Path(), rule);
}

/// Calls f(tensor), or f(tensor, path), for each tensor of `value`, which f may replace where `value` is not
/// const.
template <class Value, class F>
void for_each(Value&& value, F&& f, const Path& root = Path()) {
  detail::ForEachRule<std::remove_reference_t<F>> rule{f};
  reflect::zip(reflect::Places<std::remove_reference_t<Value>>(value), root, rule);
}

}  // namespace nested

/// A copy of a nested value with its tensors on `device`; those that are there already are shared.
/// (`to(value, device)` moves a model, or a variable, in place.)
template <class Value>
  requires(!std::same_as<std::remove_cvref_t<Value>, Device> &&
           !std::same_as<std::remove_cvref_t<Value>, DType>)
std::remove_cvref_t<Value> to(Device device, Value&& value) {
  return nested::map(std::forward<Value>(value),
                     [device](const Tensor& tensor) { return tensor.to(device); });
}

}  // namespace miniparallel
