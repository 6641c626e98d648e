#include "engine/optim/replayed_step.h"

#include "engine/device/accelerator.h"
#include "engine/optim/rule_choices.h"
#include "engine/tensor/tensor_impl.h"

#include <optional>
#include <utility>

namespace miniparallel::optim {

constinit thread_local CapturedRules* captured_rules = nullptr;

CapturedRules::Scope::Scope(CapturedRules& rules) : previous_(std::exchange(captured_rules, &rules)) {}
CapturedRules::Scope::~Scope() { captured_rules = previous_; }

Capture::Numbers CapturedRules::next(Device device, std::size_t bytes) {
  if (!captured_)
    updates_.push_back(capturing == nullptr ? Capture::Numbers{} : capturing->numbers(device, bytes));
  return updates_[position_++];
}

Optimizer::Replay::Replay(Optimizer& of, const Tensor& flags)
    : alive_(of.alive_),
      of_(of),
      kinds_(of.kinds_of_groups()),
      attempts_(flags.defined() ? of.attempts_ : nullptr) {}

void Optimizer::Replay::update(DType dtype, Device device, std::span<const Run> runs) {
  const CapturedRules::Scope scope(rules_);
  updates_.push_back({dtype, device, {runs.begin(), runs.end()}});
  of_.update(dtype, device, runs);
}

std::array<const void*, Optimizer::kMaxStates> Optimizer::Replay::states_of(const Slot& slot) {
  std::array<const void*, kMaxStates> places{};
  for (std::size_t k = 0; k < places.size(); ++k)
    if (slot.state[k].defined()) places[k] = slot.state[k].impl()->data();
  return places;
}

void Optimizer::Replay::updates(const Slot& slot) {
  expected_.push_back({static_cast<std::size_t>(&slot - of_.slots_.data()), slot.step,
                       slot.parameter.impl()->data(), states_of(slot), slot.divided});
}

std::int64_t Optimizer::Replay::steps_since() const {
  return expected_.empty() ? 0 : of_.slots_[expected_[0].slot].step - expected_[0].step;
}

bool Optimizer::Replay::is_current() {
  if (alive_.expired()) return false;
  if (attempts_ == nullptr)
    of_.settle(true);
  else if (attempts_ == of_.attempts_)
    of_.make_room_for_attempt();
  else
    return false;
  for (const Expected& each : expected_) {
    const Slot& slot = of_.slots_[each.slot];
    if (slot.step - each.step != steps_since() || slot.parameter.impl()->data() != each.parameter ||
        states_of(slot) != each.state || slot.divided != each.divided ||
        slot.pending != of_.slots_[expected_[0].slot].pending)
      return false;
  }
  return kinds_ == of_.kinds_of_groups();
}

void Optimizer::Replay::write_numbers() {
  // As in `step`: a gradient of bad labels is reported before it changes a parameter, if it is known by now.
  for (const Update& update : updates_) accelerator(update.device).throw_reported();
  rules_.rewind();
  const CapturedRules::Scope scope(rules_);
  const OnDevice in_graph;
  std::optional<OnDeviceScope> choices;
  if (attempts_ != nullptr) choices.emplace(in_graph);
  std::vector<Run> runs;
  for (const Update& update : updates_) {
    runs = update.runs;
    for (Run& run : runs) {
      run.step += steps_since() + 1;
      run.pending = of_.slots_[expected_[0].slot].pending;
    }
    of_.update(update.dtype, update.device, runs);
  }
}

void Optimizer::Replay::advance() {
  if (attempts_ != nullptr) of_.begin_attempt();
  for (const Expected& each : expected_) {
    Slot& slot = of_.slots_[each.slot];
    ++slot.step;
    if (attempts_ != nullptr) slot.pending |= 1;
  }
}

}  // namespace miniparallel::optim
