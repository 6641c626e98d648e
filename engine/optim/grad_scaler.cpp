#include <miniparallel/optim/grad_scaler.h>

#include <miniparallel/grad_mode.h>
#include <miniparallel/ops.h>

#include "engine/capturing.h"
#include "engine/ops/common.h"
#include "engine/optim/attempts.h"
#include "engine/optim/checked_count.h"
#include "engine/optim/gradient.h"
#include "engine/optim/slot.h"
#include "kernels/half.h"
#include "kernels/loss_scale.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

namespace miniparallel {
namespace {

void check_options(const GradScalerOptions& options) {
  check(options.init_scale > 0 && std::isfinite(options.init_scale), "GradScaler: init_scale is ",
        options.init_scale, "; it must be above 0 and finite");
  check(options.growth_factor > 1, "GradScaler: growth_factor is ", options.growth_factor,
        "; it must be above 1");
  check(options.backoff_factor > 0 && options.backoff_factor < 1, "GradScaler: backoff_factor is ",
        options.backoff_factor, "; it must be between 0 and 1");
  check(options.growth_interval > 0, "GradScaler: growth_interval is ", options.growth_interval,
        "; it must be at least 1");
}

/// The numbers that change, 0-dim tensors on the device of the first loss.
struct Numbers {
  Tensor scale, growth, skipped;

  Numbers(double first_scale, std::int64_t first_growth, std::int64_t first_skipped, Device device)
      : scale(full({}, first_scale, {.dtype = float32, .device = device})),
        growth(full({}, first_growth, {.dtype = int32, .device = device})),
        skipped(full({}, first_skipped, {.dtype = int64, .device = device})) {}
};

/// x * scale. The gradient of a loss is the scale itself, which nobody has to compute.
Tensor times(const Tensor& x, const Tensor& scale) {
  Tensor y;
  {
    const NoGradGuard no_grad;
    y = x * scale;
  }
  const bool is_loss = y.dim() == 0 && y.dtype() == scale.dtype();
  if (autograd::recording(x))
    autograd::record("scale", y, {x}, [scale = autograd::save(scale), is_loss](autograd::Backward& b) {
      const Tensor factor = scale.get(b);
      b.set(0, b.is_unit() && is_loss && !b.create_graph() ? factor : b.grad() * factor);
    });
  return y;
}

}  // namespace

struct GradScaler::State {
  enum class Stage { ready, unscaled, stepped };
  struct Scaled {
    Stage stage = Stage::ready;
    Tensor flags;  // a word for each device that has gradients
    std::weak_ptr<const char> alive;
    std::shared_ptr<optim::Optimizer::Attempts> attempts;  // of a step
  };

  GradScalerOptions options;
  Numbers numbers;
  bool has_scaled = false;
  std::map<const optim::Optimizer*, Scaled> optimizers;

