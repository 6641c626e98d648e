#include <miniparallel/miniparallel.h>

#include "machines.h"
#include "models.h"
#include "tests/support/scaled_training.h"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

// The scale of the loss of a DataParallel.

namespace miniparallel {
namespace {

using testing::on_machine;
using testing::ScaledValues;

ScaledValues train(const std::vector<Device>& devices, bool scales, bool sharded) {
  manual_seed(7);
  DataParallel model{testing::NormCnn{}, {.devices = devices, .replicas = 4, .shard_optimizer = sharded}};
  optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
  GradScaler scaler({.init_scale = 64, .growth_interval = 2});
  for (int step = 0; step < 6; ++step) {
    const bool overflow = step == 1 || step == 4;
    const Tensor x = randn({13, 1, 8, 8}), y = randint(0, 4, {13});
    for (int half = 0; half < 2; ++half) {  // gradients of two backwards
      Tensor loss = cross_entropy(model(x), y.to(model.device())) * 0.5;
      if (overflow && !scales) continue;
      if (overflow) loss = loss * std::numeric_limits<double>::infinity();
      (scales ? scaler.scale(loss) : loss).backward();
    }
    if (overflow && !scales) continue;
    if (scales) scaler.unscale_(optimizer);
    nn::utils::clip_grad_norm_(model.parameters(), 1.0);
    scales ? scaler.step(optimizer) : optimizer.step();
    if (scales) scaler.update();
    optimizer.zero_grad();
  }
  ScaledValues values;
  testing::append(values, optimizer.state_dict());
  testing::append(values, model.state_dict());
  return values;
}

TEST_CASE("GradScaler of a DataParallel: skipped steps leave no trace, on any number of devices") {
  for (const int gpus : {1, 2, 4})
    on_machine(gpus, [](const std::vector<Device>& devices) {
      CAPTURE(devices.size());
      CHECK(train(devices, true, false) == train(devices, false, false));
    });
}

TEST_CASE("GradScaler of a DataParallel: with a sharded optimizer, too") {
  for (const int gpus : {2, 4})
    on_machine(gpus, [](const std::vector<Device>& devices) {
      CAPTURE(devices.size());
      CHECK(train(devices, true, true) == train(devices, false, true));
    });
}

}  // namespace
}  // namespace miniparallel
