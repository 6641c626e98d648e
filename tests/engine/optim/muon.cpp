#include <miniparallel/miniparallel.h>

#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

namespace miniparallel {
namespace {

using optim::Muon;
using testing::identical;
using testing::largest_difference;

constexpr int kSteps = 6, kMatrices = 2;

Tensor reference(const std::string& name) {
  return testing::golden("optim_goldens.safetensors", "muon." + name);
}

std::vector<Tensor> start(DType dtype) {
  std::vector<Tensor> matrices;
  for (int i = 0; i < kMatrices; ++i)
    matrices.push_back(reference("start." + std::to_string(i)).to(dtype).clone().requires_grad_());
  return matrices;
}

Tensor gradient(int step, int i) {
  return reference("gradient." + std::to_string(step) + "." + std::to_string(i));
}

TEST_CASE("Muon: steps agree with PyTorch, of wide and of tall matrices") {
  const optim::MuonOptions options{.lr = 0.02,
                                   .weight_decay = 0.3,
                                   .momentum = 0.8,
                                   .nesterov = false,
                                   .eps = 1e-5,
                                   .match_rms_adamw = true};
  for (const auto& variant : {std::pair{"default", optim::MuonOptions{.lr = 0.05}}, {"options", options}})
    for (const DType dtype : {float32, float64}) {
      CAPTURE(variant.first);
      const double tolerance = dtype == float64 ? 1e-12 : 5e-6;
      const std::string label = std::string(variant.first) + "." + name(dtype) + ".";
      const std::vector<Tensor> matrices = start(dtype);
      Muon optimizer(matrices, variant.second);
      for (int step = 1; step <= kSteps; ++step) {
        for (int i = 0; i < kMatrices; ++i) matrices[i].set_grad(gradient(step, i).to(dtype).clone());
        optimizer.step();
        for (int i = 0; i < kMatrices; ++i) {
          const Tensor expected = reference(label + std::to_string(step) + "." + std::to_string(i));
          CHECK(largest_difference(matrices[i].detach(), expected) < tolerance);
        }
      }
      const StateDict state = optimizer.state_dict();
      for (int i = 0; i < kMatrices; ++i)
        CHECK(largest_difference(state.at("state." + std::to_string(i) + ".momentum_buffer"),
                                 reference(label + "momentum_buffer." + std::to_string(i))) < tolerance);
    }
}

TEST_CASE("Muon: a step that a GradScaler has skipped changes nothing") {
  const std::vector<Tensor> matrices = start(float32);
  Muon optimizer(matrices);
  GradScaler scaler;
  const auto step = [&](int number, double factor) {
    Tensor loss = zeros({});
    for (int i = 0; i < kMatrices; ++i)
      loss = loss + sum(matrices[i] * gradient(number, i).to(float32)) * factor;
    optimizer.zero_grad();
    scaler.scale(loss).backward();
    scaler.step(optimizer);
    scaler.update();
  };
  step(1, 1);
  const Tensor before = matrices[0].detach().clone();
  const Tensor buffer = optimizer.state_dict().at("state.0.momentum_buffer").clone();
  CHECK_FALSE(identical(before, start(float32)[0].detach()));
  step(2, std::numeric_limits<float>::max());
  CHECK(identical(matrices[0].detach(), before));
  CHECK(identical(optimizer.state_dict().at("state.0.momentum_buffer"), buffer));
  CHECK(optimizer.state_dict().at("state.0.step").item() == 1);
}

TEST_CASE("Muon: parameters that are not matrices, and options out of range") {
  const Tensor bias = zeros({3}).requires_grad_(), weight = ones({2, 2}).requires_grad_();
  Muon optimizer({weight, bias});
  weight.set_grad(ones({2, 2}));
  bias.set_grad(ones({3}));
  CHECK_THROWS_WITH_AS(
      optimizer.step(),
      "Muon: a parameter has shape [3]; it takes matrices, so give the others to another optimizer", Error);
  CHECK(identical(weight.detach(), ones({2, 2})));
  CHECK_THROWS_WITH_AS(Muon({weight}, {.momentum = 1}),
                       "Muon: momentum is 1; it must be at least 0 and below 1", Error);
}

}  // namespace
}  // namespace miniparallel
