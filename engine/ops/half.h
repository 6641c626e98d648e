#pragma once

#include "engine/ops/common.h"
#include "engine/threads/autocast_mode.h"
#include "kernels/half.h"

#include <utility>
#include <vector>

/// float16 and bfloat16 in ops that have no kernels for them: converted to float32, which is exact, computed,
/// and rounded once. An op does this in one line, behind the checks of its arguments:
///
///   Tensor softmax(const Tensor& x, int dim) {
///     check_floating("softmax", x);
///     if (is_half(x)) return in_float32(MP_OP(softmax), x, dim);
///
/// The conversions are recorded like any other, so that gradients of any order follow.

namespace miniparallel {

using kernels::is_half;
/// An undefined tensor is not.
inline bool is_half(const Tensor& x) { return x.defined() && is_half(x.dtype()); }

/// The elements of a 16-bit type as float32, any other tensor as it is. Of such a copy `autograd::save` keeps
/// the 16-bit elements, and converts them again in backward.
Tensor widened(const Tensor& x);

/// A function by its name, whichever overload is called.
#define MP_OP(name) [](const auto&... arguments) { return name(arguments...); }

namespace detail {

inline Tensor wide(const Tensor& x) { return widened(x); }
inline std::vector<Tensor> wide(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  result.reserve(tensors.size());
  for (const Tensor& x : tensors) result.push_back(widened(x));
  return result;
}
template <class T>
const T& wide(const T& other) {
  return other;
}

inline void find_half(DType& found, const Tensor& x) {
  if (is_half(x) && !is_half(found)) found = x.dtype();
}
inline void find_half(DType& found, const std::vector<Tensor>& tensors) {
  for (const Tensor& x : tensors) find_half(found, x);
}
template <class T>
void find_half(DType&, const T&) {}

inline Tensor rounded_to(DType dtype, const Tensor& x) {
  return x.defined() && x.dtype() == float32 ? x.to(dtype) : x;
}
inline std::pair<Tensor, Tensor> rounded_to(DType dtype, const std::pair<Tensor, Tensor>& both) {
  return {rounded_to(dtype, both.first), rounded_to(dtype, both.second)};
}
inline AddNorm rounded_to(DType dtype, const AddNorm& both) {
  return {rounded_to(dtype, both.y), rounded_to(dtype, both.sum)};
}

}  // namespace detail

/// `op(arguments...)` in float32, its results as the 16-bit dtype of the first tensor that has one. Float32
/// results alone are rounded: indices stay, and masks. Within, no `Autocast` guard holds.
template <class Op, class... Arguments>
auto in_float32(const Op& op, const Arguments&... arguments) {
  const AutocastModeScope plain(nullptr);
  DType dtype = float32;
  (detail::find_half(dtype, arguments), ...);
  return detail::rounded_to(dtype, op(detail::wide(arguments)...));
}

}  // namespace miniparallel
