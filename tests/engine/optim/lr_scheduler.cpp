#include <miniparallel/error.h>
#include <miniparallel/optim.h>

#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>

namespace miniparallel {
namespace {

using namespace optim;
using Schedulers = std::vector<std::unique_ptr<LRScheduler>>;

template <class Scheduler, class Options>
void add(Schedulers& list, Optimizer& optimizer, const Options& options) {
  list.push_back(std::make_unique<Scheduler>(optimizer, options));
}

Schedulers make(const std::string& schedule, Optimizer& o) {
  Schedulers list;
  if (schedule == "step") add<StepLR>(list, o, StepLROptions{.step_size = 4, .gamma = 0.5});
  if (schedule == "cosine")
    add<CosineAnnealingLR>(list, o, CosineAnnealingLROptions{.t_max = 8, .eta_min = 0.001});
  if (schedule == "cosine_to_zero") add<CosineAnnealingLR>(list, o, CosineAnnealingLROptions{.t_max = 10});
  if (schedule == "linear") add<LinearLR>(list, o, LinearLROptions{.start_factor = 0.1, .total_iters = 6});
  if (schedule == "linear_down")
    add<LinearLR>(list, o, LinearLROptions{.start_factor = 1, .end_factor = 0.25, .total_iters = 9});
  if (schedule == "warmup_and_step") {
    add<LinearLR>(list, o, LinearLROptions{.start_factor = 0.2, .total_iters = 4});
    add<StepLR>(list, o, StepLROptions{.step_size = 5, .gamma = 0.3});
  }
  if (schedule == "multi_step")
    add<MultiStepLR>(list, o, MultiStepLROptions{.milestones = {3, 8, 8, 20}, .gamma = 0.5});
  if (schedule == "exponential") add<ExponentialLR>(list, o, ExponentialLROptions{.gamma = 0.9});
  if (schedule == "constant") add<ConstantLR>(list, o, ConstantLROptions{.factor = 0.25, .total_iters = 6});
  if (schedule == "polynomial")
    add<PolynomialLR>(list, o, PolynomialLROptions{.total_iters = 12, .power = 1.5});
  if (schedule == "lambda")
    add<LambdaLR>(list, o, [](std::int64_t count) { return 1 / static_cast<double>(1 + count); });
  if (schedule == "multiplicative")
    add<MultiplicativeLR>(list, o, [](std::int64_t count) { return 1 - 0.01 * static_cast<double>(count); });
  if (schedule == "restarts")
    add<CosineAnnealingWarmRestarts>(list, o, CosineAnnealingWarmRestartsOptions{.t_0 = 7, .eta_min = 0.001});
  if (schedule == "longer_restarts")
    add<CosineAnnealingWarmRestarts>(list, o, CosineAnnealingWarmRestartsOptions{.t_0 = 3, .t_mult = 2});
  if (schedule == "one_cycle") add<OneCycleLR>(list, o, OneCycleLROptions{.max_lr = 0.8, .total_steps = 31});
  if (schedule == "one_cycle_linear")
    add<OneCycleLR>(list, o,
                    OneCycleLROptions{.max_lr = 0.8,
                                      .total_steps = 40,
                                      .pct_start = 0.2,
                                      .anneal_strategy = Anneal::linear,
                                      .div_factor = 10,
                                      .final_div_factor = 100});
  if (schedule == "one_cycle_three_phases")
    add<OneCycleLR>(
        list, o, OneCycleLROptions{.max_lr = 0.8, .total_steps = 30, .pct_start = 0.4, .three_phase = true});
  if (schedule == "exponential_in_chain") {
    add<LinearLR>(list, o, LinearLROptions{.start_factor = 0.2, .total_iters = 4});
    add<ExponentialLR>(list, o, ExponentialLROptions{.gamma = 0.9});
    add<MultiStepLR>(list, o, MultiStepLROptions{.milestones = {6}, .gamma = 0.1});
  }
  if (schedule == "sequence") {
    list.push_back(std::make_unique<SequentialLR>(
        o,
        std::vector<LRScheduler>{LinearLR(o, {.start_factor = 0.1, .total_iters = 5}),
                                 CosineAnnealingLR(o, {.t_max = 10, .eta_min = 0.001}),
                                 ExponentialLR(o, {.gamma = 0.9})},
        std::vector<std::int64_t>{5, 15}));
  }
  return list;
}

const std::vector<std::string> kSchedules{"step",
                                          "cosine",
                                          "cosine_to_zero",
                                          "linear",
                                          "linear_down",
                                          "warmup_and_step",
                                          "multi_step",
                                          "exponential",
                                          "constant",
                                          "polynomial",
                                          "lambda",
                                          "multiplicative",
                                          "restarts",
                                          "longer_restarts",
                                          "one_cycle",
                                          "one_cycle_linear",
                                          "one_cycle_three_phases",
                                          "exponential_in_chain",
                                          "sequence"};

SGD two_groups() {
  return SGD(std::vector<SGD::Group>{{{zeros({1}, {.requires_grad = true})}, {.lr = 0.5}},
                                     {{zeros({1}, {.requires_grad = true})}, {.lr = 0.02}}});
}

TEST_CASE("optim: the rates of every scheduler agree with PyTorch") {
  for (const std::string& schedule : kSchedules) {
    CAPTURE(schedule);
    const auto expected =
        testing::golden("optim_goldens.safetensors", "schedule." + schedule).to_vector<double>();
    SGD optimizer = two_groups();
    const Schedulers schedulers = make(schedule, optimizer);
    REQUIRE_FALSE(schedulers.empty());
    for (std::size_t i = 0; i < expected.size(); i += 2) {
      CAPTURE(i / 2);
      CHECK(optimizer.lr(0) == doctest::Approx(expected[i]).epsilon(1e-12));
      CHECK(optimizer.lr(1) == doctest::Approx(expected[i + 1]).epsilon(1e-12));
      for (const auto& scheduler : schedulers) scheduler->step();
    }
  }
}

TEST_CASE("optim: OneCycleLR cycles the momentum as PyTorch does, of Adam the first beta") {
  for (const std::string schedule : {"one_cycle", "one_cycle_linear", "one_cycle_three_phases"}) {
    CAPTURE(schedule);
    const auto expected =
        testing::golden("optim_goldens.safetensors", "momentum." + schedule).to_vector<double>();
    SGD sgd = two_groups();
    Adam adam({zeros({1}, {.requires_grad = true})});
    const Schedulers of_sgd = make(schedule, sgd), of_adam = make(schedule, adam);
    for (std::size_t i = 0; i < expected.size(); i += 2) {
      CAPTURE(i / 2);
      CHECK(sgd.state_dict().at("groups.0.momentum").item() == doctest::Approx(expected[i]).epsilon(1e-12));
      CHECK(sgd.state_dict().at("groups.1.momentum").item() == doctest::Approx(expected[i]).epsilon(1e-12));
      CHECK(adam.state_dict().at("groups.0.beta1").item() == doctest::Approx(expected[i]).epsilon(1e-12));
      if (i + 2 == expected.size()) break;
      of_sgd[0]->step();
      of_adam[0]->step();
    }
  }
  Adagrad adagrad({zeros({1}, {.requires_grad = true})}, {.lr = 0.5});
  CHECK_THROWS_WITH_AS(OneCycleLR(adagrad, {.max_lr = 1, .total_steps = 3}),
                       "OneCycleLR: Adagrad has neither momentum nor beta1 that could be cycled; pass "
                       ".cycle_momentum = false",
                       Error);
  OneCycleLR short_one(adagrad, {.max_lr = 1, .total_steps = 3, .cycle_momentum = false});
  for (int step = 0; step < 2; ++step) short_one.step();
  const double last = adagrad.lr();
  short_one.step();
  CHECK(adagrad.lr() == last);
  CHECK_THROWS_WITH_AS(short_one.step(),
                       "OneCycleLR: step 4 comes after the last one of total_steps 3; make a longer schedule",
                       Error);
}

TEST_CASE("optim: ReduceLROnPlateau agrees with PyTorch, and goes on from its saved state") {
  using Options = ReduceLROnPlateauOptions;
  const std::vector<std::pair<std::string, Options>> variants{
      {"default", {.patience = 2}},
      {"max",
       {.mode = Options::Mode::max,
        .factor = 0.5,
        .patience = 1,
        .threshold = 0.05,
        .threshold_mode = Options::ThresholdMode::absolute,
        .cooldown = 2,
        .min_lr = 0.01}},
      {"eps", {.factor = 0.3, .patience = 0, .eps = 0.005}}};
  const auto metrics = testing::golden("optim_goldens.safetensors", "plateau.metrics").to_vector<double>();
  for (const auto& entry : variants) {
    const std::string& variant = entry.first;
    const Options& options = entry.second;
    CAPTURE(variant);
    const auto expected =
        testing::golden("optim_goldens.safetensors", "plateau." + variant).to_vector<double>();
    SGD optimizer = two_groups();
    auto scheduler = std::make_unique<ReduceLROnPlateau>(optimizer, options);
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      CAPTURE(i);
      scheduler->step(metrics[i]);
      CHECK(optimizer.lr(0) == doctest::Approx(expected[2 * i]).epsilon(1e-12));
      CHECK(optimizer.lr(1) == doctest::Approx(expected[2 * i + 1]).epsilon(1e-12));
      const StateDict state = scheduler->state_dict();
      scheduler = std::make_unique<ReduceLROnPlateau>(optimizer, options);
      scheduler->load_state_dict(state);
    }
  }
  SGD optimizer = two_groups();
  CHECK_THROWS_WITH_AS(ReduceLROnPlateau(optimizer, {.factor = 1}),
                       "ReduceLROnPlateau: factor is 1; it must be at least 0 and below 1", Error);
  CHECK_THROWS_WITH_AS(ReduceLROnPlateau(optimizer).load_state_dict({}),
                       "ReduceLROnPlateau::load_state_dict: the state must hold best, bad_steps and "
                       "cooldown_left; pass that of a ReduceLROnPlateau",
                       Error);
}

/// The rates of an optimizer that starts at 0.1, before each of `count` steps of all schedulers.
std::vector<double> rates_of(const std::function<Schedulers(Optimizer&)>& make_schedulers, int count) {
  SGD optimizer({zeros({1}, {.requires_grad = true})}, {.lr = 0.1});
  const Schedulers schedulers = make_schedulers(optimizer);
  std::vector<double> rates;
  for (int i = 0; i < count; ++i) {
    rates.push_back(optimizer.lr());
    for (const auto& scheduler : schedulers) scheduler->step();
  }
  return rates;
}

TEST_CASE("optim: schedulers in a chain share the base rate, as in PyTorch") {
  const LinearLROptions warmup{.start_factor = 1.0 / 3, .total_iters = 5};
  const CosineAnnealingLROptions cosine{.t_max = 7, .eta_min = 0.01};
  struct Chain {
    std::function<Schedulers(Optimizer&)> make;
    std::vector<double> rates;  // of PyTorch's formulas
  };
  const std::vector<Chain> chains{
      {[&](Optimizer& o) {
         Schedulers list;
         add<LinearLR>(list, o, warmup);
         add<CosineAnnealingLR>(list, o, cosine);
         return list;
       },
       {0.0333333333333, 0.0448510959115, 0.0507080676707, 0.0491393850742, 0.0405732087235, 0.0278285361327,
        0.0146893288032, 0.01, 0.0144564009444, 0.0269429589164, 0.044986557972, 0.065013442028,
        0.0830570410836, 0.0955435990556, 0.1, 0.0955435990556}},
      {[&](Optimizer& o) {
         Schedulers list;
         add<CosineAnnealingLR>(list, o, cosine);
         add<LinearLR>(list, o, warmup);
         return list;
       },
       {0.0333333333333, 0.0450491581757, 0.0513425974817, 0.0502722233921, 0.0420865267297, 0.0294675683703,
        0.015120433243, 0.01, 0.0144564009444, 0.0269429589164}},
      {[](Optimizer& o) {
         Schedulers list;
         add<LinearLR>(list, o, LinearLROptions{.start_factor = 0.25, .total_iters = 4});
         add<StepLR>(list, o, StepLROptions{.step_size = 6, .gamma = 0.5});
         add<CosineAnnealingLR>(list, o, CosineAnnealingLROptions{.t_max = 5, .eta_min = 0.001});
         return list;
       },
       {0.025, 0.0396677382548, 0.0412818861344, 0.0288007263752, 0.0105209298623, 0.001, 0.00995365877844,
        0.0333946417841, 0.0623692902384, 0.0858102732441, 0.0947639320225, 0.0858102732441, 0.0313228417203,
        0.0170063378864, 0.00542404298472, 0.001, 0.0104536587784, 0.0352036587784}},
  };
  for (const Chain& chain : chains) {
    const std::vector<double> rates = rates_of(chain.make, static_cast<int>(chain.rates.size()));
    for (std::size_t i = 0; i < rates.size(); ++i) {
      CAPTURE(i);
      CHECK(rates[i] == doctest::Approx(chain.rates[i]).epsilon(1e-11));
    }
  }
}

TEST_CASE("optim: a rule made after a warm-up has the optimizer's first rate as its base, also from a file") {
  const Tensor parameter = zeros({1}, {.requires_grad = true});
  SGD optimizer({parameter}, {.lr = 0.1});
  CHECK(optimizer.initial_lr() == 0.1);
  CHECK_FALSE(optimizer.state_dict().contains("groups.0.initial_lr"));
  const LinearLR warmup(optimizer, {.start_factor = 0.25});
  CHECK(optimizer.lr() == 0.025);
  CHECK(optimizer.initial_lr() == 0.1);

  SGD resumed({parameter}, {.lr = 7});
  resumed.load_state_dict(optimizer.state_dict());
  for (Optimizer* o : std::initializer_list<Optimizer*>{&optimizer, &resumed}) {
    double got = 0;
    const LRScheduler later(*o, [&got](double rate, double base, std::int64_t) {
      got = base;
      return rate;
    });
    CHECK(got == 0.1);
    CHECK(later.state_dict().at("base_lrs").to_vector<double>() == std::vector<double>{0.1});
  }

  SGD scheduled({parameter}, {.lr = 0.5});
  const StepLR steps(scheduled);
  scheduled.load_state_dict(SGD({parameter}, {.lr = 0.2}).state_dict());  // saved without a scheduler
  CHECK(scheduled.lr() == 0.2);
  CHECK(scheduled.initial_lr() == 0.5);
  CHECK_THROWS_WITH_AS(scheduled.initial_lr(1), "SGD: there is no group 1; it must be at least 0 and below 1",
                       Error);
}

TEST_CASE("optim: the schedulers' own formulas give no rate below 0") {
  for (const double rate : rates_of(
           [](Optimizer& o) {
             Schedulers list;
             add<StepLR>(list, o, StepLROptions{.step_size = 3, .gamma = 0.1});
             add<CosineAnnealingLR>(list, o, CosineAnnealingLROptions{.t_max = 5, .eta_min = 0.01});
             return list;
           },
           60))
    CHECK(rate >= 0);
  for (int total = 1; total < 40; ++total) {
    for (const double start : {0.1, 0.3, 0.7, 0.9, 1.0}) {
      const std::vector<double> rates = rates_of(
          [&](Optimizer& o) {
            Schedulers list;
            add<LinearLR>(list, o,
                          LinearLROptions{.start_factor = start, .end_factor = 0, .total_iters = total});
            return list;
          },
          total + 2);
      CHECK(rates.back() == doctest::Approx(0).epsilon(1e-12));
    }
  }
}

TEST_CASE("optim: a rate below 0 is an error that names the schedulers, and changes nothing") {
  SGD optimizer = two_groups();
  const StepLR steps(optimizer, {.step_size = 3});
  LRScheduler falling(optimizer, [](double rate, double, std::int64_t count) {
    return rate - 0.25 * static_cast<double>(count);
  });
  for (int i = 0; i < 2; ++i) {
    CHECK_THROWS_WITH_AS(falling.step(),
                         "LRScheduler: step 1 gives group 1 of SGD the rate -0.23 after 0.02 (base 0.02; "
                         "schedulers: StepLR, LRScheduler); a rule must give at least 0",
                         Error);
    CHECK(optimizer.lr(0) == 0.5);
  }
}

TEST_CASE("optim: a period beyond every number of steps is one without a restart") {
  SGD optimizer = two_groups();
  CosineAnnealingWarmRestarts scheduler(optimizer,
                                        {.t_0 = 2, .t_mult = std::numeric_limits<std::int64_t>::max()});
  scheduler.step();
  CHECK(optimizer.lr(0) == doctest::Approx(0.25));
  for (int step = 2; step < 5; ++step) {
    scheduler.step();
    CHECK(optimizer.lr(0) == doctest::Approx(0.5));
  }
}

TEST_CASE("optim: a schedule goes on from its saved state") {
  for (const std::string& schedule : kSchedules) {
    if (schedule.ends_with("chain") || schedule.starts_with("warmup")) continue;  // several
    CAPTURE(schedule);
    SGD straight = two_groups();
    const Schedulers one = make(schedule, straight);
    for (int i = 0; i < 5; ++i) one[0]->step();
    SGD resumed = two_groups();
    const Schedulers other = make(schedule, resumed);
    resumed.load_state_dict(straight.state_dict());
    other[0]->load_state_dict(one[0]->state_dict());
    for (int i = 0; i < 9; ++i) {
      CHECK(resumed.lr(0) == straight.lr(0));
      CHECK(resumed.lr(1) == straight.lr(1));
      one[0]->step();
      other[0]->step();
    }
  }
}

TEST_CASE("optim: a rule of one's own makes a scheduler") {
  SGD optimizer = two_groups();
  LRScheduler scheduler(optimizer, [](double, double base, std::int64_t count) {
    return base / static_cast<double>(1 + count);
  });
  scheduler.step();
  scheduler.step();
  CHECK(optimizer.lr(0) == doctest::Approx(0.5 / 3));
}

TEST_CASE("optim: schedulers reject options that make no schedule") {
  SGD optimizer = two_groups();
  CHECK_THROWS_WITH_AS(StepLR(optimizer, {.step_size = 0}), "StepLR: step_size is 0; it must be at least 1",
                       Error);
  CHECK_THROWS_WITH_AS(CosineAnnealingLR(optimizer, {.t_max = 0}),
                       "CosineAnnealingLR: t_max is 0; it must be at least 1", Error);
  CHECK_THROWS_WITH_AS(LinearLR(optimizer, {.start_factor = 0}),
                       "LinearLR: start_factor is 0; it must be above 0 and at most 1", Error);
  CHECK_THROWS_WITH_AS(StepLR(optimizer, {.gamma = -0.5}), "StepLR: gamma is -0.5; it must be at least 0",
                       Error);
  CHECK_THROWS_WITH_AS(CosineAnnealingLR(optimizer, {.t_max = 9, .eta_min = -1}),
                       "CosineAnnealingLR: eta_min is -1; it must be at least 0", Error);
  CHECK_THROWS_WITH_AS(MultiStepLR(optimizer, {.milestones = {0}}),
                       "MultiStepLR: a milestone is 0; it must be at least 1", Error);
  CHECK_THROWS_WITH_AS(ExponentialLR(optimizer, {.gamma = -1}),
                       "ExponentialLR: gamma is -1; it must be at least 0", Error);
  CHECK_THROWS_WITH_AS(ConstantLR(optimizer, {.factor = 0}),
                       "ConstantLR: factor is 0; it must be above 0 and at most 1", Error);
  CHECK_THROWS_WITH_AS(PolynomialLR(optimizer, {.total_iters = 0}),
                       "PolynomialLR: total_iters is 0; it must be at least 1", Error);
  CHECK_THROWS_WITH_AS(CosineAnnealingWarmRestarts(optimizer, {.t_0 = 0}),
                       "CosineAnnealingWarmRestarts: t_0 is 0; it must be at least 1", Error);
  CHECK_THROWS_WITH_AS(OneCycleLR(optimizer, {.max_lr = 0, .total_steps = 5}),
                       "OneCycleLR: max_lr is 0; it must be above 0", Error);
  CHECK_THROWS_WITH_AS(LambdaLR(optimizer, nullptr),
                       "LambdaLR: got no function; pass one from a count to a factor", Error);
  CHECK_THROWS_WITH_AS(
      SequentialLR(optimizer,
                   {LRScheduler(optimizer, [](double rate, double, std::int64_t) { return rate; })}, {3}),
      "SequentialLR: got 1 schedulers and 1 milestones; pass one milestone fewer than schedulers", Error);
  CHECK(optimizer.lr(0) == 0.5);  // as before
}

}  // namespace
}  // namespace miniparallel
