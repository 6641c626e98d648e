#pragma once

#include <miniparallel/optim/optimizer.h>

#include <array>

namespace miniparallel::optim {

/// All at least 0; etas below and above 1, step sizes in order; else the constructor throws `Error`.
struct RpropOptions {
  double lr = 1e-2;                         ///< the first step of every element
  std::array<double, 2> etas = {0.5, 1.2};  ///< factors of a step: where the gradient turns, where not
  std::array<double, 2> step_sizes = {1e-6, 50.0};  ///< the least and the largest step
  bool maximize = false;                            ///< ascend: take the gradient with the other sign
};

/// Only the sign of the gradient counts: p -= sign(g) times the element's step, which grows while the
/// sign stays and shrinks when it turns; then the element also waits one update. For whole data sets,
/// not for batches. (Riedmiller, Braun: "A direct adaptive method for faster backpropagation learning:
/// the RPROP algorithm", 1993.)
class Rprop : public OptimizerOf<Rprop, RpropOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
