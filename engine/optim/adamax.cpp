#include <miniparallel/optim/adamax.h>

#include "engine/optim/optimizer_of.h"

#include <cmath>

namespace miniparallel::optim {

template class OptimizerOf<Adamax, AdamaxOptions>;

std::span<const char* const> Adamax::state_names(int) const {
  static constexpr std::array names{"exp_avg", "exp_inf"};
  return names;
}

void Adamax::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::adamax, dtype, device, runs, [this](const Run& run, auto& row) {
    const AdamaxOptions& of = options(run.group);
    const auto [beta1, beta2] = of.betas;
    describe_gradient(of, row);
    row.formula = {.beta1 = beta1,
                   .beta2 = beta2,
                   .eps = of.eps,
                   .step_size = of.lr / (1 - std::pow(beta1, static_cast<double>(run.step)))};
  });
}

}  // namespace miniparallel::optim
