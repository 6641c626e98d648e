#include "engine/optim/divided_state.h"

#include <miniparallel/ops.h>

#include <algorithm>
#include <utility>

namespace miniparallel::optim {

DividedState::DividedState(std::vector<Device> devices, DType dtype, std::int64_t elements,
                           std::size_t states)
    : devices_(std::move(devices)), dtype_(dtype), elements_(elements) {
  const std::int64_t units = static_cast<std::int64_t>(devices_.size()) * kUnit;
  share_ = (elements + units - 1) / units * kUnit;
  for (std::size_t k = 0; k < states; ++k) {
    std::vector<Tensor>& parts = states_.emplace_back();
    for (const Part& part : this->parts(0, elements))
      parts.push_back(zeros({part.end - part.begin}, {.dtype = dtype, .device = devices_[part.device]}));
  }
}

bool DividedState::is_like(const std::vector<Device>& devices, DType dtype, std::int64_t elements,
                           std::size_t states) const {
  return devices == devices_ && dtype == dtype_ && elements == elements_ && states == states_.size();
}

std::vector<DividedState::Part> DividedState::parts(std::int64_t begin, std::int64_t end) const {
  std::vector<Part> parts;
  while (begin < end) {
    const std::int64_t device = begin / share_, last = std::min(end, (device + 1) * share_);
    parts.push_back({static_cast<std::size_t>(device), begin, last});
    begin = last;
  }
  return parts;
}

Tensor DividedState::state(std::size_t k, const Part& part) const {
  const std::int64_t first = static_cast<std::int64_t>(part.device) * share_;
  return states_[k][part.device].narrow(0, part.begin - first, part.end - part.begin);
}

Tensor DividedState::whole(std::size_t k, std::int64_t begin, const Shape& shape) const {
  if (k >= states_.size()) return {};
  Tensor made = empty(shape, {.dtype = dtype_});
  const Tensor flat = made.view({-1});
  for (const Part& part : parts(begin, begin + flat.numel()))
    flat.narrow(0, part.begin - begin, part.end - part.begin).copy_(state(k, part));
  return made;
}

void DividedState::set(std::size_t k, std::int64_t begin, const Tensor& whole) {
  const Tensor flat = whole.contiguous().view({-1});
  for (const Part& part : parts(begin, begin + flat.numel()))
    state(k, part).copy_(flat.narrow(0, part.begin - begin, part.end - part.begin));
}

}  // namespace miniparallel::optim
