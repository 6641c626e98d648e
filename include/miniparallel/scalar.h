#pragma once

#include <miniparallel/dtype.h>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace miniparallel {

/// A number given in source code. As in PyTorch it only decides the dtype of
/// a result when its kind (bool < integer < floating) is above the tensor's:
/// `int64 tensor * 2.0` is floating, `float32 tensor * 2.0` stays float32.
class Scalar {
 public:
  enum class Kind : unsigned char { truth, integer, floating };

  template <class T>
    requires std::is_arithmetic_v<T>
  constexpr Scalar(T value)  // NOLINT: implicit
      : kind_(std::is_same_v<T, bool>       ? Kind::truth
              : std::is_floating_point_v<T> ? Kind::floating
                                            : Kind::integer),
        floating_(static_cast<double>(value)),
        integer_(kind_ == Kind::floating ? 0 : static_cast<std::int64_t>(value)) {}

  constexpr Kind kind() const { return kind_; }
  constexpr double as_double() const { return floating_; }
  /// Truncated towards 0; what std::int64_t does not have becomes its nearest end, NaN the lowest number.
  constexpr std::int64_t as_int64() const {
    if (kind_ != Kind::floating) return integer_;
    if (floating_ >= 0x1p63) return std::numeric_limits<std::int64_t>::max();
    if (!(floating_ >= -0x1p63)) return std::numeric_limits<std::int64_t>::lowest();
    return static_cast<std::int64_t>(floating_);
  }

 private:
  Kind kind_;
  double floating_;
  std::int64_t integer_;
};

}  // namespace miniparallel
