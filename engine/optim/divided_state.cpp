#include "engine/optim/divided_state.h"

#include <miniparallel/ops.h>

#include <algorithm>
#include <utility>

namespace miniparallel::optim {

DividedState::DividedState(std::vector<Device> devices, DType dtype, std::vector<Part> parts,
                           std::size_t states)
    : devices_(std::move(devices)), dtype_(dtype), parts_(std::move(parts)) {
  std::vector<std::int64_t> used(devices_.size());
  for (const auto& [device, begin, end] : parts_) {
    places_.push_back(used[device]);
    used[device] += (end - begin + kUnit - 1) / kUnit * kUnit;
  }
  states_.resize(states);
  for (std::vector<Tensor>& on_devices : states_)
    for (std::size_t device = 0; device < devices_.size(); ++device)
      on_devices.push_back(zeros({used[device]}, {.dtype = dtype, .device = devices_[device]}));
}

bool DividedState::is_like(const std::vector<Device>& devices, DType dtype, const std::vector<Part>& parts,
                           std::size_t states) const {
  return devices == devices_ && dtype == dtype_ && parts == parts_ && states == states_.size();
}

template <class F>
void DividedState::for_each_part(std::size_t k, std::int64_t begin, std::int64_t end, const F& f) const {
  const auto first = std::ranges::upper_bound(parts_, begin, {}, &Part::end);
  for (auto part = first; part != parts_.end() && part->begin < end; ++part) {
    const std::int64_t from = std::max(begin, part->begin), to = std::min(end, part->end);
    const std::int64_t place = places_[static_cast<std::size_t>(part - parts_.begin())] + from - part->begin;
    f(states_[k][part->device].narrow(0, place, to - from), from, to);
  }
}

Tensor DividedState::state(std::size_t k, std::int64_t begin, std::int64_t end) const {
  Tensor found;
  for_each_part(k, begin, end, [&](const Tensor& state, std::int64_t, std::int64_t) { found = state; });
  return found;
}

Tensor DividedState::whole(std::size_t k, std::int64_t begin, const Shape& shape) const {
  if (k >= states_.size()) return {};
  Tensor made = empty(shape, {.dtype = dtype_});
  const Tensor flat = made.view({-1});
  for_each_part(k, begin, begin + flat.numel(), [&](const Tensor& state, std::int64_t from, std::int64_t to) {
    flat.narrow(0, from - begin, to - from).copy_(state);
  });
  return made;
}

void DividedState::set(std::size_t k, std::int64_t begin, const Tensor& whole) {
  const Tensor flat = whole.contiguous().view({-1});
  for_each_part(k, begin, begin + flat.numel(), [&](Tensor state, std::int64_t from, std::int64_t to) {
    state.copy_(flat.narrow(0, from - begin, to - from));
  });
}

}  // namespace miniparallel::optim
