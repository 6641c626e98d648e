#include <miniparallel/miniparallel.h>

#include "machines.h"
#include "models.h"
#include "tests/support/scaled_training.h"

#include <doctest/doctest.h>

#include <vector>

// Adam with stochastic rounding steps the parameters of a DataParallel with the same bits, whoever steps
// them.

namespace miniparallel {
namespace {

using testing::on_machine;
using testing::ScaledValues;

ScaledValues train(const std::vector<Device>& devices, bool sharded) {
  manual_seed(7);
  testing::Mlp net;
  to(net, bfloat16);
  DataParallel model{net, {.devices = devices, .replicas = 4, .shard_optimizer = sharded}};
  optim::Adam optimizer(model.parameters(), {.lr = 1e-3, .stochastic_rounding = true});
  for (int step = 0; step < 5; ++step) {
    const Tensor x = randn({13, 6}).to(bfloat16), y = randint(0, 4, {13});
    cross_entropy(model(x), y.to(model.device())).backward();
    optimizer.step();
    optimizer.zero_grad();
  }
  ScaledValues values;
  testing::append(values, optimizer.state_dict());
  testing::append(values, model.state_dict());
  return values;
}

TEST_CASE("stochastic rounding: the same bits on any number of devices, with a sharded optimizer, too") {
  ScaledValues expected;
  for (const int gpus : {1, 2, 4})
    on_machine(gpus, [&](const std::vector<Device>& devices) {
      CAPTURE(devices.size());
      for (const bool sharded : {false, true}) {
        if (sharded && devices.size() == 1) continue;
        CAPTURE(sharded);
        const ScaledValues got = train(devices, sharded);
        if (expected.empty()) expected = got;
        CHECK(got == expected);
      }
    });
}

}  // namespace
}  // namespace miniparallel
