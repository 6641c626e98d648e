#pragma once

#include <miniparallel/model/path.h>
#include <miniparallel/model/places.h>

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

/// The containers that may hold layers and tensors, and how to walk several of one type side by side.
namespace miniparallel::reflect {

/// Of the containers at `places`, which hold corresponding elements,
///
///   zip(places, f)   calls f(name, places of an element) for each element
///   join(places, f)  makes a container of what f returns for each element
///
/// and `difference(first, other)` says why they do not hold corresponding elements, "" where they do. Models,
/// whose parameters are told apart by their order, need one that `keeps_order`.
template <class T>
struct Container;

template <class T>
concept IsContainer = requires { sizeof(Container<T>); };

namespace detail {

/// The type that f makes of elements of type T.
template <class F, class T>
using Joined = std::invoke_result_t<F&, PartName, const Places<T>&>;

inline std::string difference_of_sizes(std::size_t first, std::size_t other) {
  return first == other ? "" : std::to_string(first) + " and " + std::to_string(other) + " elements";
}

template <class Key>
struct AtKey {
  const Key& key;
  auto& operator()(auto& map) const { return map.find(key)->second; }
};
template <std::size_t i>
struct AtIndex {
  auto& operator()(auto& tuple) const { return std::get<i>(tuple); }
};
/// The content of an optional or a unique_ptr, const where that is.
struct Held {
  template <class Holder>
  auto& operator()(Holder& holder) const {
    if constexpr (std::is_const_v<Holder>)
      return std::as_const(*holder);
    else
      return *holder;
  }
};

template <class Map>
struct MapContainer {
  static constexpr bool keeps_order = requires(Map map) { map.key_comp(); };

  template <class Whole, class F>
  static void zip(const Places<Whole>& places, F&& f) {
    if (places.size() == 0) return;
    for (auto& entry : places[0]) {
      const AtKey<typename Map::key_type> at{entry.first};
      f(PartName::key(entry.first), Places(places, at));
    }
  }
  static std::string difference(const Map& first, const Map& other) {
    for (const auto& entry : first)
      if (first.size() == other.size() && !other.contains(entry.first))
        return "only one has the element " + PartName::key(entry.first).selector();
    return difference_of_sizes(first.size(), other.size());
  }

 protected:
  template <class Made, class Whole, class F>
  static Made join_into(Made made, const Places<Whole>& places, F& f) {
    if (places.size() == 0) return made;
    for (auto& entry : places[0]) {
      const AtKey<typename Map::key_type> at{entry.first};
      made.emplace(entry.first, f(PartName::key(entry.first), Places(places, at)));
    }
    return made;
  }
};

/// optional and unique_ptr: an element or none.
template <class Holder>
struct HolderContainer {
  static constexpr bool keeps_order = true;

  template <class Whole, class F>
  static void zip(const Places<Whole>& places, F&& f) {
    if (places.size() > 0 && places[0]) f(PartName::none(), Places(places, Held{}));
  }
  static std::string difference(const Holder& first, const Holder& other) {
    return static_cast<bool>(first) == static_cast<bool>(other) ? "" : "one holds a value, the other none";
  }

 protected:
  template <class Whole>
  static bool holds(const Places<Whole>& places) {
    return places.size() > 0 && static_cast<bool>(places[0]);
  }
  template <class Whole, class F>
  static auto join_held(const Places<Whole>& places, F& f) {
    return f(PartName::none(), Places(places, Held{}));
  }
};

template <class Tuple>
struct TupleContainer {
  static constexpr bool keeps_order = true;

  template <class Whole, class F>
  static void zip(const Places<Whole>& places, F&& f) {
    zip_each(places, f, Indices());
  }
  static std::string difference(const Tuple&, const Tuple&) { return {}; }

 protected:
  using Indices = std::make_index_sequence<std::tuple_size_v<Tuple>>;
  template <class Whole, class F, std::size_t... i>
  static void zip_each([[maybe_unused]] const Places<Whole>& places, [[maybe_unused]] F& f,
                       std::index_sequence<i...>) {
    (f(PartName::index(i), Places(places, AtIndex<i>{})), ...);
  }
  template <std::size_t i, class Whole, class F>
  static auto join_at(const Places<Whole>& places, F& f) {
    return f(PartName::index(i), Places(places, AtIndex<i>{}));
  }
};

}  // namespace detail

template <class T>
  requires(!std::is_same_v<T, bool>)  // whose elements have no address
struct Container<std::vector<T>> {
  static constexpr bool keeps_order = true;

