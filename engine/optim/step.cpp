#include "engine/ops/half.h"
#include "engine/optim/attempts.h"
#include "engine/optim/gradient.h"
#include "engine/optim/replayed_step.h"
#include "engine/optim/rule_choices.h"
#include "engine/optim/shards.h"
#include "engine/optim/slot.h"
#include "engine/profiler/span.h"
#include "engine/tensor/arena.h"

#include <algorithm>
#include <utility>

namespace miniparallel::optim {

/// One step of an optimizer: first everything that can fail, then the updates.
class Optimizer::Step {
 public:
  /// `flags`: that devices skip the step if one of them is not 0; undefined where they do not.
  explicit Step(Optimizer& of, Tensor flags = {})
      : of_(of), kinds_(of.kinds_of_groups()), flags_(std::move(flags)) {}

  void prepare() {
    ShardsFinder find_shards;
    for (Slot& slot : of_.slots_) {
      Tensor gradient = dense_gradient(of_.name_, slot.parameter);
      Shards* const shards = find_shards(slot.parameter);
      // The division of states depends on no gradient that comes now and then.
      const bool divided = shards != nullptr && (slot.divided || slot.parameter.requires_grad());
      if (gradient.defined() || divided) enlist(slot, std::move(gradient), shards);
    }
    std::erase_if(batches_,
                  [](const Batch& batch) { return std::ranges::none_of(batch.items, has_gradient); });
    // A gradient of bad labels or indices is reported before it changes a parameter, if it is known by now.
    for (const Batch& batch : batches_)
      if (batch.device.is_cuda()) accelerator(batch.device).throw_reported();
    for (Batch& batch : batches_)
      if (batch.shards == nullptr)
        place(batch);
      else
        divide(batch);
  }

  void update() {
    if (capturing != nullptr) [[unlikely]]
      replay_ = std::make_unique<Replay>(of_, flags_);
    if (flags_.defined()) of_.begin_attempt();
    for (const Batch& batch : batches_)
      if (batch.shards == nullptr)
        counted(batch, [&] { update(batch, batch.device, batch.runs); });
      else
        batch.shards->step(batch.parts, [&] { counted(batch, [&] { update_parts(batch); }); });
    if (replay_ && capturing != nullptr) capturing->add(std::move(replay_));
  }

 private:
  struct Item {
    Slot* slot;
    Tensor gradient;
    bool joined;  // to the item before it: both tensors are neighbours of its, and there are as many states
  };
  static bool has_gradient(const Item& item) { return item.gradient.defined(); }

  /// What one of several devices updates of a run.
  struct Piece {
    int group;
    std::int64_t step;
    std::int64_t place;
    std::uint32_t pending;
    Tensor gradient;
    std::array<Tensor, kMaxStates> state;
  };
  /// What is updated in one pass.
  struct Batch {
    DType dtype;
    Device device;
    Shards* shards;      // null where the device updates all, in `runs`; otherwise
    bool rounds;         // at random
    std::size_t states;  // of each item, of which some may have no gradient,
    std::vector<Item> items;
    std::vector<Run> runs;
    std::vector<Shards::Part> parts;  // and several devices update these,
    std::vector<Piece> pieces;        // for each of which there is a piece
  };
  using Items = std::span<const Item>;
  const Kind& kind_of(const Item& item) const { return kinds_[item.slot->group]; }
  bool rounds_at_random(const Slot& slot) const {
    return kinds_[slot.group].rounds && slot.parameter.impl()->dtype == bfloat16;
  }
  std::int64_t place_of(const Slot& slot) const { return (&slot - of_.slots_.data()) * Slot::kMostElements; }

