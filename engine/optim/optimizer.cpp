#include <miniparallel/optim/optimizer.h>

#include "engine/ops/common.h"
#include "engine/optim/gradient.h"
#include "engine/profiler/span.h"

#include <algorithm>

namespace miniparallel::optim {

void Optimizer::add_group(const std::vector<Tensor>& parameters) {
  for (const Tensor& parameter : parameters) {
    const auto position = slots_.size();
    check(parameter.defined(), name_, ": parameter ", position,
          " is undefined; construct the model before its optimizer");
    check(parameter.is_leaf(), name_, ": parameter ", position, " of shape ", parameter.shape(),
          " is the result of ", parameter.grad_fn_name(),
          "; only leaves can be optimised, so pass the tensors it was made of");
    check(parameter.dtype() == float32 || parameter.dtype() == float64, name_, ": parameter ", position,
          " is ", parameter.dtype(),
          "; float32 and float64 can be optimised, so convert it with to(float32)");
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
}

void Optimizer::check_option(const char* option, double value, double limit) const {
  check(value >= 0 && (limit == 0 || value < limit), name_, ": ", option, " is ", value,
        limit == 0 ? "; it must be at least 0" : message("; it must be at least 0 and below ", limit));
}

void Optimizer::step() {
  const profiler::Span span(profiler::Kind::optimizer, name_);
  const NoGradGuard no_grad;
  for (Batch& batch : batches_) batch.slots.clear();
  for (Slot& slot : slots_)
    if (dense_gradient(name_, slot.parameter).defined()) enlist(slot);
  // A gradient of bad labels or indices is reported before it changes a parameter, if it is known by now.
  for (const Batch& batch : batches_)
    if (!batch.slots.empty() && batch.device.is_cuda()) accelerator(batch.device).throw_reported();
  for (const Batch& batch : batches_) {
    if (batch.slots.empty()) continue;
    for (Slot* slot : batch.slots) prepare(*slot);
    update(batch.dtype, batch.device, batch.slots);
    for (const Slot* slot : batch.slots) bump_version(slot->parameter);
  }
}

/// Makes the state that is not there yet, and lets it follow its parameter.
void Optimizer::prepare(Slot& slot) {
  const Tensor& parameter = slot.parameter;
  ++slot.step;
  slot.fresh = false;
  for (std::size_t i = 0, count = state_names(slot.group).size(); i < count; ++i) {
    Tensor& state = slot.state[i];
    if (!state.defined()) {
      state = zeros_like(parameter);
      slot.fresh = true;
    } else if (state.dtype() != parameter.dtype() || state.device() != parameter.device()) {
      state = state.to(parameter.device(), parameter.dtype());
    }
  }
}

void Optimizer::enlist(Slot& slot) {
  check(slot.parameter.is_contiguous(), name_, ": a parameter has shape ", slot.parameter.shape(),
        " and strides ", slot.parameter.strides(),
        "; it must be contiguous, so optimise parameter.contiguous()");
  const DType dtype = slot.parameter.dtype();
  const Device device = slot.parameter.device();
  auto batch =
      std::ranges::find_if(batches_, [&](const Batch& b) { return b.dtype == dtype && b.device == device; });
  if (batch == batches_.end()) batch = batches_.insert(batch, {dtype, device, {}});
  batch->slots.push_back(&slot);
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
  visit_options(group, [&](const char* option, double& value) {
    if (std::string_view(option) == "lr") value = lr;
  });
}

void Optimizer::set_lr(double lr) {
  for (int group = 0; group < num_groups_; ++group) set_lr(group, lr);
}

}  // namespace miniparallel::optim
