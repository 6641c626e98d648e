#pragma once

#include <miniparallel/tensor.h>

#include <concepts>
#include <cstdint>
#include <limits>
#include <utility>

namespace miniparallel {

/// Python's start:stop:step of one dimension: bounds below 0 count from the end and are clipped, step >= 1.
/// `Range{}` is the whole dimension.
struct Range {
  std::int64_t start = 0;
  std::int64_t stop = std::numeric_limits<std::int64_t>::max();
  std::int64_t step = 1;
};

/// As many whole dimensions as are left.
struct Ellipsis {};

/// A new dimension of size 1.
struct NewAxis {};

/// What stands for a dimension in `x[{...}]`: a number, which drops the dimension, a `Range`, indices (int64
/// or int32), a mask (bool, for as many dimensions as it has), `Ellipsis{}`, or `NewAxis{}`.
class Index {
 public:
  enum class Kind { number, range, tensor, rest, added };

  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Index(T number) : range_{static_cast<std::int64_t>(number)} {}  // NOLINT: implicit, as all of them
  Index(Range range) : kind_(Kind::range), range_(range) {}       // NOLINT
  Index(Tensor tensor) : kind_(Kind::tensor), tensor_(std::move(tensor)) {}  // NOLINT
  Index(Ellipsis) : kind_(Kind::rest) {}                                     // NOLINT
  Index(NewAxis) : kind_(Kind::added) {}                                     // NOLINT

  Kind kind() const { return kind_; }
  std::int64_t number() const { return range_.start; }
  const Range& range() const { return range_; }
  const Tensor& tensor() const { return tensor_; }

 private:
  Kind kind_ = Kind::number;
  Range range_;
  Tensor tensor_;
};

}  // namespace miniparallel
