#include <miniparallel/optim/radam.h>

#include "engine/optim/optimizer_of.h"

#include <cmath>

namespace miniparallel::optim {

template class OptimizerOf<RAdam, RAdamOptions>;

std::span<const char* const> RAdam::state_names(int) const {
  static constexpr std::array names{"exp_avg", "exp_avg_sq"};
  return names;
}

/// The paper's r_t, or 0 while the average of g^2 is as good as one of 5 gradients or fewer.
static double rectification(double beta2, double step) {
  const double power = std::pow(beta2, step);
  const double longest = 2 / (1 - beta2) - 1, length = longest - 2 * step * power / (1 - power);
  if (!(length > 5)) return 0;
  return std::sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
}

void RAdam::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::radam, dtype, device, runs, [this](const Run& run, auto& row) {
    const RAdamOptions& of = options(run.group);
    const auto [beta1, beta2] = of.betas;
    const double step = static_cast<double>(run.step);
    describe_gradient(of, row);
    row.formula = {.beta1 = beta1,
                   .beta2 = beta2,
                   .eps = of.eps,
                   .step_size = of.lr / (1 - std::pow(beta1, step)),
                   .rectification = rectification(beta2, step) * std::sqrt(1 - std::pow(beta2, step))};
  });
}

}  // namespace miniparallel::optim
