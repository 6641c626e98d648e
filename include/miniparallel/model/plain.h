#pragma once

#include <miniparallel/device.h>
#include <miniparallel/scalar.h>
#include <miniparallel/shape.h>

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace miniparallel {

/// Types without layers and tensors, which reflection leaves alone: arithmetic types, enums, strings, and
/// containers of these.
/// Declare your own with `template <> inline constexpr bool miniparallel::is_plain<T> = true;`.
template <class T>
inline constexpr bool is_plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;
template <>
inline constexpr bool is_plain<std::string> = true;
template <>
inline constexpr bool is_plain<std::string_view> = true;
template <>
inline constexpr bool is_plain<Device> = true;
template <>
inline constexpr bool is_plain<Scalar> = true;
template <>
inline constexpr bool is_plain<Shape> = true;

template <class T>
inline constexpr bool is_plain<std::vector<T>> = is_plain<T>;
template <class T, std::size_t size>
inline constexpr bool is_plain<std::array<T, size>> = is_plain<T>;
template <class T>
inline constexpr bool is_plain<std::optional<T>> = is_plain<T>;
template <class... T>
inline constexpr bool is_plain<std::tuple<T...>> = (is_plain<T> && ...);
template <class First, class Second>
inline constexpr bool is_plain<std::pair<First, Second>> = is_plain<First> && is_plain<Second>;
template <class Key, class T, class Compare>
inline constexpr bool is_plain<std::map<Key, T, Compare>> = is_plain<T>;
template <class Key, class T, class Hash, class Equal>
inline constexpr bool is_plain<std::unordered_map<Key, T, Hash, Equal>> = is_plain<T>;

}  // namespace miniparallel
