#include <miniparallel/autocast.h>

#include <miniparallel/nn.h>
#include <miniparallel/parallel/data_parallel.h>
#include <miniparallel/random.h>
#include <miniparallel/recompute.h>

#include "machines.h"

#include <doctest/doctest.h>

// Replicas compute in the mode of the caller, and their gradients are float32.

namespace miniparallel {
namespace {

using testing::on_machines;

struct Mlp {
  nn::Linear wide{6, 32}, narrow{32, 3};
  nn::Dropout drop{0.25};
  Tensor operator()(const Tensor& x) { return narrow(drop(relu(wide(x)))); }
};

bool close(const Tensor& got, const Tensor& expected) {
  return got.dtype() == expected.dtype() && allclose(got.cpu().to(float32), expected.to(float32), 2e-2, 2e-2);
}

TEST_CASE("autocast: replicas compute and learn as one model does, whoever writes to its parameters") {
  on_machines([](const std::vector<Device>& devices) {
    manual_seed(4);
    Mlp net, alone = clone(net);
    eval(net);
    eval(alone);
    DataParallel<Mlp> model(net, {.devices = devices});
    const Autocast guard;
    for (int step = 0; step < 3; ++step) {
      CAPTURE(step);
      const Tensor x = randn({9, 6});
      const Tensor before = alone(x);
      CHECK(before.dtype() == bfloat16);
      CHECK(close(model(x), before));
      {  // no backward between two calls, so that casts would be kept
        const NoGradGuard no_grad;
        for (Mlp* each : {&alone, &model.model()}) each->wide.weight.mul_(-1.5);
      }
      const Tensor expected = alone(x), got = model(x);
      CHECK(close(got, expected));
      CHECK_FALSE(close(got, before));
      got.sum().backward();
      expected.sum().backward();
      const std::vector<Tensor> ours = model.parameters(), theirs = parameters(alone);
      for (std::size_t i = 0; i < ours.size(); ++i) {
        CHECK(ours[i].grad().dtype() == float32);
        CHECK(close(ours[i].grad(), theirs[i].grad()));
      }
      model.zero_grad();
      zero_grad(alone);
    }
  });
}

TEST_CASE("autocast: a checkpoint computes again what it has computed, within the guard or not") {
  const auto gradients = [](bool recomputed) {
    manual_seed(5);
    Mlp net;
    const Tensor x = randn({9, 6});
    Tensor y;
    {
      const Autocast guard;
      y = recomputed ? checkpoint(net, x) : net(x);
    }
    CHECK(y.dtype() == bfloat16);
    y.sum().backward();
    std::vector<float> values;
    for (const Tensor& parameter : parameters(net))
      for (const float value : parameter.grad().to_vector<float>()) values.push_back(value);
    return values;
  };
  CHECK(gradients(true) == gradients(false));
}

}  // namespace
}  // namespace miniparallel
