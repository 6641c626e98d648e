#pragma once

#include <miniparallel/nested.h>
#include <miniparallel/ops.h>
#include <miniparallel/tensor.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel::data {

namespace detail {

/// The functions that users declare in the namespaces of their types: the library's are not seen here.
namespace users {
void collate() = delete;
template <class T>
concept Collates = std::is_class_v<T> && requires(std::vector<T> examples) { collate(std::move(examples)); };
template <class T>
auto call(std::vector<T> examples) {
  return collate(std::move(examples));
}
}  // namespace users

/// The examples' tensors, stacked. An error gets a note that tells which.
Tensor stack_examples(std::vector<Tensor> tensors, const nested::Path& path);

/// How examples are joined, by type.
struct CollateRule {
  template <class T>
  using Examples = reflect::Places<T>;

  template <class T>
  static auto list(const Examples<T>& examples) {
    std::vector<std::remove_const_t<T>> listed;
    listed.reserve(examples.size());
    for (std::size_t i = 0; i < examples.size(); ++i) listed.push_back(examples.take(i));
    return listed;
  }

  template <class T>
    requires std::same_as<std::remove_const_t<T>, Tensor>
  Tensor leaf(const Examples<T>& examples, const nested::Path& path) {
    return stack_examples(list(examples), path);
  }

  template <class T>
    requires std::is_arithmetic_v<T>
  Tensor leaf(const Examples<T>& examples, const nested::Path&) {
    using Number = std::remove_const_t<T>;
    using Stored =
        std::conditional_t<std::is_integral_v<Number> && !std::same_as<Number, bool>, std::int64_t, Number>;
    Tensor joined = empty({static_cast<std::int64_t>(examples.size())}, {.dtype = dtype_of<Stored>});
    Stored* const numbers = joined.data<Stored>();
    for (std::size_t i = 0; i < examples.size(); ++i) numbers[i] = static_cast<Stored>(examples[i]);
    return joined;
  }

  template <class T>
    requires std::same_as<std::remove_const_t<T>, std::string>
  std::vector<std::string> leaf(const Examples<T>& examples, const nested::Path&) {
    return list(examples);
  }

  template <class T>
    requires users::Collates<std::remove_const_t<T>>
  auto leaf(const Examples<T>& examples, const nested::Path&) {
    return users::call(list(examples));
  }

  template <class T>
    requires std::is_enum_v<T>
  auto leaf(const Examples<T>& examples, const nested::Path&) {
    static_assert(
        !std::is_enum_v<T>,
        "miniparallel: collate joins tensors, numbers, strings, and containers and structs of these; for "
        "another type write collate(std::vector<T>) in its namespace");
    return list(examples);
  }

  void differ(const nested::Path& path, std::size_t example, const std::string& why) {
    nested::detail::fail_to_join({.op = "collate", .values = "examples"}, path, example, why);
  }
};

struct Collate {
  template <class Example>
  auto operator()(std::vector<Example> examples) const {
    CollateRule rule;
    return reflect::join(reflect::Places<Example>(examples.data(), examples.size()), nested::Path(), rule);
  }
  Tensor operator()(const std::vector<bool>& examples) const {
    const auto flags = std::make_unique<bool[]>(examples.size());
    for (std::size_t i = 0; i < examples.size(); ++i) flags[i] = examples[i];
    return CollateRule().leaf(reflect::Places<bool>(flags.get(), examples.size()), nested::Path());
  }
};

}  // namespace detail

/// `collate(std::vector<Example>)` joins examples to a batch: tensors are stacked along a new dimension 0;
/// numbers become a tensor of one dimension (whole numbers int64, bool boolean, float and double as they
/// are); strings a vector; containers are joined element by element, structs member by member. A struct stays
/// what it is where its members do, as tensors do, else it becomes a std::tuple. Examples of different
/// structure are an `Error` that tells where they differ.
///
/// For another rule declare `collate(std::vector<T>)` in the namespace of your type T.
inline constexpr detail::Collate collate{};

}  // namespace miniparallel::data
