#pragma once

#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"
#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace miniparallel::testing {

/// What PyTorch computed for one case; see tests/data/make_layers.py for the names.
class Golden {
 public:
  explicit Golden(std::string name) : name_(std::move(name)) {}

  Tensor operator[](const std::string& part) const {
    return golden("layers.safetensors", name_ + "." + part);
  }
  /// All that starts with "{part}.", by the rest of its name.
  StateDict all(const std::string& part) const {
    StateDict found;
    const std::string prefix = name_ + "." + part + ".";
    for (const auto& [name, tensor] : goldens("layers.safetensors")) {
      if (name.starts_with(prefix)) found[name.substr(prefix.size())] = tensor;
    }
    return found;
  }

 private:
  std::string name_;
};

inline void check_close(const std::string& what, const Tensor& got, const Tensor& expected) {
  INFO(what);
  REQUIRE(got.defined());
  CHECK(got.dtype() == expected.dtype());
  CHECK(largest_difference(got, expected) <= 1e-11 * std::max(1.0, largest_magnitude(expected)));
}

using Inputs = std::vector<Tensor>;

/// Loads PyTorch's parameters, so names and shapes must agree; then compares output, buffers and gradients.
template <class Layer, class Call>
void check_against_pytorch(const std::string& name, Layer layer, Call call) {
  CAPTURE(name);
  const Golden golden(name);
  to(layer, float64);
  load_state_dict(layer, golden.all("state"));
  Inputs inputs;
  for (const auto& [i, input] : golden.all("input")) {
    inputs.push_back(input.clone());
    if (input.is_floating()) inputs.back().requires_grad_();
  }
  const Tensor output = call(layer, inputs);
  check_close("output", output, golden["output"]);
  output.backward(golden["cotangent"]);
  for (const auto& [key, buffer] : named_buffers(layer)) check_close(key, buffer, golden["after." + key]);
  for (const auto& [key, parameter] : named_parameters(layer)) {
    check_close("gradient of " + key, parameter.grad(), golden["grad." + key]);
  }
  for (const auto& [i, gradient] : golden.all("input_grad")) {
    check_close("gradient of input " + i, inputs[static_cast<std::size_t>(std::stoi(i))].grad(), gradient);
  }
}

template <class Layer>
void check_against_pytorch(const std::string& name, Layer layer) {
  check_against_pytorch(name, std::move(layer), [](Layer& l, const Inputs& x) { return l(x[0]); });
}

template <class Layer>
Layer evaluating(Layer layer) {
  eval(layer);
  return layer;
}

}  // namespace miniparallel::testing
