#include "engine/ops/common.h"
#include "engine/optim/gradient.h"
#include "engine/optim/slot.h"
#include "engine/profiler/span.h"
#include "engine/tensor/arena.h"

#include <algorithm>
#include <utility>

namespace miniparallel::optim {

/// One step of an optimizer: first everything that can fail, then the updates.
class Optimizer::Step {
 public:
  explicit Step(Optimizer& of) : of_(of), kinds_(kinds_of_groups()) {}

  void prepare() {
    for (Slot& slot : of_.slots_)
      if (Tensor gradient = dense_gradient(of_.name_, slot.parameter); gradient.defined())
        enlist(slot, std::move(gradient));
    // A gradient of bad labels or indices is reported before it changes a parameter, if it is known by now.
    for (const Batch& batch : batches_)
      if (batch.device.is_cuda()) accelerator(batch.device).throw_reported();
    for (Batch& batch : batches_) divide(batch);
  }

  void update() {
    for (const Batch& batch : batches_) {
      for (const Item& item : batch.items) ++item.slot->step;
      of_.update(batch.dtype, batch.device, batch.runs);
      for (const Item& item : batch.items) bump_version(item.slot->parameter);
    }
  }

 private:
  struct Item {
    Slot* slot;
    Tensor gradient;
    bool
        joined;  // parameter and gradient are neighbours of the item's before it, and there are as many states
  };
  struct Batch {
    DType dtype;
    Device device;
    std::vector<Item> items;
    std::vector<Run> runs;
  };
  using Items = std::span<const Item>;
  struct Kind {
    int first;           // of the neighbouring groups with the same options
    std::size_t states;  // how many each parameter has
  };

  std::vector<Kind> kinds_of_groups() {
    std::vector<Kind> kinds;
    std::vector<double> before;
    for (int group = 0; group < of_.num_groups_; ++group) {
      std::vector<double> options;
      of_.visit_options(group, [&](const char*, const double& value) { options.push_back(value); });
      kinds.push_back({group, of_.state_names(group).size()});
      if (group > 0 && options == before && kinds[group - 1].states == kinds[group].states)
        kinds[group].first = kinds[group - 1].first;
      before = std::move(options);
    }
    return kinds;
  }
  const Kind& kind_of(const Item& item) const { return kinds_[item.slot->group]; }

  void enlist(Slot& slot, Tensor gradient) {
    const TensorImpl& parameter = *slot.parameter.impl();
    check(parameter.contiguous, of_.name_, ": a parameter has shape ", parameter.shape, " and strides ",
          parameter.strides, "; it must be contiguous, so optimise parameter.contiguous()");
    const DType dtype = parameter.dtype;
    const Device device = parameter.storage->device();
    auto batch = std::ranges::find_if(batches_,
                                      [&](const Batch& b) { return b.dtype == dtype && b.device == device; });
    if (batch == batches_.end()) {
      batch = batches_.insert(batch, {dtype, device, {}, {}});
      batch->items.reserve(of_.slots_.size());
    }
    Item item{&slot, std::move(gradient), false};
    if (!batch->items.empty()) {
      const Item& before = batch->items.back();
      item.joined = are_neighbours(before.gradient, item.gradient) &&
                    are_neighbours(before.slot->parameter, slot.parameter) &&
                    kind_of(before).states == kind_of(item).states;
    }
    batch->items.push_back(std::move(item));
  }

  /// Makes the state that is not there yet, and lets it follow its parameters; then finds the runs.
  void divide(Batch& batch) const {
    const Items items = batch.items;
    for_each_run(
        items.size(), [&](std::size_t i) { return items[i + 1].joined; },
        [&](std::size_t first, std::size_t last) {
          const Items neighbours = items.subspan(first, last + 1 - first);
          for (std::size_t k = 0; k < kind_of(items[first]).states; ++k)
            if (!has_state(neighbours, k)) place_state(neighbours, k);
        });
    for_each_run(
        items.size(), [&](std::size_t i) { return are_updated_alike(items[i], items[i + 1]); },
        [&](std::size_t first, std::size_t last) {
          batch.runs.push_back(make_run(items[first], items[last]));
        });
  }

  bool are_updated_alike(const Item& before, const Item& item) const {
    return item.joined && before.slot->step == item.slot->step &&
           kind_of(before).first == kind_of(item).first;
  }

  Run make_run(const Item& first, const Item& last) const {
    Run run{.group = first.slot->group,
            .step = first.slot->step + 1,
            .n = elements(first.slot->parameter, last.slot->parameter),
            .parameter = raw(first.slot->parameter, last.slot->parameter),
            .gradient = raw(first.gradient, last.gradient),
            .state = {}};
    for (std::size_t k = 0; k < kind_of(first).states; ++k)
      run.state[k] = raw(first.slot->state[k], last.slot->state[k]);
    return run;
  }

  /// Whether state `k` is there and stands as the parameters do.
  static bool has_state(Items items, std::size_t k) {
    const Tensor* before = nullptr;
    for (const Item& item : items) {
      const Tensor& state = item.slot->state[k];
      if (!state.defined() || state.impl()->dtype != item.slot->parameter.impl()->dtype ||
          state.impl()->storage->device() != item.slot->parameter.impl()->storage->device())
        return false;
      if (before != nullptr && !are_neighbours(*before, state)) return false;
      before = &state;
    }
    return true;
  }

  /// Moves it to a block where it does. A state that was not there is zero and has seen no updates, whatever its
  /// parameter has: SGD's momentum, if it is switched on in the middle of a training.
  static void place_state(Items items, std::size_t k) {
    std::vector<Tensor> parameters;
    parameters.reserve(items.size());
    for (const Item& item : items) parameters.push_back(item.slot->parameter);
    const Arena arena(parameters, parameters[0].device());
    for (std::size_t i = 0; i < items.size(); ++i) {
      Tensor& state = items[i].slot->state[k];
      Tensor place = arena.tensor(i);
      if (state.defined()) {
        place.copy_(state);
        set_data(state, place);
      } else {
        state = place;
        items[i].slot->step = 0;
      }
    }
  }

  Optimizer& of_;
  std::vector<Kind> kinds_;  // by group
  std::vector<Batch> batches_;
};

void Optimizer::step() {
  const profiler::Span span(profiler::Kind::optimizer, name_);
  const NoGradGuard no_grad;
  Step step(*this);
  step.prepare();
  step.update();
}

}  // namespace miniparallel::optim
