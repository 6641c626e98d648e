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

}  // namespace

std::span<const char* const> Adam::state_names(int group) const {
  return names_of_states(options(group).amsgrad);
}

void Adam::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::adam, dtype, device, runs, [this](const Run& run, auto& row) {
    describe_gradient(options(run.group), row);
    row.formula = formula_of(options(run.group), run.step);
  });
}

std::span<const char* const> AdamW::state_names(int group) const {
  return names_of_states(options(group).amsgrad);
}

void AdamW::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::adam, dtype, device, runs, [this](const Run& run, auto& row) {
    row.maximize = options(run.group).maximize;
    row.decay = 1 - options(run.group).lr * options(run.group).weight_decay;
    row.formula = formula_of(options(run.group), run.step);
  });
}

}  // namespace miniparallel::optim
