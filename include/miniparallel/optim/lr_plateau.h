#pragma once

#include <miniparallel/optim/optimizer.h>

#include <cstdint>

namespace miniparallel::optim {

struct ReduceLROnPlateauOptions {
  enum class Mode { min, max };
  enum class ThresholdMode { relative, absolute };
  Mode mode = Mode::min;       ///< which metric is the better one
  double factor = 0.1;         ///< of the rate; in [0, 1)
  std::int64_t patience = 10;  ///< steps in a row without a better metric that are let pass; at least 0
  double threshold = 1e-4;     ///< how much better it must be: at least 0
  ThresholdMode threshold_mode = ThresholdMode::relative;
  std::int64_t cooldown = 0;  ///< steps after a reduction that are not counted; at least 0
  double min_lr = 0;          ///< at least 0
  double eps = 1e-8;          ///< smaller changes of a rate are left out; at least 0
};

/// Multiplies the rates of all groups by `factor` when a metric, such as the loss of the validation
/// set, has stopped getting better. The optimizer must outlive it. The constructor throws `Error` for
/// options out of range.
class ReduceLROnPlateau {
 public:
  explicit ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options = {});

  /// Call it after an epoch. NaN is never better.
  void step(double metric);

  /// `best`, `bad_steps` and `cooldown_left`. The present rates are part of the optimizer's state: load both.
  StateDict state_dict() const;
  /// Throws `Error`, changing nothing, for the state of something else.
  void load_state_dict(const StateDict& state) { prepare_load(state)(); }
  /// The same in two halves: see `PreparedLoad`.
  PreparedLoad prepare_load(const StateDict& state);

 private:
  bool is_better(double metric) const;
  void reduce();

  Optimizer& optimizer_;
  ReduceLROnPlateauOptions options_;
  double best_;
  std::int64_t bad_steps_ = 0, cooldown_left_ = 0;
};

}  // namespace miniparallel::optim