  template <class Whole, class F>
  static void zip(const Places<Whole>& places, F&& f) {
    const std::size_t size = places.size() == 0 ? 0 : places[0].size();
    for (std::size_t i = 0; i < size; ++i)
      f(PartName::index(i), Places(places, [i](Whole& elements) -> auto& { return elements[i]; }));
  }
  template <class Whole, class F>
  static auto join(const Places<Whole>& places, F&& f) {
    using Element = std::remove_reference_t<decltype(std::declval<Whole&>()[0])>;
    std::vector<detail::Joined<F, Element>> made;
    if (places.size() > 0) made.reserve(places[0].size());
    zip(places,
        [&](const PartName& name, const Places<Element>& element) { made.push_back(f(name, element)); });
    return made;
  }
  static std::string difference(const std::vector<T>& first, const std::vector<T>& other) {
    return detail::difference_of_sizes(first.size(), other.size());
  }
};

template <class Key, class T, class Compare>
struct Container<std::map<Key, T, Compare>> : detail::MapContainer<std::map<Key, T, Compare>> {
  template <class Whole, class F>
  static auto join(const Places<Whole>& places, F&& f) {
    using Element = std::remove_reference_t<decltype(std::declval<Whole&>().begin()->second)>;
    using Made = std::map<Key, detail::Joined<F, Element>, Compare>;
    return Container::join_into(places.size() == 0 ? Made() : Made(places[0].key_comp()), places, f);
  }
};

template <class Key, class T, class Hash, class Equal>
struct Container<std::unordered_map<Key, T, Hash, Equal>>
    : detail::MapContainer<std::unordered_map<Key, T, Hash, Equal>> {
  template <class Whole, class F>
  static auto join(const Places<Whole>& places, F&& f) {
    using Element = std::remove_reference_t<decltype(std::declval<Whole&>().begin()->second)>;
    using Made = std::unordered_map<Key, detail::Joined<F, Element>, Hash, Equal>;
    const auto like = [](const Whole& map) {
      return Made(map.bucket_count(), map.hash_function(), map.key_eq());
    };
    return Container::join_into(places.size() == 0 ? Made() : like(places[0]), places, f);
  }
};

template <class T>
struct Container<std::optional<T>> : detail::HolderContainer<std::optional<T>> {
  template <class Whole, class F>
  static auto join(const Places<Whole>& places, F&& f) {
    using Made = std::optional<decltype(Container::join_held(places, f))>;
    return Container::holds(places) ? Made(Container::join_held(places, f)) : Made();
  }
};

template <class T>
struct Container<std::unique_ptr<T>> : detail::HolderContainer<std::unique_ptr<T>> {
  template <class Whole, class F>
  static auto join(const Places<Whole>& places, F&& f) {
    using Made = decltype(Container::join_held(places, f));
    return Container::holds(places) ? std::make_unique<Made>(Container::join_held(places, f)) : nullptr;
  }
};

template <class T, std::size_t size>
struct Container<std::array<T, size>> : detail::TupleContainer<std::array<T, size>> {
  template <class Whole, class F>
  static auto join(const Places<Whole>& places, F&& f) {
    return join_each(places, f, typename Container::Indices());
  }

 private:
  template <class Whole, class F, std::size_t... i>
  static auto join_each([[maybe_unused]] const Places<Whole>& places, [[maybe_unused]] F& f,
                        std::index_sequence<i...>) {
    using Element = std::remove_reference_t<decltype(std::declval<Whole&>()[0])>;
    return std::array<detail::Joined<F, Element>, size>{{Container::template join_at<i>(places, f)...}};
  }
};

template <class... T>
struct Container<std::tuple<T...>> : detail::TupleContainer<std::tuple<T...>> {
  template <class Whole, class F>
  static auto join(const Places<Whole>& places, F&& f) {
    return join_each(places, f, typename Container::Indices());
  }

 private:
  template <class Whole, class F, std::size_t... i>
  static auto join_each([[maybe_unused]] const Places<Whole>& places, [[maybe_unused]] F& f,
                        std::index_sequence<i...>) {
    return std::tuple<decltype(Container::template join_at<i>(places, f))...>{
        Container::template join_at<i>(places, f)...};
  }
};

template <class First, class Second>
struct Container<std::pair<First, Second>> : detail::TupleContainer<std::pair<First, Second>> {
  template <class Whole, class F>
  static auto join(const Places<Whole>& places, F&& f) {
    using Made = std::pair<decltype(Container::template join_at<0>(places, f)),
                           decltype(Container::template join_at<1>(places, f))>;
    return Made{Container::template join_at<0>(places, f), Container::template join_at<1>(places, f)};
  }
};

}  // namespace miniparallel::reflect
