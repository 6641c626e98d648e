#pragma once

#include <miniparallel/tensor.h>

#include <concepts>

namespace miniparallel::nn {

/// A tensor that is trained and saved with its model. As every Tensor a handle: copies of a model share their
/// parameters, and two members that hold one Parameter are tied. Moving, converting and loading a model
/// replace the elements behind the handle, so optimizers, ties and copies follow. A layer without, say, a
/// bias has an undefined one.
class Parameter : public Tensor {
 public:
  Parameter() = default;
  /// A new leaf over the elements of `value`; it requires grad where its dtype allows it.
  explicit Parameter(const Tensor& value);
  Parameter(const Tensor& value, bool requires_grad);

  template <std::derived_from<Tensor> T>
    requires(!std::same_as<T, Parameter>)
  Parameter& operator=(const T&) {
    static_assert(
        !std::derived_from<T, Tensor>,
        "miniparallel: assigning a Tensor to a Parameter would part it from its optimizers, ties and "
        "copies; write its elements with NoGradGuard guard; parameter.copy_(tensor);, or make a new "
        "one with parameter = nn::Parameter(tensor);");
    return *this;
  }
};

/// A tensor that is saved and moved with its model but not trained, such as running statistics.
class Buffer : public Tensor {
 public:
  Buffer() = default;
  /// The elements of value, outside the graph.
  explicit Buffer(const Tensor& value);

  template <std::derived_from<Tensor> T>
    requires(!std::same_as<T, Buffer>)
  Buffer& operator=(const T&) {
    static_assert(
        !std::derived_from<T, Tensor>,
        "miniparallel: assigning a Tensor to a Buffer would part it from the copies of its model; write "
        "its elements with buffer.copy_(tensor);, or make a new one with buffer = "
        "nn::Buffer(tensor);");
    return *this;
  }
};

}  // namespace miniparallel::nn
