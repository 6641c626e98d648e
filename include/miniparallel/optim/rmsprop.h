#pragma once

#include <miniparallel/optim/optimizer.h>

namespace miniparallel::optim {

/// All at least 0, alpha below 1; else the constructor throws `Error`.
struct RMSpropOptions {
  double lr = 1e-2;
  double alpha = 0.99;  ///< of the moving average of g^2
  double eps = 1e-8;
  double weight_decay = 0;  ///< added to the gradient, times the parameter
  double momentum = 0;
  bool centered = false;  ///< divide by the deviation of g: its average is subtracted
  bool maximize = false;  ///< ascend: take the gradient with the other sign
};

/// With v the moving average of g^2: b = momentum b + g / (sqrt(v) + eps), p -= lr b. (Tieleman, Hinton:
/// lecture 6.5 of "Neural networks for machine learning", 2012; centred as in Graves: "Generating sequences
/// with recurrent neural networks", 2013.)
class RMSprop : public OptimizerOf<RMSprop, RMSpropOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
