#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace miniparallel {

/// Types without layers and tensors, which reflection leaves alone: arithmetic types, enums and strings.
/// Declare your own with `template <> inline constexpr bool miniparallel::is_plain<T> = true;`.
template <class T>
inline constexpr bool is_plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;
template <>
inline constexpr bool is_plain<std::string> = true;
template <>
inline constexpr bool is_plain<std::string_view> = true;
template <class T>
inline constexpr bool is_plain<std::vector<T>> = is_plain<T>;

}  // namespace miniparallel
