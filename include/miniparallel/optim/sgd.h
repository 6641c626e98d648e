#pragma once

#include <miniparallel/optim/optimizer.h>

#include <memory>

namespace miniparallel::optim {

/// All at least 0; else the constructor throws `Error`.
struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;     ///< share of a new gradient that does not enter the momentum
  double weight_decay = 0;  ///< added to the gradient, times the parameter
  bool nesterov = false;    ///< needs momentum and no dampening
};

/// Stochastic gradient descent: with g the gradient plus weight_decay p, b = momentum b + (1 - dampening) g
/// (b = g at first), p -= lr b, or lr (g + momentum b) for Nesterov. (Sutskever, Martens, Dahl, Hinton: "On
/// the importance of initialization and momentum in deep learning", 2013, in PyTorch's form.)
class SGD : public Optimizer {
 public:
  using Group = ParamGroup<SGDOptions>;
  explicit SGD(const std::vector<Tensor>& parameters, const SGDOptions& options = {});
  explicit SGD(const std::vector<Group>& groups);
  /// Compiles for nothing: says what to pass in place of a model.
  template <detail::NoParameters<ParamGroup<SGDOptions>> T>
  explicit SGD(const T&, const SGDOptions& = {}) : SGD(detail::reject_no_parameters<T>()) {}
  ~SGD() override;

 private:
  void visit_options(int group, const OptionVisitor& f) override;
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;

  std::vector<SGDOptions> options_;
  struct Rows;
  std::unique_ptr<Rows> rows_;  // of the last update, kept for their memory
};

}  // namespace miniparallel::optim
