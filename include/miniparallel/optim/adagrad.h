#pragma once

#include <miniparallel/optim/optimizer.h>

namespace miniparallel::optim {

/// All at least 0; else the constructor throws `Error`.
struct AdagradOptions {
  double lr = 1e-2;
  double lr_decay = 0;                   ///< step t has the rate lr / (1 + (t - 1) lr_decay)
  double weight_decay = 0;               ///< added to the gradient, times the parameter
  double initial_accumulator_value = 0;  ///< of s
  double eps = 1e-10;
  bool maximize = false;  ///< ascend: take the gradient with the other sign
};

/// With s the sum of g^2 so far: p -= lr g / (sqrt(s) + eps). (Duchi, Hazan, Singer: "Adaptive subgradient
/// methods for online learning and stochastic optimization", 2011.)
class Adagrad : public OptimizerOf<Adagrad, AdagradOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
