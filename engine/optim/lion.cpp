#include <miniparallel/optim/lion.h>

#include "engine/optim/optimizer_of.h"

namespace miniparallel::optim {

template class OptimizerOf<Lion, LionOptions>;

std::span<const char* const> Lion::state_names(int) const {
  static constexpr std::array names{"exp_avg"};
  return names;
}

void Lion::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::lion, dtype, device, runs, [this](const Run& run, auto& row) {
    const LionOptions& of = options(run.group);
    row.maximize = of.maximize;
    row.decay = 1 - of.lr * of.weight_decay;
    row.formula = {.lr = of.lr, .beta1 = of.betas[0], .beta2 = of.betas[1]};
  });
}

}  // namespace miniparallel::optim
