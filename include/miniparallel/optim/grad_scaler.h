#pragma once

#include <miniparallel/optim/optimizer.h>
#include <miniparallel/state_dict.h>
#include <miniparallel/tensor.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace miniparallel {

/// As in torch.amp.GradScaler.
struct GradScalerOptions {
  double init_scale = 65536;
  double growth_factor = 2;     ///< above 1: of the scale after `growth_interval` steps without overflow
  double backoff_factor = 0.5;  ///< between 0 and 1: after an overflow
  std::int64_t growth_interval = 2000;
  bool enabled = true;  ///< without it a loss stays as it is and steps are plain
};

/// Scales a loss, so that gradients in float16 are not too small for it, and skips the steps whose gradients
/// were too large:
///
///   GradScaler scaler;
///   ...
///   scaler.scale(loss).backward();
///   scaler.unscale_(optimizer);                        // where gradients are looked at before the step
///   nn::utils::clip_grad_norm_(parameters(net), 1.0);
///   scaler.step(optimizer);
///   scaler.update();                                   // once, after the steps of all optimizers
///   optimizer.zero_grad();
///
/// On a GPU nothing of this waits: whether a step is skipped is decided there, and the optimizer's counts of
/// updates follow a little later. Only where the host is more than 31 steps ahead it waits for the GPU. A
/// skipped step changes no parameter and no state of the optimizer.
class GradScaler {
 public:
  /// Throws `Error` for options out of range.
  explicit GradScaler(const GradScalerOptions& options = {});
  ~GradScaler();
  GradScaler(const GradScaler&) = delete;
  GradScaler& operator=(const GradScaler&) = delete;

  /// outputs * scale; of 16-bit outputs in float32, whose range it needs. The first call decides on which
  /// device the scale is.
  Tensor scale(const Tensor& outputs);
  /// Divides the gradients of the optimizer's parameters by the scale, in place, and notes an infinity or
  /// NaN. `Error` for a second call before `update`, after `step`, without a `scale` before, and where no
  /// parameter has a gradient.
  void unscale_(optim::Optimizer& optimizer);
  /// Calls `unscale_` if it has not been called, and makes a step unless a gradient has overflowed. `Error`
  /// for a second call before `update`.
  void step(optim::Optimizer& optimizer);
  /// Changes the scale by what happened since the last call, `Error` where nothing did. Or, in any case, sets
  /// it to `new_scale`, which must be above 0 and finite in float32; that does not count for the growth.
  void update(std::optional<double> new_scale = {});

  bool is_enabled() const;
  const GradScalerOptions& options() const;
  double get_scale() const;            ///< waits for the device; 1 where it is not enabled
  std::int64_t skipped_steps() const;  ///< so far, of all optimizers; waits for the device

  const char* name() const { return "GradScaler"; }
  /// The scale, what it depends on, and the options but `enabled`: a part of a `Checkpoint`.
  StateDict state_dict() const;
  /// Throws `Error`, changing nothing, where the state is that of something else.
  void load_state_dict(const StateDict& state) { prepare_load(state)(); }
  /// The same in two halves: see `PreparedLoad`.
  PreparedLoad prepare_load(const StateDict& state);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace miniparallel
