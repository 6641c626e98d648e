#include <miniparallel/optim/adam.h>

#include "engine/ops/common.h"

#include <cmath>

namespace miniparallel::optim {

struct Adam::Rows {
  std::vector<kernels::AdamRow> list;
};

Adam::Adam(const std::vector<Tensor>& parameters, const AdamOptions& options)
    : Adam("Adam", {{parameters, options}}, false) {}

Adam::Adam(const std::vector<Group>& groups) : Adam("Adam", groups, false) {}

Adam::Adam(const char* name, const std::vector<Group>& groups, bool decoupled)
    : Optimizer(name), decoupled_(decoupled), rows_(std::make_unique<Rows>()) {
  for (const Group& group : groups) {
    check_option("betas[0]", group.options.betas[0], 1);
    check_option("betas[1]", group.options.betas[1], 1);
    options_.push_back(group.options);
    add_group(group.parameters);
  }
  check_groups();
}

Adam::~Adam() = default;

void Adam::visit_options(int group, const OptionVisitor& f) {
  AdamOptions& options = options_[group];
  f("lr", options.lr);
  f("beta1", options.betas[0]);
  f("beta2", options.betas[1]);
  f("eps", options.eps);
  f("weight_decay", options.weight_decay);
}

std::span<const char* const> Adam::state_names(int) const {
  static constexpr std::array names{"exp_avg", "exp_avg_sq"};
  return names;
}

void Adam::update(DType dtype, Device device, std::span<const Run> runs) {
  rows_->list.clear();
  for (const Run& run : runs) {
    const AdamOptions& options = options_[run.group];
    const auto [beta1, beta2] = options.betas;
    const double step = static_cast<double>(run.step);
    rows_->list.push_back({.parameter = run.parameter,
                           .gradient = run.gradient,
                           .exp_avg = run.state[0],
                           .exp_avg_sq = run.state[1],
                           .n = run.n,
                           .beta1 = beta1,
                           .beta2 = beta2,
                           .eps = options.eps,
                           .weight_decay = decoupled_ ? 0 : options.weight_decay,
                           .decay = decoupled_ ? 1 - options.lr * options.weight_decay : 1,
                           .step_size = options.lr / (1 - std::pow(beta1, step)),
                           .correction = std::sqrt(1 - std::pow(beta2, step))});
  }
  backend(device).optimizer.adam(dtype, rows_->list, stream(device));
}

namespace {

std::vector<Adam::Group> as_adam(const std::vector<AdamW::Group>& groups) {
  std::vector<Adam::Group> converted;
  converted.reserve(groups.size());
  for (const auto& [parameters, options] : groups)
    converted.push_back({parameters, {options.lr, options.betas, options.eps, options.weight_decay}});
  return converted;
}

}  // namespace

AdamW::AdamW(const std::vector<Tensor>& parameters, const AdamWOptions& options)
    : AdamW({{parameters, options}}) {}

AdamW::AdamW(const std::vector<Group>& groups) : Adam("AdamW", as_adam(groups), true) {}

}  // namespace miniparallel::optim
