#include <miniparallel/optim/optimizer.h>

#include <miniparallel/grad_mode.h>
#include <miniparallel/ops.h>

#include "engine/capturing.h"
#include "engine/error.h"
#include "engine/optim/slot.h"
#include "engine/random/generator.h"

#include <string_view>

namespace miniparallel::optim {

Optimizer::Optimizer(const char* name) : name_(name) {}
Optimizer::~Optimizer() = default;

void Optimizer::add_group(const std::vector<Tensor>& parameters) {
  for (const Tensor& parameter : parameters) {
    const auto position = slots_.size();
    check(parameter.defined(), name_, ": parameter ", position,
          " is undefined; construct the model before its optimizer");
    check(parameter.is_leaf(), name_, ": parameter ", position, " of shape ", parameter.shape(),
          " is the result of ", parameter.grad_fn_name(),
          "; only leaves can be optimised, so pass the tensors it was made of");
    check(parameter.is_floating(), name_, ": parameter ", position, " is ", parameter.dtype(),
          "; floating dtypes can be optimised, so convert it with to(float32)");
    for (const Slot& slot : slots_)
      check(!slot.parameter.is_same(parameter), name_, ": parameter ", position, " of shape ",
            parameter.shape(), " was given before; pass each parameter once, in one group");
    slots_.push_back({.parameter = parameter, .group = num_groups_, .state = {}});
  }
  ++num_groups_;
}

void Optimizer::check_groups() {
  check(!slots_.empty(), name_, ": got no parameters; pass those of a model, parameters(model)");
  for (int group = 0; group < num_groups_; ++group) {
    visit_options(group, [&](const char* option, double& value) { check_option(option, value); });
  }
  if (any_rounds_at_random()) rounding_seed_ = kernels::random_bits(next_key(1), 0);
}

bool Optimizer::any_rounds_at_random() const {
  for (int group = 0; group < num_groups_; ++group)
    if (rounds_at_random(group)) return true;
  return false;
}

void Optimizer::check_option(const char* option, double value, double limit) const {
  check(value >= 0 && (limit == 0 || value < limit), name_, ": ", option, " is ", value,
        limit == 0 ? "; it must be at least 0" : message("; it must be at least 0 and below ", limit));
}

void Optimizer::zero_grad(bool set_to_none) {
  const NoGradGuard no_grad;
  for (const Slot& slot : slots_) {
    if (set_to_none)
      slot.parameter.set_grad({});
    else if (Tensor gradient = slot.parameter.grad(); gradient.defined())
      slot.parameter.set_grad(zeros_like(gradient));
  }
}

void Optimizer::check_group(int group) const {
  check(0 <= group && group < num_groups_, name_, ": there is no group ", group,
        "; it must be at least 0 and below ", num_groups_);
}

double Optimizer::lr(int group) {
  check_group(group);
  double rate = 0;
  visit_options(group, [&](const char* option, double& value) {
    if (std::string_view(option) == "lr") rate = value;
  });
  return rate;
}

double Optimizer::initial_lr(int group) {
  check_group(group);
  return initial_lr_.empty() ? lr(group) : initial_lr_[static_cast<std::size_t>(group)];
}

void Optimizer::begin_schedule(const char* scheduler, const std::vector<double>& initial_lr) {
  initial_lr_ = initial_lr;
  schedulers_.push_back(scheduler);
}

void Optimizer::set_lr(int group, double lr) {
  check_group(group);
  check_option("lr", lr);
  stop_capture("changes a learning rate", "call set_lr and the scheduler's step after the step");
  visit_options(group, [&](const char* option, double& value) {
    if (std::string_view(option) == "lr") value = lr;
  });
}

void Optimizer::set_lr(double lr) {
  for (int group = 0; group < num_groups_; ++group) set_lr(group, lr);
}

}  // namespace miniparallel::optim