  explicit State(const GradScalerOptions& of) : options(of), numbers(of.init_scale, 0, 0, Device::cpu()) {}
};

GradScaler::GradScaler(const GradScalerOptions& options) {
  check_options(options);
  state_ = std::make_unique<State>(options);
}
GradScaler::~GradScaler() = default;

bool GradScaler::is_enabled() const { return state_->options.enabled; }
const GradScalerOptions& GradScaler::options() const { return state_->options; }

Tensor GradScaler::scale(const Tensor& outputs) {
  if (!is_enabled()) return outputs;
  check_defined("GradScaler::scale", outputs);
  check(outputs.is_floating(), "GradScaler::scale: got ", outputs.dtype(), "; a loss is floating");
  Numbers& numbers = state_->numbers;
  if (!std::exchange(state_->has_scaled, true) && numbers.scale.device() != outputs.device())
    numbers = Numbers(numbers.scale.item(), numbers.growth.item<std::int64_t>(),
                      numbers.skipped.item<std::int64_t>(), outputs.device());
  return times(kernels::is_half(outputs.dtype()) ? outputs.to(float32) : outputs,
               numbers.scale.to(outputs.device()));
}

void GradScaler::unscale_(optim::Optimizer& optimizer) {
  if (!is_enabled()) return;
  State::Scaled& scaled = state_->optimizers[&optimizer];
  check(scaled.stage != State::Stage::unscaled,
        "GradScaler: unscale_() has already been called on this optimizer since the last update()");
  check(scaled.stage != State::Stage::stepped, "GradScaler: unscale_() is being called after step()");
  check(state_->has_scaled, "GradScaler: got gradients that are not scaled; call backward on scale(loss)");

  const NoGradGuard no_grad;
  std::map<Device, std::map<DType, std::vector<Tensor>>> all;
  for (const auto& slot : optimizer.slots_)
    if (Tensor gradient = optim::dense_gradient("GradScaler", slot.parameter); gradient.defined())
      all[gradient.device()][gradient.dtype()].push_back(std::move(gradient));
  check(!all.empty(), "GradScaler: no parameter of ", optimizer.name(),
        " has a gradient; call backward on scale(loss) first");

  for (const auto& [device, by_dtype] : all)
    for (const auto& [dtype, gradients] : by_dtype)
      check(dtype == float32 || dtype == float64, "GradScaler: a gradient is ", dtype,
            "; keep parameters in float32, and compute in 16 bits under Autocast");

  const Numbers& numbers = state_->numbers;
  const Device home = numbers.scale.device();
  const Shape count{std::ssize(all)};
  if (!scaled.flags.defined() || scaled.flags.shape() != count || scaled.flags.device() != home)
    scaled.flags = zeros(count, {.dtype = int32, .device = home});
  std::int64_t number = 0;
  for (const auto& [device, by_dtype] : all) {
    Tensor flag = scaled.flags[number++];
    const Tensor scale = numbers.scale.to(device);
    const Tensor here = device == home ? flag : zeros({}, {.dtype = int32, .device = device});
    for (const auto& [dtype, gradients] : by_dtype) {
      // Not joined: what is between neighbours in an arena may be anything.
      std::vector<kernels::GradientRow> rows;
      for (const Tensor& gradient : gradients) rows.push_back({raw(gradient), gradient.numel()});
      backend(device).loss_scale.unscale(dtype, rows, reinterpret_cast<const float*>(raw(scale)),
                                         reinterpret_cast<std::int32_t*>(raw(here)), stream(device));
      for (const Tensor& gradient : gradients) bump_version(gradient);
    }
    if (device != home) flag.copy_(here);
  }
  scaled.alive = optimizer.alive_;
  scaled.stage = State::Stage::unscaled;
}

void GradScaler::step(optim::Optimizer& optimizer) {
  if (!is_enabled()) return optimizer.step();
  check(state_->optimizers[&optimizer].stage != State::Stage::stepped,
        "GradScaler: step() has already been called since the last update()");
  if (state_->optimizers[&optimizer].stage == State::Stage::ready) unscale_(optimizer);
  State::Scaled& scaled = state_->optimizers[&optimizer];
  optimizer.attempt(scaled.flags);
  scaled.attempts = optimizer.attempts_;
  scaled.stage = State::Stage::stepped;
}

void GradScaler::update(std::optional<double> new_scale) {
  if (!is_enabled()) return;
  const NoGradGuard no_grad;
  const GradScalerOptions& options = state_->options;
  Numbers& numbers = state_->numbers;
  Tensor growth;
  if (new_scale) {
    const float rounded = static_cast<float>(*new_scale);
    check(rounded > 0 && std::isfinite(rounded), "GradScaler::update: new_scale is ", *new_scale,
          "; it must be above 0 and finite");
    stop_capture("sets the scale of a loss", "call update(new_scale) after the step");
    growth = numbers.growth.clone();
  }
  kernels::ScaleUpdate update{.scale = reinterpret_cast<float*>(raw(numbers.scale)),
                              .growth = reinterpret_cast<std::int32_t*>(raw(numbers.growth)),
                              .skipped = reinterpret_cast<std::int64_t*>(raw(numbers.skipped)),
                              .growth_factor = options.growth_factor,
                              .backoff_factor = options.backoff_factor,
                              .growth_interval = options.growth_interval,
                              .steps = {}};
  for (auto& [optimizer, scaled] : state_->optimizers) {
    if (scaled.stage == State::Stage::ready) continue;
    check(update.count < kernels::kMostScaledSteps, "GradScaler: more than ", kernels::kMostScaledSteps,
          " optimizers; call update for some of them first");
    kernels::ScaledStep& step = update.steps[update.count++];
    step.overflow = {reinterpret_cast<std::int32_t*>(raw(scaled.flags)),
                     static_cast<int>(scaled.flags.numel())};
    if (scaled.stage == State::Stage::unscaled) continue;
    step.attempts = reinterpret_cast<kernels::Attempts*>(raw(scaled.attempts->history()));
    step.seen = scaled.attempts->seen();
  }
  check(update.count > 0 || new_scale,
        "GradScaler: update() without a step; call step(optimizer) or unscale_(optimizer) first");
  const Device home = numbers.scale.device();
  backend(home).loss_scale.update(update, stream(home));
  bump_version(numbers.scale);
  if (new_scale) {
    numbers.scale.fill_(*new_scale);
    numbers.growth.copy_(growth);
  }
  std::erase_if(state_->optimizers, [](const auto& each) { return each.second.alive.expired(); });
  for (auto& [optimizer, scaled] : state_->optimizers) scaled.stage = State::Stage::ready;
}

double GradScaler::get_scale() const { return is_enabled() ? state_->numbers.scale.item() : 1; }
std::int64_t GradScaler::skipped_steps() const { return state_->numbers.skipped.item<std::int64_t>(); }

StateDict GradScaler::state_dict() const {
  const GradScalerOptions& options = state_->options;
  const auto number = [](double value) { return scalar_tensor(value, {.dtype = float64}); };
  return {{"scale", number(state_->numbers.scale.item())},
          {"growth_factor", number(options.growth_factor)},
          {"backoff_factor", number(options.backoff_factor)},
          {"growth_interval", scalar_tensor(options.growth_interval)},
          {"growth_tracker", scalar_tensor(state_->numbers.growth.item<std::int64_t>())},
          {"skipped_steps", scalar_tensor(skipped_steps())}};
}

PreparedLoad GradScaler::prepare_load(const StateDict& state) {
  const StateDict here = state_dict();
  std::string faults;
  for (const auto& [key, tensor] : here)
    if (!state.contains(key)) faults += "\n  missing: " + key;
  for (const auto& [key, tensor] : state)
    if (!here.contains(key) || tensor.numel() != 1) faults += "\n  unexpected: " + key;
  check(faults.empty(),
        "GradScaler::load_state_dict: the state does not fit; pass that of a GradScaler:", faults);
  const auto count = [&](const char* key, std::int64_t least) {
    return optim::checked_count("GradScaler", key, state.at(key), least);
  };
  GradScalerOptions options = state_->options;
  options.growth_factor = state.at("growth_factor").item();
  options.backoff_factor = state.at("backoff_factor").item();
  options.growth_interval = count("growth_interval", 1);
  options.init_scale = state.at("scale").item();
  check_options(options);
  const Numbers numbers(options.init_scale, count("growth_tracker", 0), count("skipped_steps", 0),
                        Device::cpu());
  options.init_scale = state_->options.init_scale;
  return [this, options, numbers] {
    const NoGradGuard no_grad;
    state_->options = options;
    Numbers now = state_->numbers;
    now.scale.copy_(numbers.scale);
    now.growth.copy_(numbers.growth);
    now.skipped.copy_(numbers.skipped);
  };
}

}  // namespace miniparallel