  void enlist(Slot& slot, Tensor gradient, Shards* shards) {
    const TensorImpl& parameter = *slot.parameter.impl();
    check(parameter.contiguous, of_.name_, ": a parameter has shape ", parameter.shape, " and strides ",
          parameter.strides, "; it must be contiguous, so optimise parameter.contiguous()");
    if (of_.takes_matrices()) {
      check(parameter.shape.rank() == 2, of_.name_, ": a parameter has shape ", parameter.shape,
            "; it takes matrices, so give the others to another optimizer");
      check(shards == nullptr, of_.name_,
            ": several devices cannot divide the update of a matrix; leave "
            "shard_optimizer off");
    }
    const DType dtype = parameter.dtype;
    const Device device = parameter.storage->device();
    const std::size_t states = shards == nullptr ? 0 : kinds_[slot.group].states;
    const bool rounds = rounds_at_random(slot);
    auto batch = std::ranges::find_if(batches_, [&](const Batch& b) {
      return b.dtype == dtype && b.device == device && b.shards == shards && b.rounds == rounds &&
             b.states == states;
    });
    if (batch == batches_.end()) {
      batch = batches_.insert(batch, {dtype, device, shards, rounds, states, {}, {}, {}, {}});
      batch->items.reserve(of_.slots_.size());
    }
    Item item{&slot, std::move(gradient), false};
    if (!batch->items.empty()) {
      const Item& before = batch->items.back();
      item.joined = !of_.takes_matrices() && has_gradient(before) && has_gradient(item) &&
                    are_neighbours(before.gradient, item.gradient) &&
                    are_neighbours(before.slot->parameter, slot.parameter) &&
                    kind_of(before).states == kind_of(item).states;
    }
    batch->items.push_back(std::move(item));
  }

  /// Makes the state that is not there yet, and lets it follow its parameters; then finds the runs.
  void place(Batch& batch) const {
    const Items items = batch.items;
    for (const Item& item : items) item.slot->join_state();
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

  /// The same where several devices step: each has a part of the state, and of the runs.
  void divide(Batch& batch) const {
    const Items items = batch.items;
    divide_state(batch);
    for_each_run(
        items.size(), [&](std::size_t i) { return are_updated_alike(items[i], items[i + 1]); },
        [&](std::size_t first, std::size_t last) {
          if (has_gradient(items[first])) divide_run(batch, items[first], items[last]);
        });
  }

  bool are_updated_alike(const Item& before, const Item& item) const {
    return item.joined && !rounds_at_random(*item.slot) && before.slot->step == item.slot->step &&
           before.slot->pending == item.slot->pending && kind_of(before).first == kind_of(item).first;
  }

  Run make_run(const Item& first, const Item& last) const {
    Run run{.group = first.slot->group,
            .step = first.slot->step + 1,
            .n = elements(first.slot->parameter, last.slot->parameter),
            .parameter = raw(first.slot->parameter, last.slot->parameter),
            .gradient = raw(first.gradient, last.gradient),
            .state = {},
            .place = place_of(*first.slot),
            .pending = first.slot->pending,
            .shape = of_.takes_matrices() ? first.slot->parameter.shape() : Shape{}};
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

  /// Moves it to a block where it does. A state that was not there is zero and has seen no updates, whatever
  /// its parameter has: SGD's momentum, if it is switched on in the middle of a training.
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

  /// Elements `from` to `from` + `count` - 1 of a flat run that begins where `first` does.
  static Tensor part_of(const Tensor& first, std::int64_t from, std::int64_t count) {
    return make_alias(first, {count}, {1}, first.impl()->offset + from);
  }

  /// Divides state that is not yet divided as it should be: as its parameters are, whose neighbours are in
  /// its row as far from each other as in memory.
  static void divide_state(const Batch& batch) {
    const Items items = batch.items;
    std::vector<std::int64_t> positions;
    std::vector<DividedState::Part> parts;
    std::int64_t end = 0;
    for_each_run(
        items.size(),
        [&](std::size_t i) { return are_neighbours(items[i].slot->parameter, items[i + 1].slot->parameter); },
        [&](std::size_t first, std::size_t last) {
          const Tensor& front = items[first].slot->parameter;
          const std::int64_t offset = front.impl()->offset,
                             count = elements(front, items[last].slot->parameter);
          for (std::size_t i = first; i <= last; ++i)
            positions.push_back(end + items[i].slot->parameter.impl()->offset - offset);
          for (const auto& [device, values] : batch.shards->parts(part_of(front, 0, count))) {
            const std::int64_t from = end + values.impl()->offset - offset;
            parts.push_back({device, from, from + values.numel()});
          }
          end += count;
        });
    const std::shared_ptr<DividedState> before = items[0].slot->divided;
    bool same = before && before->is_like(batch.shards->devices(), batch.dtype, parts, batch.states);
    for (std::size_t i = 0; same && i < items.size(); ++i)
      same = items[i].slot->divided == before && items[i].slot->position == positions[i];
    if (same) return;
    const auto made =
        std::make_shared<DividedState>(batch.shards->devices(), batch.dtype, std::move(parts), batch.states);
    for (std::size_t i = 0; i < items.size(); ++i)
      for (std::size_t k = 0; k < batch.states; ++k)
        if (const Tensor state = items[i].slot->whole_state(k); state.defined())
          made->set(k, positions[i], state);
        else
          items[i].slot->step = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i].slot->state = {};
      items[i].slot->divided = made;
      items[i].slot->position = positions[i];
    }
  }

