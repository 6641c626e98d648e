#include <miniparallel/miniparallel.h>

#include "../../cuda/simulated.h"

#include <doctest/doctest.h>

// How many launches the optimizer's part of a step takes. Parameters and gradients of a model with
// several replicas are views of one block each; those of one replica, or without a wrapper, are a row
// each of one launch.

namespace miniparallel {
namespace {

using testing::Simulated;

struct Unit {
  nn::Conv2d conv;
  nn::BatchNorm2d norm;
};

/// As many parameters as ResNet-50 has, 161, of the same kinds and in the same order.
struct ResNet {
  std::vector<Unit> units = make_units();
  nn::Linear fc{2, 3};

  static std::vector<Unit> make_units() {
    std::vector<Unit> units;
    std::int64_t channels = 2;
    for (int i = 0; i < 53; ++i) {
      const std::int64_t next = 2 + i % 4;
      const int kernel = i % 3 == 0 ? 3 : 1;
      units.push_back({{channels, next, kernel, {.padding = kernel / 2, .bias = false}}, {next}});
      channels = next;
    }
    return units;
  }
  Tensor operator()(Tensor x) {
    for (Unit& unit : units) x = relu(unit.norm(unit.conv(x)));
    return fc(mean(x, {2, 3}));
  }
};

template <class F>
std::int64_t launches(const F& f) {
  const simulator::Counters before = simulator::counters();
  f();
  return (simulator::counters() - before).kernels;
}

void backward(DataParallel<ResNet>& model) {
  model.loss(cross_entropy, randn({4, 2, 2, 2}), randint(0, 3, {4})).backward();
}
void backward(ResNet& model) {
  const Device gpu = Device::cuda();
  cross_entropy(model(randn({4, 2, 2, 2}).to(gpu)), randint(0, 3, {4}).to(gpu)).backward();
}

/// `blocks`: of memory for each of the optimizer's states.
template <class Model>
void check_steps(Model& model, int blocks) {
  const std::vector<Tensor> all = parameters(model);
  REQUIRE(all.size() == 161);
  optim::SGD sgd(all, {.lr = 1e-3});
  optim::AdamW adam(all, {.lr = 1e-3});
  for (int step = 0; step < 2; ++step) {
    backward(model);
    if (step == 1) backward(model);  // adds to the gradients
    // Sums of squares, the sum of these, the scaling, and the norm in the gradients' dtype.
    CHECK(launches([&] { nn::utils::clip_grad_norm_(all, 0.1); }) == 4);
    CHECK(launches([&] { nn::utils::clip_grad_value_(all, 0.1); }) == 1);
    CHECK(launches([&] { sgd.step(); }) == 1);
    CHECK(launches([&] { adam.step(); }) == 1 + (step == 0 ? 2 * blocks : 0));  // filled with zeros
    adam.zero_grad();
  }
}

TEST_CASE("optimizer: the 161 parameters of ResNet-50 take one launch a step, whatever wraps it") {
  const Simulated machine(2);
  DataParallel two{ResNet{}};
  check_steps(two, 1);
  DataParallel one{ResNet{}, {.devices = {0}}};
  check_steps(one, 161);
  ResNet bare;
  to(bare, Device::cuda());
  check_steps(bare, 161);
}

TEST_CASE("optimizer: frozen parameters of a wrapped model stay; a loaded state is packed again") {
  const Simulated machine(2);
  DataParallel model{ResNet{}};
  std::vector<Tensor> parameters = model.parameters();
  auto optimizer = std::make_unique<optim::Adam>(parameters);
  backward(model);
  optimizer->step();
  optimizer->zero_grad();
  const std::vector<Tensor> before = miniparallel::parameters(clone(model.model()));
  for (std::size_t i = 1; i < parameters.size(); i += 40) parameters[i].requires_grad_(false);
  backward(model);
  CHECK(launches([&] { optimizer->step(); }) == 1);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    CAPTURE(i);
    CHECK(equal(parameters[i], before[i]) == (i % 40 == 1));
  }
  StateDict saved = optimizer->state_dict();
  for (auto& [key, value] : saved) value = value.to(Device::cpu());
  optimizer = std::make_unique<optim::Adam>(parameters);
  optimizer->load_state_dict(saved);
  optimizer->step();
  CHECK(launches([&] { optimizer->step(); }) == 1);
}

}  // namespace
}  // namespace miniparallel
