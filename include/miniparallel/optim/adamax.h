#pragma once

#include <miniparallel/optim/optimizer.h>

#include <array>

namespace miniparallel::optim {

/// All at least 0, betas below 1; else the constructor throws `Error`.
struct AdamaxOptions {
  double lr = 2e-3;
  std::array<double, 2> betas = {0.9, 0.999};  ///< of the moving average of g, and of the decaying maximum
  double eps = 1e-8;
  double weight_decay = 0;  ///< added to the gradient, times the parameter
  bool maximize = false;    ///< ascend: take the gradient with the other sign
};

/// Adam by the maximum norm: u = max(beta2 u, |g| + eps), p -= lr m / u. (Kingma, Ba: "Adam: a method for
/// stochastic optimization", 2014, section 7.1.)
class Adamax : public OptimizerOf<Adamax, AdamaxOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
