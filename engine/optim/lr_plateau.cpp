#include <miniparallel/optim/lr_plateau.h>

#include "engine/error.h"
#include "engine/optim/checked_count.h"

#include <algorithm>
#include <limits>

namespace miniparallel::optim {

namespace {

constexpr const char* kName = "ReduceLROnPlateau";
using Mode = ReduceLROnPlateauOptions::Mode;
using ThresholdMode = ReduceLROnPlateauOptions::ThresholdMode;

}  // namespace

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options)
    : optimizer_(optimizer), options_(options), best_(std::numeric_limits<double>::infinity()) {
  check(options.factor >= 0 && options.factor < 1, kName, ": factor is ", options.factor,
        "; it must be at least 0 and below 1");
  check(options.patience >= 0 && options.cooldown >= 0, kName, ": patience is ", options.patience,
        " and cooldown ", options.cooldown, "; both must be at least 0");
  check(options.threshold >= 0, kName, ": threshold is ", options.threshold, "; it must be at least 0");
  check(options.min_lr >= 0, kName, ": min_lr is ", options.min_lr, "; it must be at least 0");
  check(options.eps >= 0, kName, ": eps is ", options.eps, "; it must be at least 0");
  if (options.mode == Mode::max) best_ = -best_;
}

bool ReduceLROnPlateau::is_better(double metric) const {
  const double sign = options_.mode == Mode::min ? -1 : 1;
  const double bound = options_.threshold_mode == ThresholdMode::relative
                           ? best_ * (1 + sign * options_.threshold)
                           : best_ + sign * options_.threshold;
  return options_.mode == Mode::min ? metric < bound : metric > bound;
}

void ReduceLROnPlateau::step(double metric) {
  if (is_better(metric)) {
    best_ = metric;
    bad_steps_ = 0;
  } else {
    ++bad_steps_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    bad_steps_ = 0;
  }
  if (bad_steps_ <= options_.patience) return;
  reduce();
  cooldown_left_ = options_.cooldown;
  bad_steps_ = 0;
}

void ReduceLROnPlateau::reduce() {
  for (int group = 0; group < optimizer_.num_groups(); ++group) {
    const double rate = optimizer_.lr(group), reduced = std::max(rate * options_.factor, options_.min_lr);
    if (rate - reduced > options_.eps) optimizer_.set_lr(group, reduced);
  }
}

StateDict ReduceLROnPlateau::state_dict() const {
  return {{"best", scalar_tensor(best_, {.dtype = float64})},
          {"bad_steps", scalar_tensor(bad_steps_)},
          {"cooldown_left", scalar_tensor(cooldown_left_)}};
}

PreparedLoad ReduceLROnPlateau::prepare_load(const StateDict& state) {
  check(state.size() == 3 && state.contains("best") && state.contains("bad_steps") &&
            state.contains("cooldown_left"),
        kName, "::load_state_dict: the state must hold best, bad_steps and cooldown_left; pass that of a ",
        kName);
  const double best = state.at("best").item<double>();
  const std::int64_t bad_steps = checked_count(kName, "bad_steps", state.at("bad_steps"), 0);
  const std::int64_t cooldown_left = checked_count(kName, "cooldown_left", state.at("cooldown_left"), 0);
  return [this, best, bad_steps, cooldown_left] {
    best_ = best;
    bad_steps_ = bad_steps;
    cooldown_left_ = cooldown_left;
  };
}

}  // namespace miniparallel::optim
