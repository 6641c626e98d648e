#pragma once

#include <miniparallel/optim/optimizer.h>

#include <array>
#include <memory>

namespace miniparallel::optim {

/// All at least 0, betas below 1; else the constructor throws `Error`.
struct AdamOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};  ///< of the moving averages of g and g^2
  double eps = 1e-8;                           ///< keeps the divisor from 0
  double weight_decay = 0;                     ///< added to the gradient, times the parameter
};

/// With m and v the moving averages of g and g^2, corrected for starting at 0: p -= lr m / (sqrt(v) + eps).
/// (Kingma, Ba: "Adam: a method for stochastic optimization", 2014.)
class Adam : public Optimizer {
 public:
  using Group = ParamGroup<AdamOptions>;
  explicit Adam(const std::vector<Tensor>& parameters, const AdamOptions& options = {});
  explicit Adam(const std::vector<Group>& groups);
  /// Compiles for nothing: says what to pass in place of a model.
  template <detail::NoParameters<ParamGroup<AdamOptions>> T>
  explicit Adam(const T&, const AdamOptions& = {}) : Adam(detail::reject_no_parameters<T>()) {}
  ~Adam() override;

 protected:
  Adam(const char* name, const std::vector<Group>& groups, bool decoupled);

 private:
  void visit_options(int group, const OptionVisitor& f) override;
  std::span<const char* const> state_names(int group) const override;
  void update(DType dtype, Device device, std::span<const Run> runs) override;

  std::vector<AdamOptions> options_;
  bool decoupled_;  // weight decay acts on the parameter, not through the gradient
  struct Rows;
  std::unique_ptr<Rows> rows_;  // of the last update, kept for their memory
};

/// As `AdamOptions`.
struct AdamWOptions {
  double lr = 1e-3;
  std::array<double, 2> betas = {0.9, 0.999};  ///< of the moving averages of g and g^2
  double eps = 1e-8;
  double weight_decay = 1e-2;  ///< p *= 1 - lr weight_decay before each update
};

/// Adam whose weight decay does not pass through the moments.
/// (Loshchilov, Hutter: "Decoupled weight decay regularization", 2017.)
class AdamW : public Adam {
 public:
  using Group = ParamGroup<AdamWOptions>;
  explicit AdamW(const std::vector<Tensor>& parameters, const AdamWOptions& options = {});
  explicit AdamW(const std::vector<Group>& groups);
  /// Compiles for nothing: says what to pass in place of a model.
  template <detail::NoParameters<ParamGroup<AdamWOptions>> T>
  explicit AdamW(const T&, const AdamWOptions& = {}) : AdamW(detail::reject_no_parameters<T>()) {}
};

}  // namespace miniparallel::optim
