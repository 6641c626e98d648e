#include <miniparallel/optim/adagrad.h>

#include "engine/optim/optimizer_of.h"

namespace miniparallel::optim {

template class OptimizerOf<Adagrad, AdagradOptions>;

std::span<const char* const> Adagrad::state_names(int) const {
  static constexpr std::array names{"sum"};
  return names;
}

void Adagrad::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::adagrad, dtype, device, runs, [this](const Run& run, auto& row) {
    const AdagradOptions& of = options(run.group);
    describe_gradient(of, row);
    row.formula = {.lr = of.lr / (1 + static_cast<double>(run.step - 1) * of.lr_decay),
                   .eps = of.eps,
                   .start = run.step == 1 ? of.initial_accumulator_value : 0};
  });
}

}  // namespace miniparallel::optim
