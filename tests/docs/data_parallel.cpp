#include <miniparallel/miniparallel.h>

#include "captured.h"

#include <doctest/doctest.h>

#include <iostream>
#include <optional>

// The C++ of docs/data-parallel.md, on whatever devices there are.

using namespace miniparallel;

namespace {

struct Net {
  nn::Linear fc{4, 3};
  Tensor operator()(const Tensor& x) { return fc(x); }
};

struct NetWithMask {
  nn::Linear fc{4, 3};
  Tensor operator()(const Tensor& x, double scale, const Tensor& mask) { return fc(x) * scale * mask; }
};

const std::vector<Device> devices(3, Device::cpu());

}  // namespace

TEST_CASE("docs: a model on all GPUs") {
  const Tensor images = randn({6, 4}), labels = randint(0, 3, {6});
#include "snippets/data-parallel/whole.inc"
  CHECK(loss.item() > 0);
}

TEST_CASE("docs: arguments and results of a model on several GPUs") {
  DataParallel model{NetWithMask{}, {.devices = devices}};
  const Tensor x = randn({6, 4}), mask = ones({3});
#include "snippets/data-parallel/arguments.inc"
  CHECK(y.shape() == Shape{6, 3});
  CHECK(parts.size() == 3);
}

TEST_CASE("docs: the largest batch that fits") {
  DataParallel model{Net{}, {.devices = devices}};
  const Tensor x = randn({6, 4}), y = randint(0, 3, {6});
  const testing::Captured out(std::cout);
#include "snippets/data-parallel/batch.inc"
  CHECK(out.text() == "1024 rows on each device, 1024 in all\n");
}

TEST_CASE("docs: what a wrapper tells") {
  DataParallel model{Net{}, {.devices = devices}};
  const testing::Captured out(std::cout);
#include "snippets/data-parallel/describe.inc"
  CHECK(out.text().starts_with("DataParallel: 3 replicas on 1 device, outputs on cpu\n"));
}

TEST_CASE("docs: the verbs by hand") {
  NetWithMask net;
  const Tensor x = randn({6, 4}), mask = ones({3});
#include "snippets/data-parallel/verbs.inc"
  CHECK(allclose(all, net(x, 0.5, mask), 1e-5, 1e-6));
}

TEST_CASE("docs: gradients of several batches on several GPUs") {
  Net net, alone = clone(net);
  DataParallel model{net, {.devices = devices}};
  optim::SGD optimizer(model.parameters(), {.lr = 0.1}), serial(parameters(alone), {.lr = 0.1});
  const int parts = 3;
  std::vector<Tensor> x, y;
  for (int part = 0; part < parts; ++part) {
    x.push_back(randn({5, 4}));
    y.push_back(randint(0, 3, {5}));
    (cross_entropy(alone(x[part]), y[part]) / parts).backward();
  }
  serial.step();
#include "snippets/data-parallel/no_sync.inc"
  CHECK(allclose(net.fc.weight, alone.fc.weight, 1e-5, 1e-6));
}

TEST_CASE("docs: batch normalisation over the whole batch") {
  nn::BatchNorm1d net(3), alone = clone(net);
  const Tensor x = randn({7, 3});
#include "snippets/data-parallel/sync.inc"
  CHECK(allclose(model(x), alone(x), 1e-5, 1e-6));
}

TEST_CASE("docs: states of an optimizer that the GPUs divide") {
  Net net;
#include "snippets/data-parallel/shard_optimizer.inc"
  cross_entropy(model(randn({6, 4})), randint(0, 3, {6})).backward();
  optimizer.step();
  CHECK(optimizer.state_dict().contains("state.0.exp_avg"));
}

TEST_CASE("docs: a fixed number of replicas") {
  Net net;
#include "snippets/data-parallel/bits.inc"
  CHECK(model.devices().size() == 8);
}
