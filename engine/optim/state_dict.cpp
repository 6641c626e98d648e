#include <miniparallel/autograd.h>
#include <miniparallel/optim/optimizer.h>

#include "engine/error.h"
#include "engine/optim/checked_count.h"
#include "engine/optim/shards.h"
#include "engine/optim/slot.h"

#include <set>

namespace miniparallel::optim {

namespace {

constexpr const char* kInitialRate = "initial_lr";
constexpr const char* kRoundingSeed = "rounding_seed";

std::string group_key(int group, const char* option) { return message("groups.", group, ".", option); }
std::string state_key(std::size_t slot, const char* name) { return message("state.", slot, ".", name); }

/// The faults of a state, item by item.
class Faults {
 public:
  explicit Faults(const StateDict& state) : state_(state) {
    for (const auto& [key, tensor] : state) unexpected_.insert(key);
  }

  void expect(const std::string& key, const Shape& shape) {
    if (!allow(key, shape)) text_ += "\n  missing: " + key;
  }

  /// Whether the state has the key.
  bool allow(const std::string& key, const Shape& shape) {
    unexpected_.erase(key);
    const auto found = state_.find(key);
    if (found == state_.end()) return false;
    if (found->second.shape() != shape)
      text_ += message("\n  ", key, ": shape ", found->second.shape(), " in the state, ", shape, " here");
    return true;
  }

  std::string text() const {
    std::string text = text_;
    for (const std::string& key : unexpected_) text += "\n  unexpected: " + key;
    return text;
  }

 private:
  const StateDict& state_;
  std::set<std::string> unexpected_;
  std::string text_;
};

}  // namespace

StateDict Optimizer::state_dict() {
  settle(true);
  StateDict state;
  for (int group = 0; group < num_groups_; ++group) {
    const auto put = [&](const char* option, double value) {
      state[group_key(group, option)] = scalar_tensor(value, {.dtype = float64});
    };
    visit_options(group, put);
    visit_flags(group, [&](const char* flag, const bool& value) { put(flag, value ? 1 : 0); });
    if (!initial_lr_.empty()) put(kInitialRate, initial_lr(group));
  }
  if (any_rounds_at_random()) state[kRoundingSeed] = scalar_tensor(static_cast<std::int64_t>(rounding_seed_));
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.step == 0) continue;
    state[state_key(i, "step")] = scalar_tensor(slot.step);
    const auto names = state_names(slot.group);
    for (std::size_t k = 0; k < names.size(); ++k)
      if (Tensor whole = slot.whole_state(k); whole.defined())
        state[state_key(i, names[k])] = std::move(whole);
  }
  return state;
}

PreparedLoad Optimizer::prepare_load(const StateDict& state) {
  settle(true);
  Faults faults(state);
  bool scheduled = true;  // a state saved without a scheduler keeps the initial rates that are here
  for (int group = 0; group < num_groups_; ++group) {
    visit_options(group, [&](const char* option, double&) { faults.expect(group_key(group, option), {}); });
    visit_flags(group, [&](const char* flag, bool&) { faults.allow(group_key(group, flag), {}); });
    scheduled = faults.allow(group_key(group, kInitialRate), {}) && scheduled;
  }
  const bool seeded = faults.allow(kRoundingSeed, {});
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!state.contains(state_key(i, "step"))) continue;
    faults.expect(state_key(i, "step"), {});
    for (const char* name : state_names(slots_[i].group))
      faults.expect(state_key(i, name), slots_[i].parameter.shape());
  }
  check(faults.text().empty(), name_,
        "::load_state_dict: the state does not fit; pass that of an optimizer with the same groups and "
        "parameters:",
        faults.text());

  std::vector<double> options;  // in the order in which they are visited
  std::vector<bool> flags;
  std::vector<double> initial_lr = initial_lr_;
  if (scheduled) initial_lr.clear();
  for (int group = 0; group < num_groups_; ++group) {
    const auto take = [&](const char* option, std::vector<double>& values) {
      values.push_back(state.at(group_key(group, option)).item<double>());
      check_option(option, values.back());
    };
    visit_options(group, [&](const char* option, double&) { take(option, options); });
    visit_flags(group, [&](const char* flag, const bool& value) {
      const auto found = state.find(group_key(group, flag));
      flags.push_back(found == state.end() ? value : found->second.item<double>() != 0);
    });
    if (scheduled) take(kInitialRate, initial_lr);
  }
  const std::uint64_t rounding_seed =
      seeded ? static_cast<std::uint64_t>(state.at(kRoundingSeed).item<std::int64_t>()) : rounding_seed_;
  std::vector<Slot> slots = slots_;
  for (std::size_t i = 0; i < slots.size(); ++i) load_slot(slots[i], i, state);
  return [this, rounding_seed, options = std::move(options), flags = std::move(flags),
          initial_lr = std::move(initial_lr), slots = std::move(slots)]() mutable {
    initial_lr_ = std::move(initial_lr);
    rounding_seed_ = rounding_seed;
    auto option = options.begin();
    auto flag = flags.begin();
    for (int group = 0; group < num_groups_; ++group) {
      visit_options(group, [&](const char*, double& value) { value = *option++; });
      visit_flags(group, [&](const char*, bool& value) { value = *flag++; });
    }
    slots_ = std::move(slots);
  };
}

void Optimizer::load_slot(Slot& slot, std::size_t number, const StateDict& state) const {
  const NoGradGuard no_grad;
  const auto step = state.find(state_key(number, "step"));
  slot.step = step == state.end() ? 0 : checked_count(name_, step->first, step->second, 1);
  slot.state = {};
  slot.divided = nullptr;
  if (slot.step == 0) return;
  const Tensor& parameter = slot.parameter;
  const Device device =
      ShardsFinder()(parameter) == nullptr ? parameter.device() : Device::cpu();  // until it is divided
  const auto names = state_names(slot.group);
  for (std::size_t k = 0; k < names.size(); ++k) {
    slot.state[k] = empty(parameter.shape(), {.dtype = parameter.dtype(), .device = device});
    slot.state[k].copy_(state.at(state_key(number, names[k])));
  }
}

}  // namespace miniparallel::optim