  void divide_run(Batch& batch, const Item& first, const Item& last) const {
    const Slot& slot = *first.slot;
    const Tensor run = part_of(slot.parameter, 0, elements(slot.parameter, last.slot->parameter));
    for (Shards::Part& part : batch.shards->parts(run)) {
      const std::int64_t from = part.values.impl()->offset - run.impl()->offset, count = part.values.numel();
      const Tensor gradient = part_of(first.gradient, from, count);
      batch.pieces.push_back({slot.group,
                              slot.step + 1,
                              place_of(slot) + from,
                              slot.pending,
                              batch.shards->gradient_on(part.device, gradient),
                              {}});
      for (std::size_t k = 0; k < batch.states; ++k)
        batch.pieces.back().state[k] =
            slot.divided->state(k, slot.position + from, slot.position + from + count);
      batch.parts.push_back(std::move(part));
    }
  }

  /// Calls f(), which updates the batch. If it fails halfway, parameters have been written all the same, and
  /// copies of them elsewhere are out of date.
  template <class F>
  void counted(const Batch& batch, const F& f) {
    for (const Item& item : batch.items) {
      if (!has_gradient(item)) continue;
      ++item.slot->step;
      if (flags_.defined()) item.slot->pending |= 1;
      bump_version(item.slot->parameter);
      if (replay_) replay_->updates(*item.slot);
    }
    f();
  }

  void update(const Batch& batch, Device device, std::span<const Run> runs) {
    if (!flags_.defined()) return update_in_its_dtype(batch, device, runs);
    const Tensor flags = flags_.to(device), history = of_.attempts_->history().to(device);
    const OnDevice by{{reinterpret_cast<std::int32_t*>(raw(flags)), static_cast<int>(flags.numel())},
                      reinterpret_cast<const kernels::Attempts*>(raw(history))};
    const OnDeviceScope scope(by);
    update_in_its_dtype(batch, device, runs);
  }

  void update_in_its_dtype(const Batch& batch, Device device, std::span<const Run> runs) {
    if (is_half(batch.dtype) && !batch.rounds && (device.is_cpu() || of_.takes_matrices()))
      update_in_float32(batch.dtype, device, runs);
    else
      update_as_stored(batch.dtype, device, runs);
  }

