#pragma once

#include <miniparallel/optim/optimizer.h>

#include <array>

namespace miniparallel::optim {

/// All at least 0, betas below 1; else the constructor throws `Error`.
struct RAdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};  ///< of the moving averages of g and g^2
  double eps = 1e-8;
  double weight_decay = 0;              ///< added to the gradient, times the parameter ...
  bool decoupled_weight_decay = false;  ///< ... or p *= 1 - lr weight_decay before each update
  bool maximize = false;                ///< ascend: take the gradient with the other sign
};

/// Adam whose first steps, in which v is the average of few gradients, are plain momentum, and the next ones
/// shorter by a factor that rises to 1: a warm-up without a schedule. (Liu et al.: "On the variance of the
/// adaptive learning rate and beyond", 2019.)
class RAdam : public OptimizerOf<RAdam, RAdamOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
