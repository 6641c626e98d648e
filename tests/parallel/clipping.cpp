#include <miniparallel/miniparallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

// Gradients of a wrapped model are clipped where they are packed.

namespace miniparallel {
namespace {

using testing::on_machine;
using Values = std::vector<std::vector<double>>;

std::vector<Tensor> gradients_of(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters)
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  return gradients;
}

Values values_of(const std::vector<Tensor>& tensors) {
  Values all;
  for (const Tensor& tensor : tensors) all.push_back(tensor.to_vector<double>());
  return all;
}

/// Tensors by themselves with the same gradients.
std::vector<Tensor> bare(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> all;
  for (const Tensor& gradient : gradients_of(parameters)) {
    all.push_back(zeros_like(gradient).requires_grad_());
    all.back().set_grad(gradient.clone());
  }
  return all;
}

/// Every norm and what is left of the gradients, of 4 replicas on the devices.
template <class Net>
Values clipped(const std::vector<Device>& devices, bool sharded) {
  manual_seed(3);
  DataParallel model{Net{}, {.devices = devices, .replicas = 4, .shard_optimizer = sharded}};
  const std::vector<Tensor> parameters = model.parameters();
  Values seen;
  for (const double kind : {2.0, 1.0, std::numeric_limits<double>::infinity()}) {
    mean(square(model(Net::batch(13).to(float32)))).backward();
    const std::vector<Tensor> apart = bare(parameters);
    const Values whole = values_of(gradients_of(parameters));
    std::vector<Tensor> norms;
    for (const auto& all : {parameters, apart}) norms.push_back(nn::utils::clip_grad_norm_(all, 1e-3, kind));
    CHECK(norms[0].item() == norms[1].item());
    const Values packed = values_of(gradients_of(parameters));
    CHECK(packed != whole);
    CHECK(packed == values_of(gradients_of(apart)));
    for (const auto& all : {parameters, apart}) nn::utils::clip_grad_value_(all, 1e-6);
    CHECK(values_of(gradients_of(parameters)) == values_of(gradients_of(apart)));
    seen.push_back({norms[0].item()});
    seen.insert(seen.end(), packed.begin(), packed.end());
    model.zero_grad();
  }
  return seen;
}

template <class Net>
void compare() {
  Values expected;
  for (const int gpus : {1, 2, 4})
    for (const bool sharded : {false, true})
      on_machine(gpus, [&](const std::vector<Device>& devices) {
        CAPTURE(gpus);
        const Values values = clipped<Net>(devices, sharded);
        if (expected.empty()) expected = values;
        CHECK(values == expected);
      });
}

TEST_CASE("clipping: packed gradients get the bits of tensors by themselves, on any number of GPUs") {
  compare<testing::Transformer>();
  compare<testing::Odd>();  // frozen and unused parameters are between
}

}  // namespace
}  // namespace miniparallel
