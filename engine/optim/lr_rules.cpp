#include <miniparallel/optim/lr_rules.h>

#include "engine/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace miniparallel::optim {

namespace {

using Factor = std::function<double(std::int64_t)>;

void check_factor(const char* scheduler, const Factor& factor) {
  check(factor != nullptr, scheduler, ": got no function; pass one from a count to a factor");
}

LRScheduler::Rule lambda_rule(Factor factor) {
  check_factor("LambdaLR", factor);
  return
      [factor = std::move(factor)](double, double base, std::int64_t count) { return base * factor(count); };
}

LRScheduler::Rule multiplicative_rule(Factor factor) {
  check_factor("MultiplicativeLR", factor);
  return [factor = std::move(factor)](double rate, double, std::int64_t count) {
    return count == 0 ? rate : rate * factor(count);
  };
}

LRScheduler::Rule multi_step_rule(const MultiStepLROptions& options) {
  check(options.gamma >= 0, "MultiStepLR: gamma is ", options.gamma, "; it must be at least 0");
  for (const std::int64_t milestone : options.milestones)
    check(milestone >= 1, "MultiStepLR: a milestone is ", milestone, "; it must be at least 1");
  return [options](double rate, double, std::int64_t count) {
    const auto times = std::ranges::count(options.milestones, count);
    return times == 0 ? rate : rate * std::pow(options.gamma, static_cast<double>(times));
  };
}

LRScheduler::Rule exponential_rule(const ExponentialLROptions& options) {
  check(options.gamma >= 0, "ExponentialLR: gamma is ", options.gamma, "; it must be at least 0");
  return
      [options](double rate, double, std::int64_t count) { return count == 0 ? rate : rate * options.gamma; };
}

LRScheduler::Rule constant_rule(const ConstantLROptions& options) {
  check(options.factor > 0 && options.factor <= 1, "ConstantLR: factor is ", options.factor,
        "; it must be above 0 and at most 1");
  check(options.total_iters >= 0, "ConstantLR: total_iters is ", options.total_iters,
        "; it must be at least 0");
  return [options](double rate, double, std::int64_t count) {
    if (options.total_iters == 0) return rate;
    if (count == 0) return rate * options.factor;
    return count == options.total_iters ? rate / options.factor : rate;
  };
}

LRScheduler::Rule polynomial_rule(const PolynomialLROptions& options) {
  check(options.total_iters >= 1, "PolynomialLR: total_iters is ", options.total_iters,
        "; it must be at least 1");
  check(options.power >= 0, "PolynomialLR: power is ", options.power, "; it must be at least 0");
  return [options](double rate, double, std::int64_t count) {
    if (count == 0 || count > options.total_iters) return rate;
    const double left = static_cast<double>(options.total_iters - count);
    return rate * std::pow(left / (left + 1), options.power);
  };
}

LRScheduler::Rule restarts_rule(const CosineAnnealingWarmRestartsOptions& options) {
  const char* const name = "CosineAnnealingWarmRestarts";
  check(options.t_0 >= 1, name, ": t_0 is ", options.t_0, "; it must be at least 1");
  check(options.t_mult >= 1, name, ": t_mult is ", options.t_mult, "; it must be at least 1");
  check(options.eta_min >= 0, name, ": eta_min is ", options.eta_min, "; it must be at least 0");
  return [options](double, double base, std::int64_t count) {
    // Real numbers: a period that grows may leave the range of integers.
    double period = static_cast<double>(options.t_0), since = static_cast<double>(count);
    if (options.t_mult == 1) since = std::fmod(since, period);
    for (; since >= period; period *= static_cast<double>(options.t_mult)) since -= period;
    const double angle = std::numbers::pi * since / period;
    return std::max(0.0, options.eta_min + (base - options.eta_min) * (1 + std::cos(angle)) / 2);
  };
}

LRScheduler::Rule sequence_of(const std::vector<LRScheduler>& schedulers,
                              const std::vector<std::int64_t>& milestones) {
  check(!schedulers.empty(), "SequentialLR: got no schedulers; pass at least one");
  check(milestones.size() + 1 == schedulers.size(), "SequentialLR: got ", schedulers.size(),
        " schedulers and ", milestones.size(), " milestones; pass one milestone fewer than schedulers");
  std::int64_t before = 0;
  for (const std::int64_t milestone : milestones) {
    check(milestone > before, "SequentialLR: a milestone is ", milestone, " after ", before,
          "; they must be above 0 and rise");
    before = milestone;
  }
  std::vector<LRScheduler::Rule> rules;
  for (const LRScheduler& scheduler : schedulers) rules.push_back(scheduler.rule());
  return [rules = std::move(rules), milestones](double rate, double base, std::int64_t count) {
    const auto next = std::ranges::upper_bound(milestones, count);
    const std::int64_t start = next == milestones.begin() ? 0 : *(next - 1);
    const LRScheduler::Rule& rule = rules[static_cast<std::size_t>(next - milestones.begin())];
    return rule(count == start ? base : rate, base, count - start);
  };
}

// --- one cycle

/// From one phase's end to the next the rate goes from `rate[0]` to `rate[1]`, and so the momentum.
struct Phase {
  double end;
  std::array<double, 2> rate, momentum;
};

std::vector<Phase> phases_of(const OneCycleLROptions& o) {
  const double first = o.max_lr / o.div_factor, last = first / o.final_div_factor;
  const double steps = static_cast<double>(o.total_steps), rise = o.pct_start * steps;
  const double low = o.base_momentum, high = o.max_momentum;
  if (o.three_phase)
    return {{rise - 1, {first, o.max_lr}, {high, low}},
            {2 * rise - 2, {o.max_lr, first}, {low, high}},
            {steps - 1, {first, last}, {high, high}}};
  return {{rise - 1, {first, o.max_lr}, {high, low}}, {steps - 1, {o.max_lr, last}, {low, high}}};
}

double between(const std::array<double, 2>& ends, double share, Anneal strategy) {
  if (strategy == Anneal::linear) return ends[0] + (ends[1] - ends[0]) * share;
  return ends[1] + (ends[0] - ends[1]) / 2 * (1 + std::cos(std::numbers::pi * share));
}

/// The rate or the momentum at a step.
double at_step(const OneCycleLROptions& options, std::int64_t count, std::array<double, 2> Phase::* range) {
  const std::vector<Phase> phases = phases_of(options);
  const double step = static_cast<double>(count);
  double start = 0;
  std::size_t i = 0;
  for (; i + 1 < phases.size() && step > phases[i].end; ++i) start = phases[i].end;
  const double length = phases[i].end - start;  // a rise of one step has none
  const double share = length > 0 ? std::min(1.0, (step - start) / length) : 1;
  return between(phases[i].*range, share, options.anneal_strategy);
}

LRScheduler::Rule one_cycle_rule(const OneCycleLROptions& options) {
  const char* const name = "OneCycleLR";
  check(options.max_lr > 0, name, ": max_lr is ", options.max_lr, "; it must be above 0");
  check(options.total_steps >= 2, name, ": total_steps is ", options.total_steps, "; it must be at least 2");
  check(options.pct_start >= 0 && options.pct_start <= 1, name, ": pct_start is ", options.pct_start,
        "; it must be from 0 to 1");
  check(options.div_factor > 0 && options.final_div_factor > 0, name, ": the factors are ",
        options.div_factor, " and ", options.final_div_factor, "; they must be above 0");
  check(
      options.base_momentum >= 0 && options.base_momentum <= options.max_momentum && options.max_momentum < 1,
      name, ": momentum is from ", options.base_momentum, " to ", options.max_momentum,
      "; it must rise, from 0 to below 1");
  return [options, name](double, double, std::int64_t count) {
    check(count <= options.total_steps, name, ": step ", count, " comes after the last one of total_steps ",
          options.total_steps, "; make a longer schedule");
    return at_step(options, count, &Phase::rate);
  };
}

}  // namespace

