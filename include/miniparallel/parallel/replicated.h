#pragma once

#include <type_traits>
#include <utility>

namespace miniparallel {

/// A part of a batch that every replica gets whole, instead of its rows.
template <class T>
struct Replicated {
  T value;
};

/// `model(x, replicated(mask))`: sends `mask` whole to each replica; its gradient is the sum of theirs.
template <class T>
Replicated<T> replicated(T value) {
  return {std::move(value)};
}

namespace parallel {

template <class T>
inline constexpr bool is_replicated = false;
template <class T>
inline constexpr bool is_replicated<Replicated<T>> = true;
template <class T>
inline constexpr bool is_replicated<const Replicated<T>> = true;

/// What was wrapped by `replicated`, or the part itself.
template <class Part>
auto& unwrapped(Part& part) {
  if constexpr (is_replicated<Part>)
    return part.value;
  else
    return part;
}

}  // namespace parallel
}  // namespace miniparallel
