#include <miniparallel/optim/lr_scheduler.h>

#include "engine/error.h"
#include "engine/optim/checked_count.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

namespace miniparallel::optim {

LRScheduler::LRScheduler(const char* name, Optimizer& optimizer, Rule rule)
    : name_(name), optimizer_(optimizer), rule_(std::move(rule)) {
  for (int group = 0; group < optimizer.num_groups(); ++group) base_.push_back(optimizer.initial_lr(group));
  apply(0);
  optimizer.begin_schedule(name, base_);
}

void LRScheduler::step() {
  apply(count_ + 1);
  ++count_;
  after_step(count_);
}

void LRScheduler::apply(std::int64_t count) {
  std::vector<double> rates;
  for (const double base : base_) {
    const int group = static_cast<int>(rates.size());
    const double before = optimizer_.lr(group);
    rates.push_back(rule_(before, base, count));
    if (rates.back() >= 0) continue;
    std::string all;
    for (const char* scheduler : optimizer_.schedulers_)
      all += std::string(all.empty() ? "" : ", ") + scheduler;
    fail(name_, ": step ", count, " gives group ", group, " of ", optimizer_.name(), " the rate ",
         rates.back(), " after ", before, " (base ", base, "; schedulers: ", all,
         "); a rule must give at least 0");
  }
  for (std::size_t group = 0; group < rates.size(); ++group)
    optimizer_.set_lr(static_cast<int>(group), rates[group]);
}

void LRScheduler::set_momentum(double momentum) {
  for (int group = 0; group < optimizer_.num_groups(); ++group) {
    bool found = false;
    optimizer_.visit_options(group, [&](const char* option, double& value) {
      const std::string_view of = option;
      if (of != "momentum" && of != "beta1") return;
      value = momentum;
      found = true;
    });
    check(found, name_, ": ", optimizer_.name(),
          " has neither momentum nor beta1 that could be cycled; pass .cycle_momentum = false");
  }
}

StateDict LRScheduler::state_dict() const {
  return {{"count", scalar_tensor(count_)},
          {"base_lrs", tensor(base_, {static_cast<std::int64_t>(base_.size())}, {.dtype = float64})}};
}

PreparedLoad LRScheduler::prepare_load(const StateDict& state) {
  check(state.size() == 2 && state.contains("count") && state.contains("base_lrs"), name_,
        "::load_state_dict: the state must hold count and base_lrs; pass that of a scheduler");
  std::vector<double> base = state.at("base_lrs").to_vector<double>();
  check(base.size() == base_.size(), name_, "::load_state_dict: the state is of ", base.size(),
        " parameter groups, the optimizer has ", base_.size(), "; pass that of the same groups");
  for (const double rate : base) {
    check(rate >= 0, name_, "::load_state_dict: a base rate is ", rate, "; it must be at least 0");
  }
  const std::int64_t count = checked_count(name_, "count", state.at("count"), 0);
  return [this, count, base = std::move(base)] {
    count_ = count;
    std::ranges::copy(base, base_.begin());
  };
}

// The rules, each with the check of its options: none is applied before they are known to be good. A rate
// never gets below 0, whatever the rates that other schedulers leave.

namespace {

LRScheduler::Rule step_rule(const StepLROptions& options) {
  check(options.step_size >= 1, "StepLR: step_size is ", options.step_size, "; it must be at least 1");
  check(options.gamma >= 0, "StepLR: gamma is ", options.gamma, "; it must be at least 0");
  return [options](double rate, double, std::int64_t count) {
    return count > 0 && count % options.step_size == 0 ? rate * options.gamma : rate;
  };
}

LRScheduler::Rule cosine_rule(const CosineAnnealingLROptions& options) {
  check(options.t_max >= 1, "CosineAnnealingLR: t_max is ", options.t_max, "; it must be at least 1");
  check(options.eta_min >= 0, "CosineAnnealingLR: eta_min is ", options.eta_min, "; it must be at least 0");
  return [options](double rate, double base, std::int64_t count) {
    const auto height = [&](std::int64_t n) {  // of the cosine above its lowest point
      return 1 + std::cos(std::numbers::pi * static_cast<double>(n) / static_cast<double>(options.t_max));
    };
    if (count == 0) return rate;
    if ((count - 1) % (2 * options.t_max) == options.t_max)  // at eta_min the ratio of two rates is undefined
      return std::max(0.0, rate + (base - options.eta_min) * height(count) / 2);
    return std::max(0.0, options.eta_min + (rate - options.eta_min) * height(count) / height(count - 1));
  };
}

LRScheduler::Rule linear_rule(const LinearLROptions& options) {
  check(options.total_iters >= 1, "LinearLR: total_iters is ", options.total_iters,
        "; it must be at least 1");
  check(options.start_factor > 0 && options.start_factor <= 1, "LinearLR: start_factor is ",
        options.start_factor, "; it must be above 0 and at most 1");
  check(options.end_factor >= 0 && options.end_factor <= 1, "LinearLR: end_factor is ", options.end_factor,
        "; it must be from 0 to 1");
  return [options](double rate, double, std::int64_t count) {
    const auto [start, end, total] = options;
    if (count == 0) return rate * start;
    if (count > total) return rate;
    const double before = static_cast<double>(total) * start + static_cast<double>(count - 1) * (end - start);
    return rate * std::max(0.0, 1 + (end - start) / before);  // rounding may pass an end of 0
  };
}

}  // namespace

StepLR::StepLR(Optimizer& optimizer, const StepLROptions& options)
    : LRScheduler("StepLR", optimizer, step_rule(options)) {}
CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, const CosineAnnealingLROptions& options)
    : LRScheduler("CosineAnnealingLR", optimizer, cosine_rule(options)) {}
LinearLR::LinearLR(Optimizer& optimizer, const LinearLROptions& options)
    : LRScheduler("LinearLR", optimizer, linear_rule(options)) {}

}  // namespace miniparallel::optim
