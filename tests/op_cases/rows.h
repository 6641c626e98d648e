#pragma once

#include "tests/op_cases.h"

// What the files of rows share: a row's function in few words, and arguments.

#define OP(...) [](const std::vector<Tensor>& x) -> Tensor { return __VA_ARGS__; }
/// An in-place method, on a copy.
#define IN_PLACE(...)                          \
  [](const std::vector<Tensor>& x) -> Tensor { \
    Tensor y = x[0].clone();                   \
    y.__VA_ARGS__;                             \
    return y;                                  \
  }

namespace miniparallel::testing {

inline Input real(Shape shape, double low = -2, double high = 2) {
  return {shape, low, high, Input::Kind::real};
}
inline Input constant(Shape shape, double low = -2, double high = 2) {
  return {shape, low, high, Input::Kind::constant};
}
inline Input whole(Shape shape, std::int64_t below, std::int64_t from = 0) {
  return {shape, static_cast<double>(from), static_cast<double>(below), Input::Kind::whole};
}
inline Input flag(Shape shape) { return {shape, 0, 1, Input::Kind::flag}; }

inline const Input m34 = real({3, 4}), m34p = real({3, 4}, 0.2, 3), image = real({2, 4, 7, 6});
inline const Input cube = real({3, 4, 5});

constexpr unsigned view_traits = may_alias;

using Rows = std::vector<OpCase>;

// Each in the file of its family.
extern const Rows arithmetic, comparison, functions, activations, reductions, scans, joining, rearranged,
    elements, linear_algebra, losses, images, normalisation, attention, views, in_place, special, vectors,
    ordered, shapes, volumes, margins, decompositions, indexed;

}  // namespace miniparallel::testing
