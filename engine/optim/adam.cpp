#include <miniparallel/optim/adam.h>

#include "engine/optim/optimizer_of.h"

#include <cmath>

namespace miniparallel::optim {

template class OptimizerOf<Adam, AdamOptions>;
template class OptimizerOf<AdamW, AdamWOptions>;

namespace {

std::span<const char* const> names_of_states(bool amsgrad) {
  static constexpr std::array names{"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
  return std::span(names).first(amsgrad ? 3 : 2);
}

template <class Options>
kernels::updates::Adam formula_of(const Options& options, std::int64_t count) {
  const auto [beta1, beta2] = options.betas;
  const double step = static_cast<double>(count);
  return {.beta1 = beta1,
          .beta2 = beta2,
          .eps = options.eps,
          .step_size = options.lr / (1 - std::pow(beta1, step)),
          .correction = std::sqrt(1 - std::pow(beta2, step))};
}

/// Updates runs that all round at random, or none: `options_of(run)`, and `describe(options, row)` for what
/// is done before the formula.
template <class Run, class OptionsOf, class Describe>
void update_adam(DType dtype, Device device, std::span<const Run> runs, std::uint64_t seed,
                 const OptionsOf& options_of, const Describe& describe) {
  if (dtype == bfloat16 && options_of(runs[0]).stochastic_rounding)
    update_runs(&kernels::Optimizer::rounded_adam, dtype, device, runs, [&](const Run& run, auto& row) {
      describe(options_of(run), row);
      row.formula = {formula_of(options_of(run), run.step), seed, static_cast<std::uint64_t>(run.step)};
      row.first = run.place;
    });
  else
    update_runs(&kernels::Optimizer::adam, dtype, device, runs, [&](const Run& run, auto& row) {
      describe(options_of(run), row);
      row.formula = formula_of(options_of(run), run.step);
    });
}

}  // namespace

std::span<const char* const> Adam::state_names(int group) const {
  return names_of_states(options(group).amsgrad);
}

void Adam::update(DType dtype, Device device, std::span<const Run> runs) {
  update_adam(
      dtype, device, runs, rounding_seed(), [this](const Run& run) { return options(run.group); },
      [](const AdamOptions& of, auto& row) { describe_gradient(of, row); });
}

std::span<const char* const> AdamW::state_names(int group) const {
  return names_of_states(options(group).amsgrad);
}

void AdamW::update(DType dtype, Device device, std::span<const Run> runs) {
  update_adam(
      dtype, device, runs, rounding_seed(), [this](const Run& run) { return options(run.group); },
      [](const AdamWOptions& of, auto& row) {
        row.maximize = of.maximize;
        row.decay = 1 - of.lr * of.weight_decay;
      });
}

}  // namespace miniparallel::optim
