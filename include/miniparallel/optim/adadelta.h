#pragma once

#include <miniparallel/optim/optimizer.h>

namespace miniparallel::optim {

/// All at least 0, rho below 1; else the constructor throws `Error`.
struct AdadeltaOptions {
  double lr = 1;
  double rho = 0.9;  ///< of the moving averages
  double eps = 1e-6;
  double weight_decay = 0;  ///< added to the gradient, times the parameter
  bool maximize = false;    ///< ascend: take the gradient with the other sign
};

/// With v and u the moving averages of g^2 and of d^2: d = sqrt(u + eps) / sqrt(v + eps) g, p -= lr d.
/// (Zeiler: "ADADELTA: an adaptive learning rate method", 2012.)
class Adadelta : public OptimizerOf<Adadelta, AdadeltaOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
