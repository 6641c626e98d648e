#include <miniparallel/parallel/find_batch_size.h>

#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <tuple>
#include <utility>

// What other tests do on the CPU alone, or not at all, since it happens seldom.

namespace miniparallel {
namespace {

using testing::Messages;
using testing::Mlp;
using testing::Odd;
using testing::Simulated;

Mlp float_net() {
  manual_seed(3);
  return {};
}

TEST_CASE("rare paths: a machine whose driver is too old trains on the CPU, and says so") {
  simulator::Machine settings = simulator::machine_with(2);
  settings.driver_version = 12000;
  const Simulated machine(settings);
  Messages messages;
  CudaMultiGPU model{float_net()};
  CHECK(model.device() == Device::cpu());
  REQUIRE(messages.list.size() == 1);
  CHECK(messages.list[0].find("runs on the CPU: ") != std::string::npos);
}

TEST_CASE("rare paths: members of the model that hold other parameters than before") {
  const Simulated machine(3);
  DataParallel model{float_net()};
  const Tensor x = randn({7, 6});
  model(x);
  model->second = nn::Linear(16, 4);
  to(model.model(), model.devices()[0]);
  Mlp alone = clone(model.model());
  to(alone, Device::cpu());
  const Tensor y = model(x), expected = alone(x);
  CHECK(allclose(y.cpu(), expected, 1e-5, 1e-5));
  mean(square(y)).backward();
  mean(square(expected)).backward();
  CHECK(allclose(model->second.weight.grad().cpu(), alone.second.weight.grad(), 1e-5, 1e-5));
}

struct WithScale {
  nn::Linear fc{6, 4};
  Tensor scale;  ///< none at first
  Tensor operator()(const Tensor& x) { return scale.defined() ? fc(x) * scale : fc(x); }
};

TEST_CASE("rare paths: a plain tensor that the model gets, and loses again") {
  const Simulated machine(2);
  DataParallel model{WithScale{}};
  const Tensor x = randn({6, 6});
  const Tensor plain = model(x).cpu();
  model->scale = full({4}, 3.0, {.device = model.devices()[0]});
  CHECK(allclose(model(x).cpu(), plain * 3, 1e-6, 1e-6));
  model->scale = Tensor();
  CHECK(equal(model(x).cpu(), plain));
}

TEST_CASE("rare paths: on one GPU, a parameter whose gradient comes in two parts") {
  const Simulated machine(1);
  Odd net;  // with a tied weight
  to(net, float32);
  Odd alone = clone(net);
  DataParallel model{net};
  const Tensor x = randn({5, 6});
  mean(square(model(x))).backward();
  mean(square(alone(x))).backward();
  CHECK(allclose(model->in.weight.grad().cpu(), alone.in.weight.grad(), 1e-5, 1e-5));
}

TEST_CASE("rare paths: a GPU that fails for good while the largest batch is looked for") {
  Simulated machine(2);
  const Messages silent;
  DataParallel model{float_net()};
  simulator::fail_kernel(1, 20);
  const std::tuple sample(randn({2, 6}), randint(0, 4, {2}));
  CHECK_THROWS_AS(find_batch_size(model, sample, cross_entropy), Error);
  machine.expect_failure();
}

}  // namespace
}  // namespace miniparallel
