#pragma once

#include <miniparallel/optim/optimizer.h>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace miniparallel::optim {

/// Changes the learning rates of an optimizer, group by group, as training proceeds: call `step` after
/// `Optimizer::step`, once per epoch or once per batch. A rule computes the new rate from the present one, so
/// several schedulers of one optimizer work together, as in PyTorch; all have the base rate
/// `Optimizer::initial_lr`. The optimizer must outlive it.
class LRScheduler {
 public:
  /// The rate after `count` calls of `step`; `rate`: the present one, `base`: the one that the optimizer had
  /// when its first scheduler was made. Applied with count 0 by the constructor.
  using Rule = std::function<double(double rate, double base, std::int64_t count)>;
  LRScheduler(Optimizer& optimizer, Rule rule) : LRScheduler("LRScheduler", optimizer, std::move(rule)) {}
  virtual ~LRScheduler() = default;
  LRScheduler(const LRScheduler&) = default;
  LRScheduler& operator=(const LRScheduler&) = delete;

  const char* name() const { return name_; }  ///< "StepLR"
  /// One more: applies the rule to every group. `Error`, changing nothing, for a rate below 0.
  void step();
  const Rule& rule() const { return rule_; }  ///< for a schedule that is made of others

  /// `count` and `base_lrs`. The present rates are part of the optimizer's state: load both.
  StateDict state_dict() const;
  /// Throws `Error`, changing nothing, where the state is not that of a scheduler of as many groups.
  void load_state_dict(const StateDict& state) { prepare_load(state)(); }
  /// The same in two halves: see `PreparedLoad`.
  PreparedLoad prepare_load(const StateDict& state);

 protected:
  LRScheduler(const char* name, Optimizer& optimizer, Rule rule);

  /// Called by `step` after the rates have changed, for what else a schedule changes.
  virtual void after_step([[maybe_unused]] std::int64_t count) {}
  /// Sets the momentum of every group, or the first beta; `Error` for an optimizer without either.
  void set_momentum(double momentum);

 private:
  void apply(std::int64_t count);

  const char* name_;
  Optimizer& optimizer_;
  Rule rule_;
  std::int64_t count_ = 0;
  std::vector<double> base_;
};

struct StepLROptions {
  std::int64_t step_size = 30;  ///< at least 1
  double gamma = 0.1;           ///< at least 0
};
/// Every `step_size` steps the rate is multiplied by `gamma`.
class StepLR : public LRScheduler {
 public:
  StepLR(Optimizer& optimizer, const StepLROptions& options = {});
};

struct CosineAnnealingLROptions {
  std::int64_t t_max = 1;  ///< steps from the base rate to `eta_min`; at least 1
  double eta_min = 0;      ///< at least 0
};
/// eta_min + (base - eta_min) (1 + cos(pi count / t_max)) / 2, step by step from the present rate.
/// (Loshchilov, Hutter: "SGDR", 2016, without restarts.) Where another scheduler has taken the rate below
/// eta_min, it stays at 0 or above.
class CosineAnnealingLR : public LRScheduler {
 public:
  CosineAnnealingLR(Optimizer& optimizer, const CosineAnnealingLROptions& options);
};

struct LinearLROptions {
  double start_factor = 1.0 / 3;  ///< in (0, 1]
  double end_factor = 1;          ///< in [0, 1]
  std::int64_t total_iters = 5;   ///< at least 1
};
/// Linear warm-up: the rate times a factor that goes from `start_factor` to `end_factor` in `total_iters`
/// steps and stays there.
class LinearLR : public LRScheduler {
 public:
  LinearLR(Optimizer& optimizer, const LinearLROptions& options = {});
};

}  // namespace miniparallel::optim
