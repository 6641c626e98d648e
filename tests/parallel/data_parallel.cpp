#include <miniparallel/parallel/data_parallel.h>

#include "engine/device/accelerator.h"
#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <memory>

// DataParallel against the model alone: outputs, gradients, steps.

namespace miniparallel {
namespace {

using testing::on_machine;
using testing::on_machines;

struct Line {
  nn::Linear fc{2, 1};
  Tensor operator()(const Tensor& x) { return fc(x); }
};

Line golden_line(DType dtype) {
  Line line;
  const NoGradGuard no_grad;
  line.fc.weight.copy_(tensor({0.5, -0.25}, {1, 2}));
  line.fc.bias.copy_(tensor({1.0}));
  to(line, dtype);
  return line;
}

struct Golden {
  int rows;
  double loss, dw0, dw1, db;
};

void check_golden(const std::vector<Device>& devices, DType dtype, const Golden& golden, double tolerance) {
  DataParallel model{golden_line(dtype), {.devices = devices}};
  const Tensor x = arange(2 * golden.rows).to(dtype).view({golden.rows, 2});
  const Tensor y = arange(golden.rows).to(dtype).view({golden.rows, 1});
  const Tensor loss = mse_loss(model(x), y.to(model.device()));
  loss.backward();
  const auto dw = model->fc.weight.grad().to_vector<double>();
  CHECK(std::abs(loss.item() - golden.loss) <= tolerance);
  CHECK(std::abs(dw[0] - golden.dw0) <= tolerance);
  CHECK(std::abs(dw[1] - golden.dw1) <= tolerance);
  CHECK(std::abs(model->fc.bias.grad().item() - golden.db) <= tolerance);
}

TEST_CASE(
    "data_parallel: the gradients of a mean loss are those of one device, whatever the number of GPUs") {
  on_machines([](const std::vector<Device>& devices) {
    check_golden(devices, float64, {10, 4.3125, -43.5, -46.5, -3}, 1e-13);
    check_golden(devices, float32, {10, 4.3125, -43.5, -46.5, -3}, 5e-6);
    check_golden(devices, float32, {16, 14.3125, -132.5, -138.5, -6}, 0);
    check_golden(devices, float64, {16, 14.3125, -132.5, -138.5, -6}, 0);
  });
}

/// Outputs, input gradient and parameter gradients of the model alone and of the wrapper, on `rows` rows.
template <class Net>
void compare(const std::vector<Device>& devices, std::int64_t rows, DataParallelOptions options = {}) {
  CAPTURE(rows);
  manual_seed(7);
  Net net;
  to(net, float64);
  Net alone = clone(net);
  options.devices = devices;
  DataParallel<Net> model(net, options);
  const Tensor x = Net::batch(rows).requires_grad_(), same = x.detach().clone().requires_grad_();
  const Tensor target = randn({rows, 4}, {.dtype = float64});
  const RandomState random = random_state();
  const Tensor expected = alone(x);
  mse_loss(expected, target).backward();
  const RandomState after = random_state();
  set_random_state(random);
  const Tensor y = model(same);
  CHECK(y.device() == model.device());
  CHECK(random_state() == after);
  mse_loss(y, target.to(model.device())).backward();
  CHECK(allclose(y.cpu(), expected, 1e-11, 1e-11));
  CHECK(same.grad().device() == same.device());
  CHECK(allclose(same.grad(), x.grad(), 1e-11, 1e-11));
  const NamedTensors ours = model.named_parameters(), theirs = named_parameters(alone);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    CAPTURE(ours[i].first);
    REQUIRE(ours[i].second.grad().defined() == theirs[i].second.grad().defined());
    if (ours[i].second.grad().defined())
      CHECK(allclose(ours[i].second.grad().cpu(), theirs[i].second.grad(), 1e-11, 1e-11));
  }
}

TEST_CASE("data_parallel: an MLP, for every number of rows") {
  on_machines([](const std::vector<Device>& devices) {
    for (const std::int64_t rows : {1, 2, 5, 8, 13}) compare<testing::Mlp>(devices, rows);
  });
}

TEST_CASE("data_parallel: dropout draws the same numbers for every number of GPUs") {
  on_machines([](const std::vector<Device>& devices) {
    for (const std::int64_t rows : {1, 7, 16}) compare<testing::DropoutMlp>(devices, rows);
  });
}

TEST_CASE("data_parallel: a transformer block") {
  on_machines([](const std::vector<Device>& devices) { compare<testing::Transformer>(devices, 9); });
}

TEST_CASE("data_parallel: tied, frozen, unused and conditional parameters") {
  on_machines([](const std::vector<Device>& devices) { compare<testing::Odd>(devices, 11 * 3); });
}

TEST_CASE("data_parallel: several replicas on each GPU") {
  for (const int gpus : {1, 2, 3})
    on_machine(gpus, [](const std::vector<Device>& devices) {
      for (const int replicas : {2, 5, 8}) {
        compare<testing::Mlp>(devices, 13, {.replicas = replicas});
        compare<testing::Odd>(devices, 33, {.replicas = replicas});
      }
    });
}

TEST_CASE("data_parallel: other splits and places of the outputs") {
  on_machine(4, [](const std::vector<Device>& devices) {
    compare<testing::Mlp>(devices, 10, {.split = Split::torch_chunk});
    compare<testing::Mlp>(devices, 10, {.split = Split::sizes({1, 0, 6, 3})});
    compare<testing::Mlp>(devices, 10, {.min_rows = 4});
    compare<testing::Mlp>(devices, 10, {.dim = -2});
    compare<testing::Mlp>(devices, 10, {.output_device = devices[2]});
    compare<testing::Mlp>(devices, 10, {.output_device = Device::cpu()});
  });
}

TEST_CASE("data_parallel: a batch without rows gives zero gradients") {
  on_machines([](const std::vector<Device>& devices) {
    DataParallel model{testing::Mlp{}, {.devices = devices}};
    const Tensor y = model(zeros({0, 6}));
    CHECK(y.shape() == Shape{0, 4});
    y.sum().backward();
    for (const Tensor& parameter : model.parameters())
      CHECK(equal(parameter.grad().cpu(), zeros(parameter.shape())));
  });
}

TEST_CASE("data_parallel: an optimizer made before the wrapper trains it, and so does one made after") {
  on_machines([](const std::vector<Device>& devices) {
    for (const bool before : {true, false}) {
      manual_seed(3);
      testing::Mlp net;
      to(net, float64);
      testing::Mlp alone = clone(net);
      optim::SGD early(parameters(net), {.lr = 0.1, .momentum = 0.9}),
          serial(parameters(alone), {.lr = 0.1, .momentum = 0.9});
      DataParallel model{net, {.devices = devices}};
      optim::SGD late(model.parameters(), {.lr = 0.1, .momentum = 0.9});
      optim::SGD& optimizer = before ? early : late;
      for (int step = 0; step < 4; ++step) {
        const Tensor x = testing::Mlp::batch(10);
        mean(square(model(x))).backward();
        optimizer.step();
        optimizer.zero_grad();
        mean(square(alone(x))).backward();
        serial.step();
        serial.zero_grad();
        for (std::size_t i = 0; i < parameters(net).size(); ++i)
          CHECK(allclose(parameters(net)[i].cpu(), parameters(alone)[i], 1e-11, 1e-11));
      }
    }
  });
}

TEST_CASE("data_parallel: rows along another dimension") {
  struct Columns {
    nn::Linear fc{6, 4};
    Tensor operator()(const Tensor& x) { return fc(x.t()).t(); }
  };
  on_machines([](const std::vector<Device>& devices) {
    for (const int dim : {1, -1}) {
      Columns net;
      to(net, float64);
      Columns alone = clone(net);
      DataParallel model{net, {.devices = devices, .dim = dim}};
      const Tensor x = randn({6, 11}, {.dtype = float64}), target = randn({4, 11}, {.dtype = float64});
      const Tensor y = model(x), expected = alone(x);
      CHECK(allclose(y.cpu(), expected, 1e-11, 1e-11));
      mse_loss(y, target.to(model.device())).backward();
      mse_loss(expected, target).backward();
      CHECK(allclose(model->fc.weight.grad().cpu(), alone.fc.weight.grad(), 1e-11, 1e-11));
      CHECK(model.counters().replicas_used == static_cast<std::int64_t>(devices.size()));
    }
  });
}

TEST_CASE("data_parallel: numbers of replicas that run, and shapes of numbers that they return") {
  struct Sums {
    nn::Linear fc{3, 2};
    Tensor operator()(const Tensor& x) { return fc(x).sum(); }
  };
  struct Draws {
    nn::Linear fc{3, 2};
    Tensor operator()(int rows) { return fc(ones({rows, 3}, {.device = fc.weight.device()})); }
  };
  on_machines([](const std::vector<Device>& devices) {
    const auto count = static_cast<std::int64_t>(devices.size());
    DataParallel model{Sums{}, {.devices = devices}};
    const auto is_direct = devices.size() == 1;
    CHECK(model(zeros({16, 3})).shape() == (is_direct ? Shape{} : Shape{count}));
    CHECK(model.counters().replicas_used == count);
    for (const std::int64_t rows : {0, 1}) {
      CHECK(model(zeros({rows, 3})).shape() == (is_direct ? Shape{} : Shape{1}));
      CHECK(model.counters().replicas_used == 1);
    }
    DataParallel draws{Draws{}, {.devices = devices}};  // no tensor, so every replica runs
    CHECK(draws(2).shape() == Shape{2 * count, 2});
    CHECK(draws.counters().replicas_used == count);
  });
}

TEST_CASE("data_parallel: one replica is the model itself, its outputs where they are wanted") {
  on_machine(2, [](const std::vector<Device>& devices) {
    testing::Mlp net;
    DataParallel model{net, {.devices = {devices[0]}, .output_device = devices[1]}};
    CHECK(model->first.weight.is_same(net.first.weight));
    const Tensor y = model(zeros({5, 6}));
    CHECK(y.device() == devices[1]);
    CHECK(model.counters().bytes_refreshed == 0);
    y.sum().backward();
    CHECK(net.first.weight.grad().device() == devices[0]);
  });
}

TEST_CASE("data_parallel: the gradient of an input arrives where the input is") {
  on_machines([](const std::vector<Device>& devices) {
    testing::Mlp net;
    testing::Mlp alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = randn({9, 6}).requires_grad_(),
                 there = x.detach().clone().to(devices.back()).requires_grad_();
    alone(x).sum().backward();
    model(there).sum().backward();
    CHECK(there.grad().device() == devices.back());
    CHECK(allclose(there.grad().cpu(), x.grad(), 1e-5, 1e-5));
  });
}

TEST_CASE("data_parallel: replicas have the caller's default dtype and streams") {
  struct Makes {
    nn::Linear fc{3, 2};
    StreamKind kind = StreamKind::compute;
    Tensor operator()(const Tensor& x) {
      if (!x.device().is_cpu())
        CHECK(stream(x.device()) == accelerator(x.device()).stream(x.device().index, kind));
      return zeros({x.size(0)});
    }
  };
  on_machines([](const std::vector<Device>& devices) {
    DataParallel model{Makes{}, {.devices = devices}};
    set_default_dtype(float64);
    CHECK(model(zeros({8, 3})).dtype() == float64);
    set_default_dtype(float32);
    CHECK(model(zeros({8, 3})).dtype() == float32);
    if (devices[0].is_cpu()) return;
    std::vector<std::unique_ptr<StreamScope>> scopes;
    for (const Device device : devices)
      scopes.push_back(std::make_unique<StreamScope>(device, StreamKind::communication));
    model->kind = StreamKind::communication;
    model(zeros({8, 3}));
    while (!scopes.empty()) scopes.pop_back();
  });
}

TEST_CASE("data_parallel: a summary shows the whole batch") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{testing::Mlp{}, {.devices = devices}};
    const std::string text = summary(model, {5, 6});
    CHECK(text == summary(model.model(), {5, 6}));
    CHECK(text.find("[5, 16]") != std::string::npos);
  });
}

}  // namespace
}  // namespace miniparallel
