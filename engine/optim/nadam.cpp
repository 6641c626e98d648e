#include <miniparallel/optim/nadam.h>

#include "engine/optim/optimizer_of.h"

#include <cmath>

namespace miniparallel::optim {

template class OptimizerOf<NAdam, NAdamOptions>;

std::span<const char* const> NAdam::state_names(int) const {
  static constexpr std::array names{"exp_avg", "exp_avg_sq"};
  return names;
}

static double momentum_at(std::int64_t step, double beta1, double momentum_decay) {
  return beta1 * (1 - 0.5 * std::pow(0.96, static_cast<double>(step) * momentum_decay));
}

double NAdam::product(int group, std::int64_t step) {
  if (products_.size() <= static_cast<std::size_t>(group))
    products_.resize(static_cast<std::size_t>(group) + 1);
  Product& of = products_[static_cast<std::size_t>(group)];
  const double beta1 = options(group).betas[0], decay = options(group).momentum_decay;
  if (of.values.empty() || of.beta1 != beta1 || of.momentum_decay != decay) of = {beta1, decay, {1}};
  while (std::ssize(of.values) <= step && of.values.back() > 0)
    of.values.push_back(of.values.back() * momentum_at(std::ssize(of.values), beta1, decay));
  return of.values[static_cast<std::size_t>(std::min<std::int64_t>(step, std::ssize(of.values) - 1))];
}

void NAdam::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::nadam, dtype, device, runs, [this](const Run& run, auto& row) {
    const NAdamOptions& of = options(run.group);
    const auto [beta1, beta2] = of.betas;
    const double momentum = momentum_at(run.step, beta1, of.momentum_decay);
    const double next = momentum_at(run.step + 1, beta1, of.momentum_decay);
    const double product_of_all = product(run.group, run.step);
    describe_gradient(of, row);
    row.formula = {.beta1 = beta1,
                   .beta2 = beta2,
                   .eps = of.eps,
                   .gradient_size = of.lr * (1 - momentum) / (1 - product_of_all),
                   .average_size = of.lr * next / (1 - product_of_all * next),
                   .correction = std::sqrt(1 - std::pow(beta2, static_cast<double>(run.step)))};
  });
}

}  // namespace miniparallel::optim
