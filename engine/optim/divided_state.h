#pragma once

#include <miniparallel/device.h>
#include <miniparallel/tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace miniparallel::optim {

/// The state that an optimizer keeps for parameters which several devices step (see Shards), as if it stood
/// in a row of elements, of which each device has its parts.
class DividedState {
 public:
  /// Elements `begin` to `end` - 1 of the row, all on one device.
  struct Part {
    std::size_t device;
    std::int64_t begin, end;
    friend bool operator==(const Part&, const Part&) = default;
  };
  /// Parts begin at multiples of it in a device's memory: whole lines of a GPU's caches.
  static constexpr std::int64_t kUnit = 128;

  /// Each of `states` states, all zero. `parts`: all that are wanted of the row, in order.
  DividedState(std::vector<Device> devices, DType dtype, std::vector<Part> parts, std::size_t states);
  bool is_like(const std::vector<Device>& devices, DType dtype, const std::vector<Part>& parts,
               std::size_t states) const;

  /// State `k` of elements `begin` to `end` - 1, of one part, flat, where they are.
  Tensor state(std::size_t k, std::int64_t begin, std::int64_t end) const;
  /// A copy, in host memory, of state `k` of the elements from `begin` on; undefined where it
  /// has no such state.
  Tensor whole(std::size_t k, std::int64_t begin, const Shape& shape) const;
  /// Copies `whole` there.
  void set(std::size_t k, std::int64_t begin, const Tensor& whole);

 private:
  /// Calls f(elements `from` to `to` - 1 of the row's state `k`, from, to) for each of its parts.
  template <class F>
  void for_each_part(std::size_t k, std::int64_t begin, std::int64_t end, const F& f) const;

  std::vector<Device> devices_;
  DType dtype_;
  std::vector<Part> parts_;
  std::vector<std::int64_t> places_;         // of the parts, in the memory of their devices
  std::vector<std::vector<Tensor>> states_;  // by state and device
};

}  // namespace miniparallel::optim
