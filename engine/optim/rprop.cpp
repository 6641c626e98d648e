#include <miniparallel/optim/rprop.h>

#include "engine/optim/optimizer_of.h"

namespace miniparallel::optim {

static void check_options(const char* optimizer, const RpropOptions& options) {
  const auto [shrink, grow] = options.etas;
  const auto [least, most] = options.step_sizes;
  check(shrink > 0 && shrink < 1 && grow > 1, optimizer, ": etas are ", shrink, " and ", grow,
        "; they must be between 0 and 1, and above 1");
  check(least <= most, optimizer, ": step_sizes are ", least, " and ", most, "; the least comes first");
}

template class OptimizerOf<Rprop, RpropOptions>;

std::span<const char* const> Rprop::state_names(int) const {
  static constexpr std::array names{"prev", "step_size"};
  return names;
}

void Rprop::update(DType dtype, Device device, std::span<const Run> runs) {
  update_runs(&kernels::Optimizer::rprop, dtype, device, runs, [this](const Run& run, auto& row) {
    const RpropOptions& of = options(run.group);
    row.maximize = of.maximize;
    row.formula = {.shrink = of.etas[0],
                   .grow = of.etas[1],
                   .least = of.step_sizes[0],
                   .most = of.step_sizes[1],
                   .start = run.step == 1 ? of.lr : 0};
  });
}

}  // namespace miniparallel::optim