  /// Parameters, gradients and states of a 16-bit dtype where there is no kernel for them: as float32, then
  /// rounded back.
  void update_in_float32(DType dtype, Device device, std::span<const Run> runs) {
    std::vector<Run> wide(runs.begin(), runs.end());
    std::vector<Tensor> copies;  // in use until the last launch
    const auto convert = [&](DType from, DType to, const void* x, void* y, std::int64_t n) {
      kernels::ElementwiseArgs args;
      args.layout = kernels::make_layout({n}, {{1}, {1}});
      args.operands[0] = y;
      args.operands[1] = const_cast<void*>(x);
      backend(device).elementwise.convert(from, to, args, stream(device));
    };
    const auto widen = [&](auto*& place, std::int64_t n) {
      if (place == nullptr) return;
      copies.push_back(make_tensor({n}, float32, device));
      convert(dtype, float32, place, raw(copies.back()), n);
      place = raw(copies.back());
    };
    for (Run& run : wide) {
      widen(run.parameter, run.n);
      widen(run.gradient, run.n);
      for (auto*& state : run.state) widen(state, run.n);
    }
    update_as_stored(float32, device, wide);
    for (std::size_t i = 0; i < runs.size(); ++i) {
      convert(float32, dtype, wide[i].parameter, runs[i].parameter, runs[i].n);
      for (std::size_t k = 0; k < kMaxStates; ++k)
        if (runs[i].state[k] != nullptr)
          convert(float32, dtype, wide[i].state[k], runs[i].state[k], runs[i].n);
    }
  }

  void update_as_stored(DType dtype, Device device, std::span<const Run> runs) {
    if (replay_)
      replay_->update(dtype, device, runs);
    else
      of_.update(dtype, device, runs);
  }

  void update_parts(const Batch& batch) {
    const std::vector<Device>& devices = batch.shards->devices();
    for (std::size_t device = 0; device < devices.size(); ++device) {
      std::vector<Run> runs;
      for (std::size_t i = 0; i < batch.parts.size(); ++i) {
        const auto& [owner, values] = batch.parts[i];
        if (owner != device) continue;
        const Piece& piece = batch.pieces[i];
        runs.push_back({.group = piece.group,
                        .step = piece.step,
                        .n = values.numel(),
                        .parameter = raw(batch.shards->on(device, values)),
                        .gradient = raw(piece.gradient),
                        .state = {},
                        .place = piece.place,
                        .pending = piece.pending});
        for (std::size_t k = 0; k < batch.states; ++k) runs.back().state[k] = raw(piece.state[k]);
      }
      if (!runs.empty()) update(batch, devices[device], runs);
    }
  }

  Optimizer& of_;
  std::vector<Kind> kinds_;  // by group
  Tensor flags_;
  std::unique_ptr<Replay> replay_;  // of a step that is captured
  std::vector<Batch> batches_;
};

std::vector<Optimizer::Kind> Optimizer::kinds_of_groups() {
  std::vector<Kind> kinds;
  std::vector<double> before;
  for (int group = 0; group < num_groups_; ++group) {
    std::vector<double> options;
    visit_options(group, [&](const char*, const double& value) { options.push_back(value); });
    visit_flags(group, [&](const char*, const bool& value) { options.push_back(value ? 1 : 0); });
    kinds.push_back({group, state_names(group).size(), rounds_at_random(group)});
    if (group > 0 && options == before && kinds[group - 1].states == kinds[group].states)
      kinds[group].first = kinds[group - 1].first;
    before = std::move(options);
  }
  return kinds;
}

void Optimizer::step() {
  const profiler::Span span(profiler::Kind::optimizer, name_);
  const NoGradGuard no_grad;
  settle(true);
  Step step(*this);
  step.prepare();
  step.update();
}

void Optimizer::attempt(const Tensor& flags) {
  const profiler::Span span(profiler::Kind::optimizer, name_);
  const NoGradGuard no_grad;
  if (attempts_ == nullptr || attempts_->home() != flags.device()) {
    settle(true);
    attempts_ = std::make_shared<Attempts>(flags.device());
  }
  make_room_for_attempt();
  Step step(*this, flags);
  step.prepare();
  step.update();
}

}  // namespace miniparallel::optim
