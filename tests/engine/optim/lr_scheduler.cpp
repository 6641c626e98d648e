#include <miniparallel/error.h>
#include <miniparallel/optim.h>

#include "tests/support/golden.h"

#include <doctest/doctest.h>

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
  return list;
}

SGD two_groups() {
  return SGD(std::vector<SGD::Group>{{{zeros({1}, {.requires_grad = true})}, {.lr = 0.5}},
                                     {{zeros({1}, {.requires_grad = true})}, {.lr = 0.02}}});
}

TEST_CASE("optim: the rates of every scheduler agree with PyTorch") {
  for (const std::string schedule :
       {"step", "cosine", "cosine_to_zero", "linear", "linear_down", "warmup_and_step"}) {
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

TEST_CASE("optim: a schedule goes on from its saved state") {
  for (const std::string schedule : {"step", "cosine", "linear"}) {
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
}

}  // namespace
}  // namespace miniparallel
