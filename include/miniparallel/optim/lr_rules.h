#pragma once

#include <miniparallel/optim/lr_scheduler.h>

#include <cstdint>
#include <functional>
#include <vector>

/// More schedules, which follow a rule from step to step as those of lr_scheduler.h do. Constructors throw
/// `Error` for options out of range. "base" is `Optimizer::initial_lr`, "count" the number of steps.
namespace miniparallel::optim {

/// base factor(count).
class LambdaLR : public LRScheduler {
 public:
  LambdaLR(Optimizer& optimizer, std::function<double(std::int64_t count)> factor);
};

/// Every step multiplies the rate by factor(count).
class MultiplicativeLR : public LRScheduler {
 public:
  MultiplicativeLR(Optimizer& optimizer, std::function<double(std::int64_t count)> factor);
};

struct MultiStepLROptions {
  std::vector<std::int64_t>
      milestones;      ///< counts, each at least 1; one that stands there twice counts twice
  double gamma = 0.1;  ///< at least 0
};
/// At every milestone the rate is multiplied by `gamma`.
class MultiStepLR : public LRScheduler {
 public:
  MultiStepLR(Optimizer& optimizer, const MultiStepLROptions& options);
};

struct ExponentialLROptions {
  double gamma = 0.1;  ///< at least 0
};
/// Every step multiplies the rate by `gamma`.
class ExponentialLR : public LRScheduler {
 public:
  ExponentialLR(Optimizer& optimizer, const ExponentialLROptions& options);
};

struct ConstantLROptions {
  double factor = 1.0 / 3;       ///< in (0, 1]
  std::int64_t total_iters = 5;  ///< at least 0
};
/// The rate times `factor` for `total_iters` steps, then as it was.
class ConstantLR : public LRScheduler {
 public:
  ConstantLR(Optimizer& optimizer, const ConstantLROptions& options = {});
};

struct PolynomialLROptions {
  std::int64_t total_iters = 5;  ///< at least 1
  double power = 1;              ///< at least 0
};
/// base (1 - count / total_iters)^power, step by step from the present rate; 0 from there on.
class PolynomialLR : public LRScheduler {
 public:
  PolynomialLR(Optimizer& optimizer, const PolynomialLROptions& options = {});
};

struct CosineAnnealingWarmRestartsOptions {
  std::int64_t t_0 = 1;     ///< steps until the first restart; at least 1
  std::int64_t t_mult = 1;  ///< how many times as long each period is as the one before; at least 1
  double eta_min = 0;       ///< at least 0
};
/// eta_min + (base - eta_min) (1 + cos(pi t / T)) / 2, t the steps since the last restart, T those of the
/// period. (Loshchilov, Hutter: "SGDR: stochastic gradient descent with warm restarts", 2016.)
class CosineAnnealingWarmRestarts : public LRScheduler {
 public:
  CosineAnnealingWarmRestarts(Optimizer& optimizer, const CosineAnnealingWarmRestartsOptions& options);
};

enum class Anneal { cosine, linear };
struct OneCycleLROptions {
  double max_lr = 0;             ///< of every group; above 0
  std::int64_t total_steps = 0;  ///< calls of `step`, the last of which changes nothing; at least 2
  double pct_start = 0.3;        ///< share of the steps in which the rate rises; in [0, 1]
  Anneal anneal_strategy = Anneal::cosine;
  bool cycle_momentum = true;  ///< the momentum or first beta falls while the rate rises, and rises again
  double base_momentum = 0.85;
  double max_momentum = 0.95;
  double div_factor = 25;         ///< the first rate is max_lr / div_factor,
  double final_div_factor = 1e4;  ///< the last one the first one's / final_div_factor
  bool three_phase = false;       ///< rise, fall to the first rate in as many steps, then to the last
};
/// One rise from a small rate to `max_lr` and a long fall, whatever the optimizer's rates were. `step` throws
/// `Error` after `total_steps` calls. (Smith, Topin: "Super-convergence: very fast training of neural
/// networks using large learning rates", 2017.)
class OneCycleLR : public LRScheduler {
 public:
  OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options);

 private:
  void after_step(std::int64_t count) override;
  OneCycleLROptions options_;
};

/// The rule of `schedulers[i]` from step `milestones[i - 1]` on, with its count from 0 and the base rate. The
/// schedulers only lend their rules: they are not to be stepped, and what they did to the rates is undone.
///
///   optim::SequentialLR scheduler(optimizer, {optim::LinearLR(optimizer), optim::ExponentialLR(optimizer,
///                                             {.gamma = 0.9})}, {5});
///
/// Throws `Error` unless there is one milestone fewer than schedulers, all above 0 and rising. A OneCycleLR
/// in it cycles the rate, not the momentum.
class SequentialLR : public LRScheduler {
 public:
  SequentialLR(Optimizer& optimizer, const std::vector<LRScheduler>& schedulers,
               const std::vector<std::int64_t>& milestones);
};

}  // namespace miniparallel::optim
