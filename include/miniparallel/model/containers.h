#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

/// The containers that may hold layers, each with the names of its elements and a way to copy it element by
/// element (a vector of unique_ptr claims to be copyable and is not).
namespace miniparallel::reflect {

/// `each(container, f)` calls f(name, element); `copy(container, f)` makes one with the elements f(element).
/// An element without a name of its own has the name of its container: "".
template <class T>
struct Container;

template <class T>
concept IsContainer = requires { sizeof(Container<T>); };

namespace detail {

template <class Key>
std::string key_name(const Key& key) {
  if constexpr (std::is_convertible_v<const Key&, std::string>) {
    return key;
  } else if constexpr (std::is_enum_v<Key>) {
    return std::to_string(static_cast<std::underlying_type_t<Key>>(key));
  } else {
    static_assert(std::is_integral_v<Key>,
                  "miniparallel: the keys of a map of layers must be strings, integers or enums");
    return std::to_string(key);
  }
}

template <class Tuple>
struct TupleContainer {
  template <class F>
  static void each(Tuple& tuple, F&& f) {
    std::apply(
        [&](auto&... element) {
          [[maybe_unused]] std::size_t i = 0;
          (f(std::to_string(i++), element), ...);
        },
        tuple);
  }
  template <class F>
  static Tuple copy(const Tuple& tuple, F&& f) {
    return std::apply([&](const auto&... element) { return Tuple{f(element)...}; }, tuple);
  }
};

/// optional and unique_ptr: an element or none.
template <class Holder, class Make>
struct HolderContainer {
  template <class F>
  static void each(Holder& holder, F&& f) {
    if (holder) f(std::string(), *holder);
  }
  template <class F>
  static Holder copy(const Holder& holder, F&& f) {
    return holder ? Holder(Make{}(f(*holder))) : Holder();
  }
};

struct MakeUnique {
  template <class T>
  std::unique_ptr<T> operator()(T value) const {
    return std::make_unique<T>(std::move(value));
  }
};
struct MakeSelf {
  template <class T>
  T operator()(T value) const {
    return value;
  }
};

}  // namespace detail

template <class T>
struct Container<std::vector<T>> {
  template <class F>
  static void each(std::vector<T>& elements, F&& f) {
    for (std::size_t i = 0; i < elements.size(); ++i) f(std::to_string(i), elements[i]);
  }
  template <class F>
  static std::vector<T> copy(const std::vector<T>& elements, F&& f) {
    std::vector<T> made;
    made.reserve(elements.size());
    for (const T& element : elements) made.push_back(f(element));
    return made;
  }
};

template <class Key, class T, class Compare>
struct Container<std::map<Key, T, Compare>> {
  using Map = std::map<Key, T, Compare>;
  template <class F>
  static void each(Map& map, F&& f) {
    for (auto& [key, element] : map) f(detail::key_name(key), element);
  }
  template <class F>
  static Map copy(const Map& map, F&& f) {
    Map made(map.key_comp());
    for (const auto& [key, element] : map) made.emplace(key, f(element));
    return made;
  }
};

template <class T, std::size_t size>
struct Container<std::array<T, size>> : detail::TupleContainer<std::array<T, size>> {};
template <class... T>
struct Container<std::tuple<T...>> : detail::TupleContainer<std::tuple<T...>> {};
template <class First, class Second>
struct Container<std::pair<First, Second>> : detail::TupleContainer<std::pair<First, Second>> {};
template <class T>
struct Container<std::optional<T>> : detail::HolderContainer<std::optional<T>, detail::MakeSelf> {};
template <class T>
struct Container<std::unique_ptr<T>> : detail::HolderContainer<std::unique_ptr<T>, detail::MakeUnique> {};

}  // namespace miniparallel::reflect