LambdaLR::LambdaLR(Optimizer& optimizer, std::function<double(std::int64_t)> factor)
    : LRScheduler("LambdaLR", optimizer, lambda_rule(std::move(factor))) {}
MultiplicativeLR::MultiplicativeLR(Optimizer& optimizer, std::function<double(std::int64_t)> factor)
    : LRScheduler("MultiplicativeLR", optimizer, multiplicative_rule(std::move(factor))) {}
MultiStepLR::MultiStepLR(Optimizer& optimizer, const MultiStepLROptions& options)
    : LRScheduler("MultiStepLR", optimizer, multi_step_rule(options)) {}
ExponentialLR::ExponentialLR(Optimizer& optimizer, const ExponentialLROptions& options)
    : LRScheduler("ExponentialLR", optimizer, exponential_rule(options)) {}
ConstantLR::ConstantLR(Optimizer& optimizer, const ConstantLROptions& options)
    : LRScheduler("ConstantLR", optimizer, constant_rule(options)) {}
PolynomialLR::PolynomialLR(Optimizer& optimizer, const PolynomialLROptions& options)
    : LRScheduler("PolynomialLR", optimizer, polynomial_rule(options)) {}
CosineAnnealingWarmRestarts::CosineAnnealingWarmRestarts(Optimizer& optimizer,
                                                         const CosineAnnealingWarmRestartsOptions& options)
    : LRScheduler("CosineAnnealingWarmRestarts", optimizer, restarts_rule(options)) {}

OneCycleLR::OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options)
    : LRScheduler("OneCycleLR", optimizer, one_cycle_rule(options)), options_(options) {
  after_step(0);
}

void OneCycleLR::after_step(std::int64_t count) {
  if (options_.cycle_momentum) set_momentum(at_step(options_, count, &Phase::momentum));
}

SequentialLR::SequentialLR(Optimizer& optimizer, const std::vector<LRScheduler>& schedulers,
                           const std::vector<std::int64_t>& milestones)
    : LRScheduler("SequentialLR", optimizer, sequence_of(schedulers, milestones)) {}

}  // namespace miniparallel::optim
