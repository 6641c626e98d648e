#pragma once

#include <miniparallel/state_dict.h>
#include <miniparallel/tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace miniparallel::optim {

enum class LineSearch {
  none,          ///< a step of length lr; the first one shorter where the gradient is large
  strong_wolfe,  ///< as far as the loss falls enough and its slope flattens
};

/// Sizes and counts at least 1, tolerances and lr at least 0; else the constructor throws `Error`.
struct LBFGSOptions {
  double lr = 1;
  std::int64_t max_iter = 20;       ///< directions in one `step`
  std::int64_t max_eval = 0;        ///< calls of the closure in one `step`; 0: max_iter * 5 / 4
  double tolerance_grad = 1e-7;     ///< done where no element of the gradient is larger
  double tolerance_change = 1e-9;   ///< done where the parameters or the loss change less
  std::int64_t history_size = 100;  ///< changes of parameters and gradients that are kept
  LineSearch line_search = LineSearch::none;
};

/// Newton's method with the second derivatives guessed from the last gradients, for few parameters and losses
/// of whole data sets, without noise. It computes the loss several times in a step:
///
///   optim::LBFGS optimizer(parameters(model), {.line_search = optim::LineSearch::strong_wolfe});
///   optimizer.step([&] {
///     optimizer.zero_grad();
///     Tensor loss = mse_loss(model(x), y);
///     loss.backward();
///     return loss;
///   });
///
/// The parameters share a dtype and a device; each evaluation waits for a GPU. (Liu, Nocedal: "On the limited
/// memory BFGS method for large scale optimization", 1989; line search: Nocedal, Wright: "Numerical
/// optimization", algorithms 3.5 and 3.6.)
class LBFGS {
 public:
  /// Throws `Error` without parameters, for one that is undefined, no leaf or neither float32 nor float64,
  /// where they differ in dtype or device, and for options out of range.
  explicit LBFGS(std::vector<Tensor> parameters, const LBFGSOptions& options = {});
  ~LBFGS();
  LBFGS(const LBFGS&) = delete;
  LBFGS& operator=(const LBFGS&) = delete;

  /// Up to `max_iter` directions. `closure` computes the loss, one number, and the gradients, which it has
  /// set to zero before; it is called at least once. Returns the loss at the beginning.
  Tensor step(const std::function<Tensor()>& closure);
  void zero_grad();  ///< drops the gradients

  /// The history, by name, and counts. Tensors are the optimizer's own.
  StateDict state_dict() const;
  /// Copies a history in. Throws `Error`, changing nothing, where it is not one of so many elements.
  void load_state_dict(const StateDict& state);

 private:
  struct State;

  std::vector<Tensor> parameters_;
  LBFGSOptions options_;
  std::unique_ptr<State> state_;
};

}  // namespace miniparallel::optim
