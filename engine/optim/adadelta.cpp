#include <miniparallel/optim/adadelta.h>

#include "engine/optim/optimizer_of.h"

namespace miniparallel::optim {

static void check_options(const char* optimizer, const AdadeltaOptions& options) {
  check_share(optimizer, "rho", options.rho);
}

template class OptimizerOf<Adadelta, AdadeltaOptions>;

std::span<const char* const> Adadelta::state_names(int) const {
  static constexpr std::array names{"square_avg", "acc_delta"};
  return names;
}

void Adadelta::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::adadelta, dtype, device, runs, [this](const Run& run, auto& row) {
    const AdadeltaOptions& of = options(run.group);
    describe_gradient(of, row);
    row.formula = {.lr = of.lr, .rho = of.rho, .eps = of.eps};
  });
}

}  // namespace miniparallel::optim
