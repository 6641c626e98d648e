#pragma once

#include <miniparallel/autograd.h>
#include <miniparallel/miniparallel.h>

#include "tests/op_cases.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace miniparallel::testing {

using Tensors = std::vector<Tensor>;
using Function = std::function<Tensor(const Tensors&)>;

/// What rounding may change, in parts of the largest expected number, or of 1.
inline double tolerance_of(DType dtype) {
  switch (dtype) {
    case float64:
      return 1e-11;
    case float16:
      return 0x1p-10 + 1e-5;  // another neighbour: a unit in the last place
    case bfloat16:
      return 0x1p-7 + 1e-5;
    default:
      return 1e-5;
  }
}

/// Equal up to rounding, `roundings` times.
inline void check_close(const Tensor& got, const Tensor& expected, double roundings = 1) {
  REQUIRE(got.shape() == expected.shape());
  CHECK(got.dtype() == expected.dtype());
  const std::vector<double> a = got.to_vector<double>(), b = expected.to_vector<double>();
  double scale = 1;
  for (const double value : b)
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  const double tolerance = tolerance_of(expected.dtype()) * scale * roundings;
  std::size_t wrong = 0, first = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool close =
        a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])) || std::abs(a[i] - b[i]) <= tolerance;
    if (!close && wrong++ == 0) first = i;
  }
  CHECK_MESSAGE(wrong == 0, wrong, " of ", a.size(), " elements, the first is ", first, ": ", a[first],
                " for ", b[first]);
}

/// Each 16-bit element is that of float64 rounded once, but for float32's error, which may decide between two
/// neighbours.
inline void check_rounded_once(const Tensor& got, const Tensor& exact) {
  const Tensor margin = abs(exact) * 1e-5 + 1e-7;
  const Tensor least = (exact - margin).to(got.dtype()), most = (exact + margin).to(got.dtype());
  const Tensor x = got.cpu(), wrong = logical_or(x<least, x> most);
  REQUIRE(x.shape() == exact.shape());
  CHECK_MESSAGE(!any(wrong).item<bool>(), sum(wrong).item<double>(), " of ", x.numel(),
                " elements are not rounded once");
}

/// On the CPU: the function's value for copies of the inputs on
/// the device, then the gradients of those that require one.
inline Tensors value_and_gradients(const Function& function, const Tensors& inputs, Device device) {
  Tensors leaves;
  for (const Tensor& input : inputs)
    leaves.push_back(input.detach().to(device).requires_grad_(input.requires_grad()));
  const Tensor value = function(leaves);
  Tensors results{value.detach().cpu()};
  if (!value.requires_grad()) return results;
  value.backward(make_input({value.shape()}, 2, value.dtype()).to(device));
  for (const Tensor& leaf : leaves)
    if (leaf.grad().defined()) results.push_back(leaf.grad().cpu());
  return results;
}

/// The same numbers on the device as on the CPU. Returns the device's.
inline Tensors check_like_cpu(const Function& function, const Tensors& inputs, Device device,
                              double roundings = 1) {
  const Tensors expected = value_and_gradients(function, inputs, Device::cpu());
  const Tensors got = value_and_gradients(function, inputs, device);
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("result ", i, ": the value, then gradients");
    check_close(got[i], expected[i], roundings);
  }
  return got;
}

inline bool bit_equal(const Tensors& a, const Tensors& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].to_vector<double>() != b[i].to_vector<double>()) return false;
  return a.size() == b.size();
}

/// Real numbers of mean 0 that require a gradient.
inline Tensor random_leaf(const Shape& shape, DType dtype) {
  return randn(shape, {.dtype = dtype}).requires_grad_();
}

}  // namespace miniparallel::testing
