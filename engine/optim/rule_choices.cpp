#include "engine/optim/rule_choices.h"

#include "engine/device/accelerator.h"
#include "engine/device/backend.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace miniparallel::optim {

using kernels::RuleChoice;

constinit thread_local const OnDevice* on_device = nullptr;

OnDeviceScope::OnDeviceScope(const OnDevice& by) : previous_(std::exchange(on_device, &by)) {}
OnDeviceScope::~OnDeviceScope() { on_device = previous_; }

std::size_t RuleTable::find(int group, std::int64_t step, std::uint32_t pending,
                            const std::function<void(int skipped, std::byte* rule)>& write) {
  const Key key{group, step, pending};
  const auto found = std::ranges::find(keys_, key);
  const auto number = static_cast<std::size_t>(found - keys_.begin());
  if (found != keys_.end()) return number;
  const int most = std::popcount(pending);
  std::vector<std::byte>& rules = rules_.emplace_back((static_cast<std::size_t>(most) + 1) * size_);
  for (int skipped = 0; skipped <= most; ++skipped)
    write(skipped, rules.data() + static_cast<std::size_t>(skipped) * size_);
  keys_.push_back(key);
  return number;
}

Tensor RuleTable::memory_for_rules(Device device) const {
  return make_tensor({static_cast<std::int64_t>(keys_.size() * size_ / sizeof(double))}, float64, device);
}

Tensor RuleTable::choose(Device device) const {
  Tensor chosen = memory_for_rules(device);
  std::byte* to = raw(chosen);
  std::vector<std::byte> bytes;
  for (std::size_t first = 0; first < keys_.size();) {
    std::vector<RuleChoice> choices;
    std::size_t rules = 0, last = first;
    for (; last < keys_.size(); ++last) {
      const std::size_t count = rules_[last].size() / size_;
      if (last > first &&
          (last - first + 1) * sizeof(RuleChoice) + (rules + count) * size_ > kernels::kMostChoices)
        break;
      choices.push_back({keys_[last].pending, static_cast<std::uint32_t>(rules)});
      rules += count;
    }
    bytes.resize(choices.size() * sizeof(RuleChoice));
    std::memcpy(bytes.data(), choices.data(), bytes.size());
    for (std::size_t i = first; i < last; ++i) bytes.insert(bytes.end(), rules_[i].begin(), rules_[i].end());
    backend(device).loss_scale.choose(
        {bytes.data(), bytes.size(), false, static_cast<int>(choices.size()), static_cast<int>(size_)},
        on_device->overflow, on_device->attempts, to, stream(device));
    to += choices.size() * size_;
    first = last;
  }
  return chosen;
}

std::size_t RuleTable::bytes() const { return keys_.size() * (sizeof(RuleChoice) + kMost * size_); }

void RuleTable::write(std::byte* memory) const {
  std::byte* rules = memory + keys_.size() * sizeof(RuleChoice);
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    const RuleChoice choice{keys_[i].pending, static_cast<std::uint32_t>(i * kMost)};
    std::memcpy(memory + i * sizeof(RuleChoice), &choice, sizeof(choice));
    std::memcpy(rules + i * kMost * size_, rules_[i].data(), rules_[i].size());
  }
}

Tensor RuleTable::choose_from(const void* memory, Device device) const {
  Tensor chosen = memory_for_rules(device);
  backend(device).loss_scale.choose({static_cast<const std::byte*>(memory), bytes(), true,
                                     static_cast<int>(keys_.size()), static_cast<int>(size_)},
                                    on_device->overflow, on_device->attempts, raw(chosen), stream(device));
  return chosen;
}

}  // namespace miniparallel::optim
