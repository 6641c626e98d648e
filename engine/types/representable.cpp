#include "engine/types/representable.h"

#include "engine/error.h"
#include "kernels/half.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <string>
#include <utility>

namespace miniparallel {
namespace {

/// A std::uint64_t above INT64_MAX, which `Scalar::as_int64` has modulo 2^64.
bool exceeds_int64(Scalar value) {
  return value.kind() == Scalar::Kind::integer && value.as_int64() < 0 && value.as_double() > 0;
}

template <class T>
bool integer_has(Scalar value) {
  if (value.kind() != Scalar::Kind::floating)
    return !exceeds_int64(value) && std::in_range<T>(value.as_int64());
  // Both ends are powers of 2 (or 0), so that a double has them; numbers between them are truncated.
  const double end = std::ldexp(1.0, std::numeric_limits<T>::digits);
  const double truncated = std::trunc(value.as_double());
  return truncated >= static_cast<double>(std::numeric_limits<T>::lowest()) && truncated < end;
}

template <class T>
std::string range_of() {
  using Limits = std::numeric_limits<T>;
  return message(+Limits::lowest(), " to ", +Limits::max());
}

std::string range_of(DType dtype) {
  switch (dtype) {
    case int64:
      return range_of<std::int64_t>();
    case int32:
      return range_of<std::int32_t>();
    case uint8:
      return range_of<std::uint8_t>();
    case boolean:
      return "0 to 1";
    case float32:
      return range_of<float>();
    case float64:
      return range_of<double>();
    case float16:
      return "-65504 to 65504";
    default:
      return "-3.38953e+38 to 3.38953e+38";
  }
}

[[noreturn]] void fail_representable(const char* op, Scalar value, DType dtype) {
  fail(op, ": ", value, " is not in the range of ", dtype, ", which is ", range_of(dtype),
       "; choose another number or dtype");
}

/// A 16-bit number one step towards minus infinity: of such numbers the bits are a sign and a magnitude.
template <class T>
T step_down(T value) {
  const bool negative = value.bits >= 0x8000;
  if (value.bits % 0x8000 == 0) return {0x8001};
  return {static_cast<std::uint16_t>(negative ? value.bits + 1 : value.bits - 1)};
}

}  // namespace

std::ostream& operator<<(std::ostream& stream, Scalar value) {
  if (value.kind() == Scalar::Kind::floating) return stream << value.as_double();
  if (exceeds_int64(value)) return stream << static_cast<std::uint64_t>(value.as_int64());
  return stream << value.as_int64();
}

bool is_representable(Scalar value, DType dtype) {
  switch (dtype) {
    case int64:
      return integer_has<std::int64_t>(value);
    case int32:
      return integer_has<std::int32_t>(value);
    case uint8:
      return integer_has<std::uint8_t>(value);
    case boolean:
      return true;
    default:
      return !std::isfinite(value.as_double()) || std::isfinite(rounded(value.as_double(), dtype));
  }
}

void check_representable(const char* op, Scalar value, DType dtype) {
  if (!is_representable(value, dtype)) fail_representable(op, value, dtype);
}

void check_representable_count(const char* op, std::int64_t value, DType dtype) {
  if (dtype == boolean ? value != 0 && value != 1 : !is_representable(value, dtype))
    fail_representable(op, value, dtype);
}

double rounded(double value, DType dtype) {
  switch (dtype) {
    case float32:
      return static_cast<double>(static_cast<float>(value));
    case float16:
      return kernels::convert<double>(kernels::convert<Half>(value));
    case bfloat16:
      return kernels::convert<double>(kernels::convert<BFloat16>(value));
    default:
      return value;
  }
}

double next_below(double value, DType dtype) {
  switch (dtype) {
    case float32:
      return static_cast<double>(std::nextafter(static_cast<float>(value), -HUGE_VALF));
    case float16:
      return kernels::convert<double>(step_down(kernels::convert<Half>(value)));
    case bfloat16:
      return kernels::convert<double>(step_down(kernels::convert<BFloat16>(value)));
    default:
      return std::nextafter(value, -HUGE_VAL);
  }
}

double next_above(double value, DType dtype) { return -next_below(-value, dtype); }

std::int64_t last_exact_integer(DType dtype) {
  const int digits = dtype == float64 ? 53 : dtype == float32 ? 24 : dtype == float16 ? 11 : 8;
  return std::int64_t{1} << digits;
}

}  // namespace miniparallel
