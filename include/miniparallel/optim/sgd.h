#pragma once

#include <miniparallel/optim/optimizer.h>

namespace miniparallel::optim {

/// All at least 0; else the constructor throws `Error`.
struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;     ///< share of a new gradient that does not enter the momentum
  double weight_decay = 0;  ///< added to the gradient, times the parameter
  bool nesterov = false;    ///< needs momentum and no dampening
  bool maximize = false;    ///< ascend: take the gradient with the other sign
};

/// Stochastic gradient descent: with g the gradient plus weight_decay p, b = momentum b + (1 - dampening) g
/// (b = g at first), p -= lr b, or lr (g + momentum b) for Nesterov. (Sutskever, Martens, Dahl, Hinton: "On
/// the importance of initialization and momentum in deep learning", 2013, in PyTorch's form.)
class SGD : public OptimizerOf<SGD, SGDOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
