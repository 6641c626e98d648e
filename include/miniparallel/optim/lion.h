#pragma once

#include <miniparallel/optim/optimizer.h>

#include <array>

namespace miniparallel::optim {

/// All at least 0, betas below 1; else the constructor throws `Error`.
struct LionOptions {
  double lr = 1e-4;                           ///< 3 to 10 times smaller than Adam's
  std::array<double, 2> betas = {0.9, 0.99};  ///< of the direction, and of the moving average m
  double weight_decay = 0;                    ///< p *= 1 - lr weight_decay before each update
  bool maximize = false;                      ///< ascend: take the gradient with the other sign
};

/// p -= lr sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g: half of Adam's state. (Chen et
/// al.: "Symbolic discovery of optimization algorithms", 2023.)
class Lion : public OptimizerOf<Lion, LionOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
