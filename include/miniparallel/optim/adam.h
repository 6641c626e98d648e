#pragma once

#include <miniparallel/optim/optimizer.h>

#include <array>

namespace miniparallel::optim {

/// All at least 0, betas below 1; else the constructor throws `Error`.
struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};  ///< of the moving averages of g and g^2
  double eps = 1e-8;                           ///< keeps the divisor from 0
  double weight_decay = 0;                     ///< added to the gradient, times the parameter
  bool amsgrad = false;   ///< divide by the largest v so far (Reddi, Kale, Kumar: "On the convergence of Adam
                          ///< and beyond", 2018)
  bool maximize = false;  ///< ascend: take the gradient with the other sign
  /// Of bfloat16 parameters and their state: round up or down at random, so that the mean is the exact
  /// result and small updates are not lost; others are updated as without. (Gupta et al.: "Deep learning
  /// with limited numerical precision", 2015.) The random numbers depend on a seed that the optimizer draws
  /// when it is made (`manual_seed`), which is part of its state, and on the parameter's number, step and
  /// element.
  bool stochastic_rounding = false;
};

/// With m and v the moving averages of g and g^2, corrected for starting at 0: p -= lr m / (sqrt(v) + eps).
/// (Kingma, Ba: "Adam: a method for stochastic optimization", 2014.)
class Adam : public OptimizerOf<Adam, AdamOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

/// As `AdamOptions`.
struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};  ///< of the moving averages of g and g^2
  double eps = 1e-8;
  double weight_decay = 1e-2;  ///< p *= 1 - lr weight_decay before each update
  bool amsgrad = false;
  bool maximize = false;
  bool stochastic_rounding = false;
};

/// Adam whose weight decay does not pass through the moments.
/// (Loshchilov, Hutter: "Decoupled weight decay regularization", 2017.)
class AdamW : public OptimizerOf<AdamW, AdamWOptions> {
 public:
  using OptimizerOf::OptimizerOf;

 private:
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;
};

}  // namespace miniparallel::optim
