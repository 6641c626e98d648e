#include <miniparallel/optim/rmsprop.h>

#include "engine/optim/optimizer_of.h"

#include <utility>

namespace miniparallel::optim {

static void check_options(const char* optimizer, const RMSpropOptions& options) {
  check_share(optimizer, "alpha", options.alpha);
}

template class OptimizerOf<RMSprop, RMSpropOptions>;

std::span<const char* const> RMSprop::state_names(int group) const {
  // The buffer comes last, since a schedule of the momentum may add it later.
  static constexpr std::array centered{"square_avg", "grad_avg", "momentum_buffer"};
  static constexpr std::array plain{"square_avg", "momentum_buffer"};
  const RMSpropOptions& of = options(group);
  const std::span<const char* const> all = of.centered ? std::span<const char* const>(centered) : plain;
  return all.first(all.size() - (of.momentum > 0 ? 0 : 1));
}

void RMSprop::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::rmsprop, dtype, device, runs, [this](const Run& run, auto& row) {
    const RMSpropOptions& of = options(run.group);
    describe_gradient(of, row);
    row.formula = {.lr = of.lr,
                   .alpha = of.alpha,
                   .eps = of.eps,
                   .momentum = of.momentum,
                   .center = of.centered ? of.alpha : 1};
    if (!of.centered) std::swap(row.state[1], row.state[2]);
  });
}

}  // namespace miniparallel::optim
