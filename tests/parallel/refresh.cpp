#include <miniparallel/parallel/data_parallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <set>

// Parameters of several buckets, which arrive while the replicas run. (simulated/overlapped_refresh.cpp shows
// that they do.)

namespace miniparallel {
namespace {

using testing::Deep;
using testing::on_machine;
using testing::on_machines;

std::vector<std::vector<float>> values_of(const std::vector<Tensor>& tensors) {
  std::vector<std::vector<float>> values;
  for (const Tensor& tensor : tensors) values.push_back(tensor.to_vector<float>());
  return values;
}

/// The parameters after some steps of `replicas` replicas, some of them after writes from outside.
std::vector<std::vector<float>> train(const std::vector<Device>& devices) {
  manual_seed(11);
  DataParallel model{Deep{}, {.devices = devices, .replicas = 4}};
  optim::Adam optimizer(model.parameters(), {.lr = 1e-3});
  for (int step = 0; step < 3; ++step) {
    const Tensor x = Deep::batch(9), y = randn({9, 64});
    mse_loss(model(x), y.to(model.device())).backward();
    optimizer.step();
    optimizer.zero_grad();
    const NoGradGuard no_grad;
    if (step == 1) model->last.bias.add_(1);  // alone: its bucket is still the second
    model(x);
    model->first.weight.mul_(0.5);  // while it may still be on its way
  }
  return values_of(model.parameters());
}

TEST_CASE("refresh: the same bits as where nothing is sent, whatever arrives when") {
  on_machines([&](const std::vector<Device>& devices) {
    if (devices.size() < 8) CHECK(train(devices) == train({devices[0]}));
  });
}

TEST_CASE("refresh: sends all, nothing, a bucket's stale parameters, the trained ones") {
  on_machine(3, [](const std::vector<Device>& devices) {
    Deep net;
    DataParallel model{net, {.devices = devices}};
    const auto others = static_cast<std::int64_t>(
        std::set<int>{devices[0].index, devices[1].index, devices[2].index}.size() - 1);
    const Tensor x = Deep::batch(6);
    const auto sent = [&] {
      model(x);
      return model.counters().bytes_refreshed;
    };
    CHECK(sent() == others * Deep::kBytes);
    CHECK(sent() == 0);
    {
      const NoGradGuard no_grad;
      net.wide.bias.fill_(1);
    }
    CHECK(sent() == others * 4 * 8192);
    net.first.weight.requires_grad_(false);
    optim::SGD optimizer(model.parameters(), {.lr = 0.1});
    model(x).sum().backward();
    optimizer.step();
    CHECK(sent() == others * (Deep::kBytes - 4 * 64 * 64));
  });
}

TEST_CASE("refresh: a conversion and a checkpoint are seen by all replicas") {
  on_machine(3, [](const std::vector<Device>& devices) {
    Deep net;
    Deep alone = clone(net), other;
    DataParallel model{net, {.devices = devices}};
    const Tensor x = Deep::batch(7);
    CHECK(allclose(model(x).cpu(), alone(x), 1e-4, 1e-5));
    model.to(float64);
    CHECK(allclose(model(x.to(float64)).cpu().to(float32), alone(x), 1e-4, 1e-5));
    model.to(float32);
    model.load_state_dict(state_dict(other));
    CHECK(allclose(model(x).cpu(), other(x), 1e-4, 1e-5));
  });
}

}  // namespace
}  // namespace miniparallel
