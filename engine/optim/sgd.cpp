#include <miniparallel/optim/sgd.h>

#include "engine/ops/common.h"

namespace miniparallel::optim {

struct SGD::Rows {
  std::vector<kernels::SgdRow> list;
};

SGD::SGD(const std::vector<Tensor>& parameters, const SGDOptions& options) : SGD({{parameters, options}}) {}

SGD::SGD(const std::vector<Group>& groups) : Optimizer("SGD"), rows_(std::make_unique<Rows>()) {
  for (const Group& group : groups) {
    const SGDOptions& options = group.options;
    check(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
          "SGD: nesterov needs momentum above 0 and dampening 0; got momentum ", options.momentum,
          " and dampening ", options.dampening);
    options_.push_back(options);
    add_group(group.parameters);
  }
  check_groups();
}

SGD::~SGD() = default;

void SGD::visit_options(int group, const OptionVisitor& f) {
  SGDOptions& options = options_[group];
  f("lr", options.lr);
  f("momentum", options.momentum);
  f("dampening", options.dampening);
  f("weight_decay", options.weight_decay);
  double nesterov = options.nesterov;
  f("nesterov", nesterov);
  options.nesterov = nesterov != 0;
}

std::span<const char* const> SGD::state_names(int group) const {
  static constexpr std::array names{"momentum_buffer"};
  if (options_[group].momentum == 0) return {};
  return names;
}

void SGD::update(DType dtype, Device device, std::span<const Run> runs) {
  rows_->list.clear();
  for (const Run& run : runs) {
    const SGDOptions& options = options_[run.group];
    rows_->list.push_back({.parameter = run.parameter,
                           .gradient = run.gradient,
                           .momentum_buffer = run.state[0],
                           .n = run.n,
                           .lr = options.lr,
                           .momentum = options.momentum,
                           .gradient_scale = run.step == 1 ? 1 : 1 - options.dampening,
                           .weight_decay = options.weight_decay,
                           .nesterov = options.nesterov});
  }
  backend(device).optimizer.sgd(dtype, rows_->list, stream(device));
}

}  // namespace miniparallel::optim
