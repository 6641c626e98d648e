#include <miniparallel/optim/sgd.h>

#include "engine/optim/optimizer_of.h"

namespace miniparallel::optim {

static void check_options(const char* optimizer, const SGDOptions& options) {
  check(!options.nesterov || (options.momentum > 0 && options.dampening == 0), optimizer,
        ": nesterov needs momentum above 0 and dampening 0; got momentum ", options.momentum,
        " and dampening ", options.dampening);
}

template class OptimizerOf<SGD, SGDOptions>;

std::span<const char* const> SGD::state_names(int group) const {
  static constexpr std::array names{"momentum_buffer"};
  if (options(group).momentum == 0) return {};
  return names;
}

void SGD::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::sgd, dtype, device, runs, [this](const Run& run, auto& row) {
    const SGDOptions& of = options(run.group);
    describe_gradient(of, row);
    row.formula = {.lr = of.lr,
                   .momentum = of.momentum,
                   .gradient_scale = run.step == 1 ? 1 : 1 - of.dampening,
                   .nesterov = of.nesterov};
  });
}

}  // namespace miniparallel::optim
