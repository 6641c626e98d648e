#include <miniparallel/miniparallel.h>

#include "nets.h"
#include "simulated.h"
#include "tests/support/scaled_training.h"

#include <limits>
#include <set>
#include <string>
#include <vector>

// The scale of a loss on a GPU, which decides by itself which steps are skipped.

namespace miniparallel {
namespace {

using testing::ScaledValues;
using testing::Simulated;

const Device gpu = Device::cuda(0);
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Way {
  bool scales, captures;
};

/// Losses are multiplied by what the batch brings along, so that a captured step overflows now and then.
ScaledValues train(const testing::OptimizerCase& of, Way way, int gpus, bool waits) {
  const Simulated machine(gpus);
  manual_seed(3);
  std::vector<Device> devices;
  for (int i = 0; i < gpus; ++i) devices.push_back(Device::cuda(i));
  DataParallel model{testing::Mlp{}, {.devices = devices, .replicas = 2}};
  const auto optimizer = of.make(model.parameters());
  GradScaler scaler({.init_scale = 256, .growth_interval = 3});
  const std::set<int> overflows{0, 4, 5, 8};
  const auto step = [&](const Tensor& x, const Tensor& y, const Tensor& factor) {
    const Tensor loss = cross_entropy(model(x), y) * factor;
    (way.scales ? scaler.scale(loss) : loss).backward();
    if (way.scales) scaler.unscale_(*optimizer);
    nn::utils::clip_grad_norm_(model.parameters(), 0.5);
    if (way.scales) {
      scaler.step(*optimizer);
      scaler.update();
    } else {
      optimizer->step();
    }
    optimizer->zero_grad();
  };
  auto captured = capture(step);
  for (int i = 0; i < 11; ++i) {
    const Tensor x = testing::Mlp::inputs().to(gpu), y = testing::Mlp::targets().to(gpu);
    const Tensor factor = full({}, overflows.contains(i) ? kInfinity : 1.0, {.device = gpu});
    if (!way.scales && overflows.contains(i)) {  // draws what the step would have drawn
      const RandomState before = random_state();
      set_random_state({before.seed, before.ordinal + 1});
      continue;
    }
    if (i == 7) optimizer->set_lr(optimizer->lr() / 2);
    if (way.captures)
      captured(x, y, factor);
    else
      step(x, y, factor);
    if (waits) synchronize(gpu);
  }
  if (way.captures) {
    CHECK(captured.counters().reason == "");
    CHECK(captured.counters().replayed == 8);
  }
  CHECK(scaler.skipped_steps() == (way.scales ? 4 : 0));
  if (way.scales) CHECK(scaler.get_scale() == 32);
  ScaledValues values;
  testing::append(values, optimizer->state_dict());
  testing::append(values, model.state_dict());
  return values;
}

TEST_CASE("GradScaler on a GPU: skipped steps leave no trace, with every optimizer, captured or not") {
  for (const testing::OptimizerCase& each : testing::optimizer_cases()) {
    CAPTURE(each.name);
    const ScaledValues expected = train(each, {.scales = false, .captures = false}, 1, false);
    for (const bool captures : {false, true})
      for (const bool waits : {false, true}) {
        CAPTURE(captures);
        CAPTURE(waits);
        CHECK(train(each, {.scales = true, .captures = captures}, 1, waits) == expected);
      }
  }
}

TEST_CASE("GradScaler on several GPUs: skipped steps leave no trace, captured or not") {
  const testing::OptimizerCase adam = testing::optimizer_cases()[2];
  const ScaledValues expected = train(adam, {.scales = false, .captures = false}, 2, false);
  for (const bool captures : {false, true})
    CHECK(train(adam, {.scales = true, .captures = captures}, 2, false) == expected);
}

TEST_CASE("GradScaler: three to five launches more in a steady step, and no wait, copy or allocation") {
  const auto counts = [](bool scales, bool of_classes) {
    const Simulated machine;
    manual_seed(3);
    testing::Mlp net;
    to(net, gpu);
    optim::Adam optimizer(parameters(net));
    GradScaler scaler;
    const Tensor x = testing::Mlp::inputs().to(gpu), y = testing::Mlp::targets().to(gpu);
    simulator::Counters work;
    for (int step = 0; step < 8; ++step) {
      const simulator::Counters before = simulator::counters();
      {
        const Tensor loss = of_classes ? cross_entropy(net(x), y) : mean(square(net(x)));
        (scales ? scaler.scale(loss) : loss).backward();
        scales ? scaler.step(optimizer) : optimizer.step();
        if (scales) scaler.update();
        optimizer.zero_grad();
      }
      work = simulator::counters() - before;
      synchronize(gpu);
      if (step < 3) continue;
      CHECK(work.host_synchronizations == 0);
      CHECK(work.allocations == 0);
      CHECK(work.copies == 0);
      CHECK(work.pinned_allocations == 0);
    }
    return work.kernels;
  };
  CHECK(counts(true, false) - counts(false, false) == 3);
  // Which saves writing the 1 of the loss; a small cross_entropy would not have needed that.
  CHECK(counts(true, true) - counts(false, true) == 5);
}

TEST_CASE("GradScaler: a host that runs far ahead waits, and counts right") {
  for (const bool captures : {false, true}) {
    const Simulated machine;
    Tensor parameter = ones({4}, {.device = gpu}).requires_grad_();
    optim::Adam optimizer({parameter});
    GradScaler scaler({.init_scale = 4});
    const auto step = [&](const Tensor& factor) {
      scaler.scale(sum(parameter) * factor).backward();
      scaler.step(optimizer);
      scaler.update();
      optimizer.zero_grad();
    };
    auto captured = capture(step);
    for (int i = 0; i < 100; ++i) {
      const Tensor factor = full({}, i % 10 == 9 ? kInfinity : 1.0, {.device = gpu});
      captures ? captured(factor) : step(factor);
    }
    CHECK(optimizer.state_dict().at("state.0.step").item() == 90);
    CHECK(scaler.skipped_steps() == 10);
  }
}

TEST_CASE("GradScaler: parameters of several dtypes and GPUs are stepped together, or not at all") {
  const auto train = [](bool scales) {
    const Simulated machine(3);
    std::vector<Tensor> parameters;
    for (const Device device : {Device::cuda(1), Device::cuda(0), Device::cuda(2)})
      for (const DType dtype : {float32, float64})
        parameters.push_back(ones({5}, {.dtype = dtype, .device = device}).requires_grad_());
    optim::Adam optimizer(parameters, {.lr = 0.1});
    GradScaler scaler({.init_scale = 4});
    for (int step = 0; step < 6; ++step) {
      const bool overflow = step == 1 || step == 4;
      if (overflow && !scales) continue;
      Tensor loss = zeros({}, {.device = gpu});
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        const double factor = overflow && i == static_cast<std::size_t>(step) ? kInfinity : 1.0;
        loss = loss + sum(parameters[i] * parameters[i]).to(gpu, float32) * factor;
      }
      (scales ? scaler.scale(loss) : loss).backward();
      scales ? scaler.step(optimizer) : optimizer.step();
      if (scales) scaler.update();
      optimizer.zero_grad();
    }
    ScaledValues values;
    testing::append(values, optimizer.state_dict());
    return values;
  };
  CHECK(train(true) == train(false));
}

TEST_CASE("GradScaler: more gradients and rules than the argument of a kernel holds") {
  const auto train = [](DType dtype, bool scales) {
    const Simulated machine;
    std::vector<optim::ParamGroup<optim::AdamOptions>> groups;
    std::vector<Tensor> parameters;
    for (int i = 0; i < 160; ++i) {
      parameters.push_back(ones({3}, {.dtype = dtype, .device = gpu}).requires_grad_());
      groups.push_back({{parameters.back()}, {.lr = 0.01 * (i + 1)}});
    }
    optim::Adam optimizer(groups);
    GradScaler scaler({.init_scale = 4});
    for (int step = 0; step < 4; ++step) {
      if (step == 2 && !scales) continue;
      Tensor loss = zeros({}, {.dtype = dtype, .device = gpu});
      for (const Tensor& parameter : parameters) loss = loss + sum(parameter * parameter);
      loss = loss * (step == 2 ? kInfinity : 1.0);
      (scales ? scaler.scale(loss) : loss).backward();
      scales ? scaler.step(optimizer) : optimizer.step();
      if (scales) scaler.update();
      optimizer.zero_grad();
    }
    ScaledValues values;
    testing::append(values, optimizer.state_dict());
    return values;
  };
  for (const DType dtype : {float32, float64}) CHECK(train(dtype, true) == train(dtype, false));
}

TEST_CASE("GradScaler: a scale that is set after a step holds from the next one on, captured or not") {
  const auto train = [](bool captures, int gpus) {
    const Simulated machine(gpus);
    manual_seed(3);
    std::vector<Device> devices;
    for (int i = 0; i < gpus; ++i) devices.push_back(Device::cuda(i));
    DataParallel model{testing::Mlp{}, {.devices = devices, .replicas = 2}};
    optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
    GradScaler scaler({.init_scale = 64, .growth_interval = 4});
    const auto step = [&](const Tensor& x, const Tensor& y) {
      const Tensor loss = cross_entropy(model(x), y), scaled = scaler.scale(loss);
      scaled.backward();
      scaler.step(optimizer);
      scaler.update();
      optimizer.zero_grad();
      return scaled.detach() / loss.detach();
    };
    auto captured = capture(step);
    ScaledValues values;
    std::vector<double> scales;
    for (int i = 0; i < 11; ++i) {
      const Tensor x = testing::Mlp::inputs().to(gpu), y = testing::Mlp::targets().to(gpu);
      scales.push_back((captures ? captured(x, y) : step(x, y)).item());
      if (i == 5) scaler.update(8);
      if (i == 8) scaler.update(1024);
    }
    if (captures) {
      CHECK(captured.counters().reason == "");
      CHECK(captured.counters().replayed == 8);
    }
    // The scale doubles after four steps, whether it was set meanwhile or not.
    const std::vector<double> expected{64, 64, 64, 64, 128, 128, 8, 8, 16, 1024, 1024};
    REQUIRE(scales.size() == expected.size());
    for (std::size_t i = 0; i < scales.size(); ++i) CHECK(scales[i] == doctest::Approx(expected[i]));
    CHECK(scaler.get_scale() == 1024);
    testing::append(values, optimizer.state_dict());
    testing::append(values, model.state_dict());
    return values;
  };
  for (const int gpus : {1, 2}) CHECK(train(true, gpus) == train(false, gpus));
}

TEST_CASE("GradScaler: a step that sets the scale is no graph, and says what to do") {
  const auto train = [](bool captures) {
    const Simulated machine;
    const Tensor parameter = ones({4}, {.device = gpu}).requires_grad_();
    optim::Adam optimizer({parameter}, {.lr = 0.1});
    GradScaler scaler({.init_scale = 4});
    double scale = 4;
    const auto step = [&](const Tensor& factor) {
      const Tensor loss = scaler.scale(sum(parameter * factor));
      loss.backward();
      scaler.step(optimizer);
      scaler.update(scale *= 3);
      optimizer.zero_grad();
    };
    auto captured = capture(step);
    for (int i = 0; i < 6; ++i) {
      const Tensor factor = full({}, i == 2 ? kInfinity : 1.0, {.device = gpu});
      captures ? captured(factor) : step(factor);
      CHECK(scaler.get_scale() == scale);
    }
    CHECK(scaler.skipped_steps() == 1);
    if (captures) {
      CHECK(captured.counters().replayed == 0);
      CHECK(captured.counters().reason.find("call update(new_scale) after the step") != std::string::npos);
    }
    ScaledValues values;
    testing::append(values, optimizer.state_dict());
    values.push_back(parameter.detach().to_vector<double>());
    return values;
  };
  CHECK(train(true) == train(false));
}

}  // namespace
}  // namespace miniparallel
