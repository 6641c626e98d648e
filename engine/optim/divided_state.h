#pragma once

#include <miniparallel/device.h>
#include <miniparallel/tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace miniparallel::optim {

/// The state that an optimizer keeps for parameters which several devices step (see Shards), as if it stood in a row
/// of elements: each device has an equal part of it.
class DividedState {
 public:
  /// Parts begin at multiples of it: whole lines of a GPU's caches.
  static constexpr std::int64_t kUnit = 128;

  /// `elements` of each of `states` states, all zero.
  DividedState(std::vector<Device> devices, DType dtype, std::int64_t elements, std::size_t states);
  bool is_like(const std::vector<Device>& devices, DType dtype, std::int64_t elements,
               std::size_t states) const;

  /// Elements `begin` to `end` - 1 of the row, all on one device.
  struct Part {
    std::size_t device;
    std::int64_t begin, end;
  };
  /// The parts of which elements `begin` to `end` - 1 consist, in order.
  std::vector<Part> parts(std::int64_t begin, std::int64_t end) const;
  /// State `k` of a part, flat, where it is.
  Tensor state(std::size_t k, const Part& part) const;

  /// A copy, in host memory, of state `k` of the elements from `begin` on; undefined where it has no such state.
  Tensor whole(std::size_t k, std::int64_t begin, const Shape& shape) const;
  /// Copies `whole` there.
  void set(std::size_t k, std::int64_t begin, const Tensor& whole);

 private:
  std::vector<Device> devices_;
  DType dtype_;
  std::int64_t elements_, share_;            // in all, and of a device
  std::vector<std::vector<Tensor>> states_;  // by state and device
};

}  // namespace miniparallel::optim
