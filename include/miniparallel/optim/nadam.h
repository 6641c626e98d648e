#pragma once

#include <miniparallel/optim/optimizer.h>

#include <array>

namespace miniparallel::optim {

/// All at least 0, betas below 1; else the constructor throws `Error`.
struct NAdamOptions {
  double lr = 2e-3;
  std::array<double, 2> betas = {0.9, 0.999};  ///< of the moving averages of g and g^2
  double eps = 1e-8;
  double weight_decay = 0;              ///< added to the gradient, times the parameter ...
  double momentum_decay = 4e-3;         ///< makes beta1 grow over the first steps
  bool decoupled_weight_decay = false;  ///< ... or p *= 1 - lr weight_decay before each update
  bool maximize = false;                ///< ascend: take the gradient with the other sign
};

/// Adam with Nesterov's momentum: a step also looks ahead by the present gradient. With mu(t) = beta1 (1 -
/// 0.96^(t momentum_decay) / 2) and M(t) = mu(1) ... mu(t):
/// p -= lr ((1 - mu(t)) / (1 - M(t)) g + mu(t + 1) / (1 - M(t + 1)) m) / (sqrt(v) + eps).
/// (Dozat: "Incorporating Nesterov momentum into Adam", 2016.) M is computed from the options, so it is not
/// part of the state as in PyTorch.
class NAdam : public OptimizerOf<NAdam, NAdamOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;

  struct Product {
    double beta1 = 0, momentum_decay = 0;
    std::vector<double> values;  // by step, up to that from which on they are 0
  };
  double product(int group, std::int64_t step);
  std::vector<Product> products_;  // by group: all M so far, and of what
};

}  // namespace miniparallel::optim
