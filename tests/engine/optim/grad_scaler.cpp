#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"
#include "tests/support/scaled_training.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <vector>

// The scale of a loss, on the CPU.

namespace miniparallel {
namespace {

using testing::error_of;
using testing::ScaledValues;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<Tensor> make_parameters() {
  manual_seed(5);
  return {randn({3, 5}).requires_grad_(), randn({7}, {.dtype = float64}).requires_grad_()};
}

Tensor loss_of(const std::vector<Tensor>& parameters, int step) {
  return sum(square(parameters[0])) * (step + 1) + sum(sin(parameters[1])).to(float32);
}

TEST_CASE("GradScaler: with an overflow a step is as if it had been left out, with every optimizer") {
  for (const testing::OptimizerCase& each : testing::optimizer_cases()) {
    CAPTURE(each.name);
    const std::set<int> overflows{0, 3, 4};
    const auto train = [&](bool scales) {
      const std::vector<Tensor> parameters = make_parameters();
      const auto optimizer = each.make(parameters);
      GradScaler scaler({.init_scale = 1024, .growth_interval = 2});
      ScaledValues values;
      for (int step = 0; step < 9; ++step) {
        const bool overflow = overflows.contains(step);
        if (step == 5) optimizer->set_lr(optimizer->lr() / 3);
        if (!scales && overflow) continue;
        const Tensor loss = loss_of(parameters, step);
        if (scales) {
          scaler.scale(loss).backward();
          if (overflow) parameters[step % 2].set_grad(parameters[step % 2].grad() * kInfinity);
          scaler.unscale_(*optimizer);
          nn::utils::clip_grad_value_({parameters[0]}, 2.5);
          scaler.step(*optimizer);
          scaler.update();
        } else {
          loss.backward();
          nn::utils::clip_grad_value_({parameters[0]}, 2.5);
          optimizer->step();
        }
        optimizer->zero_grad();
      }
      CHECK(scaler.skipped_steps() == (scales ? 3 : 0));
      testing::append(values, optimizer->state_dict());
      for (const Tensor& parameter : parameters)
        values.push_back(parameter.detach().to(float64).to_vector<double>());
      return values;
    };
    CHECK(train(true) == train(false));
  }
}

TEST_CASE("GradScaler: the scale grows and falls as PyTorch's") {
  // torch.amp.GradScaler(init_scale=4, growth_factor=3, backoff_factor=0.25, growth_interval=3): by hand from
  // its definition.
  const std::vector<bool> overflows{false, false, false, false, true,  false,
                                    false, true,  true,  false, false, false};
  const std::vector<double> scales{4, 4, 12, 12, 3, 3, 3, 0.75, 0.1875, 0.1875, 0.1875, 0.5625};
  Tensor parameter = ones({3}).requires_grad_();
  optim::SGD optimizer({parameter}, {.lr = 0});
  GradScaler scaler({.init_scale = 4, .growth_factor = 3, .backoff_factor = 0.25, .growth_interval = 3});
  for (std::size_t i = 0; i < overflows.size(); ++i) {
    CAPTURE(i);
    sum(scaler.scale(sum(parameter) * (overflows[i] ? kInfinity : 1.0))).backward();
    scaler.step(optimizer);
    scaler.update();
    optimizer.zero_grad();
    CHECK(scaler.get_scale() == scales[i]);
  }
  CHECK(scaler.skipped_steps() == 3);
}

TEST_CASE("GradScaler: a scale that would not be finite stays") {
  Tensor parameter = ones({1}).requires_grad_();
  optim::SGD optimizer({parameter}, {.lr = 0});
  GradScaler scaler({.init_scale = 3e38, .growth_interval = 1});
  scaler.scale(sum(parameter) * 0).backward();
  scaler.step(optimizer);
  scaler.update();
  CHECK(scaler.get_scale() == doctest::Approx(3e38));
}

TEST_CASE("GradScaler: NaN is an overflow, too; gradients are divided once, whatever their size") {
  for (const std::int64_t n : {1, 5, 40000}) {
    for (const bool bad : {false, true}) {
      Tensor parameter = zeros({n}).requires_grad_();
      optim::SGD optimizer({parameter}, {.lr = 1});
      GradScaler scaler({.init_scale = 8});
      scaler.scale(sum(parameter)).backward();
      if (bad) {
        Tensor gradient = parameter.grad();
        gradient.narrow(0, n - 1, 1).fill_(std::numeric_limits<double>::quiet_NaN());
      }
      scaler.unscale_(optimizer);
      if (!bad) CHECK(equal(parameter.grad(), ones({n})));
      scaler.step(optimizer);
      scaler.update();
      CHECK(equal(parameter.detach(), full({n}, bad ? 0.0 : -1.0)));
      CHECK(scaler.skipped_steps() == (bad ? 1 : 0));
    }
  }
}

TEST_CASE(
    "GradScaler: gradients of several backwards are divided together, and two optimizers have one scale") {
  Tensor a = zeros({2}).requires_grad_(), b = zeros({2}).requires_grad_();
  optim::SGD first({a}, {.lr = 1}), second({b}, {.lr = 1});
  GradScaler scaler({.init_scale = 16});
  for (int i = 0; i < 2; ++i) scaler.scale(sum(a) + sum(b)).backward();
  b.set_grad(b.grad() * kInfinity);
  scaler.step(first);
  scaler.step(second);
  scaler.update();
  CHECK(equal(a.detach(), full({2}, -2.0)));
  CHECK(equal(b.detach(), zeros({2})));
  CHECK(scaler.get_scale() == 8);
  CHECK(scaler.skipped_steps() == 1);
}

TEST_CASE("GradScaler: parameters that take part now and then keep their own counts") {
  const auto train = [](bool scales) {
    std::vector<Tensor> parameters{ones({2}).requires_grad_(), ones({2}).requires_grad_()};
    optim::Adam optimizer(parameters, {.lr = 0.1});
    GradScaler scaler;
    for (int step = 0; step < 6; ++step) {
      const bool overflow = step == 1 || step == 2;
      if (!scales && overflow) continue;
      Tensor loss = sum(parameters[0] * parameters[0]);
      if (step != 2 && step != 4) loss = loss + sum(parameters[1] * parameters[1]);
      (scales ? scaler.scale(loss * (overflow ? kInfinity : 1.0)) : loss).backward();
      if (scales) {
        scaler.step(optimizer);
        scaler.update();
      } else {
        optimizer.step();
      }
      optimizer.zero_grad();
    }
    ScaledValues values;
    testing::append(values, optimizer.state_dict());
    return values;
  };
  CHECK(train(true) == train(false));
}

TEST_CASE("GradScaler: a scale can be set, which does not count for its growth") {
  Tensor parameter = zeros({2}).requires_grad_();
  optim::SGD optimizer({parameter}, {.lr = 1});
  GradScaler scaler({.init_scale = 8, .growth_interval = 3});
  const auto step = [&](double factor, std::optional<double> new_scale) {
    scaler.scale(sum(parameter) * factor).backward();
    scaler.step(optimizer);
    scaler.update(new_scale);
    optimizer.zero_grad();
    return scaler.get_scale();
  };
  const auto growth = [&] { return scaler.state_dict().at("growth_tracker").item<std::int64_t>(); };
  CHECK(step(1, {}) == 8);
  CHECK(step(1, 100) == 100);
  CHECK(growth() == 1);
  CHECK(step(kInfinity, 50) == 50);  // the step is skipped, the scale is not halved
  CHECK(growth() == 1);
  CHECK(scaler.skipped_steps() == 1);
  CHECK(equal(parameter.detach(), full({2}, -2.0)));
  CHECK(optimizer.state_dict().at("state.0.step").item<std::int64_t>() == 2);
  scaler.update(4);  // without a step
  CHECK(scaler.get_scale() == 4);
  CHECK(step(1, {}) == 4);
  CHECK(step(1, {}) == 8);
  for (const double wrong : {0.0, -1.0, kInfinity, 1e39, 1e-60}) CHECK_THROWS_AS(scaler.update(wrong), Error);
  CHECK(error_of([&] { scaler.update(0); }) ==
        "GradScaler::update: new_scale is 0; it must be above 0 and finite");
  CHECK(scaler.get_scale() == 8);
  GradScaler off({.enabled = false});
  off.update(3);
  CHECK(off.get_scale() == 1);
}

TEST_CASE("GradScaler: of a 16-bit loss the scaled one is float32") {
  const Tensor loss = full({}, 3.0, {.dtype = float16});
  GradScaler scaler;
  CHECK(scaler.scale(loss).dtype() == float32);
  CHECK(scaler.scale(loss).item() == 3 * 65536.0);
}

TEST_CASE("GradScaler: not enabled, everything is plain") {
  Tensor parameter = ones({2}).requires_grad_();
  optim::SGD optimizer({parameter}, {.lr = 1});
  GradScaler scaler({.enabled = false});
  const Tensor loss = sum(parameter);
  CHECK(scaler.scale(loss).is_same(loss));
  loss.backward();
  scaler.unscale_(optimizer);
  scaler.step(optimizer);
  scaler.update();
  CHECK(equal(parameter.detach(), zeros({2})));
  CHECK(scaler.get_scale() == 1);
}

TEST_CASE("GradScaler: a checkpoint continues it, and the optimizer, with the same bits") {
  const testing::TemporaryFolder folder;
  const auto train = [&](bool stops) {
    std::vector<Tensor> parameters = make_parameters();
    auto optimizer = std::make_unique<optim::Adam>(parameters, optim::AdamOptions{.lr = 0.1});
    auto scaler = std::make_unique<GradScaler>(GradScalerOptions{.init_scale = 4, .growth_interval = 2});
    for (int step = 0; step < 8; ++step) {
      if (stops && step == 4) {
        double unused = 0;
        save_checkpoint(folder / "run", {{"optimizer", *optimizer}, {"scaler", *scaler}, {"n", unused}});
        optimizer = std::make_unique<optim::Adam>(parameters);
        scaler = std::make_unique<GradScaler>();
        load_checkpoint(folder / "run", {{"optimizer", *optimizer}, {"scaler", *scaler}, {"n", unused}});
        CHECK(scaler->options().growth_interval == 2);
      }
      scaler->scale(loss_of(parameters, step) * (step == 1 || step == 5 ? kInfinity : 1.0)).backward();
      scaler->step(*optimizer);
      scaler->update();
      optimizer->zero_grad();
    }
    ScaledValues values;
    testing::append(values, optimizer->state_dict());
    testing::append(values, scaler->state_dict());
    return values;
  };
  CHECK(train(true) == train(false));
}

TEST_CASE("GradScaler: what is called out of order is an error") {
  Tensor parameter = ones({2}).requires_grad_();
  optim::SGD optimizer({parameter}, {.lr = 1});
  GradScaler scaler;
  CHECK(error_of([&] { scaler.update(); }) ==
        "GradScaler: update() without a step; call step(optimizer) or unscale_(optimizer) first");
  CHECK(error_of([&] { scaler.step(optimizer); }) ==
        "GradScaler: got gradients that are not scaled; call backward on scale(loss)");
  const Tensor scaled = scaler.scale(sum(parameter));
  CHECK(error_of([&] { scaler.unscale_(optimizer); }) ==
        "GradScaler: no parameter of SGD has a gradient; call backward on scale(loss) first");
  scaled.backward();
  scaler.unscale_(optimizer);
  CHECK(error_of([&] { scaler.unscale_(optimizer); }) ==
        "GradScaler: unscale_() has already been called on this optimizer since the last update()");
  scaler.step(optimizer);
  CHECK(error_of([&] { scaler.step(optimizer); }) ==
        "GradScaler: step() has already been called since the last update()");
  CHECK(error_of([&] { scaler.unscale_(optimizer); }) ==
        "GradScaler: unscale_() is being called after step()");
  CHECK(error_of([&] { optimizer.state_dict(); }) ==
        "SGD: used between step and update of a GradScaler, before it is known whether the step was skipped; "
        "call update first");
  scaler.update();
  CHECK(optimizer.state_dict().at("state.0.step").item() == 1);
  CHECK(error_of([] { GradScaler({.growth_factor = 1}); }) ==
        "GradScaler: growth_factor is 1; it must be above 1");
  CHECK(error_of([] { GradScaler({.backoff_factor = 1}); }) ==
        "GradScaler: backoff_factor is 1; it must be between 0 and 1");
  CHECK(error_of([&] { scaler.load_state_dict({{"scale", ones({})}}); })
            .starts_with("GradScaler::load_state_dict: the state does not fit; pass that of a GradScaler:\n"
                         "  missing: backoff_factor"));
  CHECK(scaler.get_scale() == 65536);
  Tensor half = ones({2}, {.dtype = float16}).requires_grad_();
  optim::SGD of_half({half}, {.lr = 1});
  sum(half).backward();
  CHECK(
      error_of([&] { scaler.unscale_(of_half); }) ==
      "GradScaler: a gradient is float16; keep parameters in float32, and compute in 16 bits under Autocast");
}

}  // namespace
}  // namespace miniparallel
