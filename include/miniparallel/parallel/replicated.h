#pragma once

#include <utility>

namespace miniparallel {

/// An argument that every replica gets whole, instead of its rows.
template <class T>
struct Replicated {
  T value;
};

/// `model(x, replicated(mask))`: sends `mask` whole to each replica; its gradient is the sum of theirs.
template <class T>
Replicated<T> replicated(T value) {
  return {std::move(value)};
}

}  // namespace miniparallel
