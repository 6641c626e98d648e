#pragma once

#include <cmath>
#include <limits>

namespace miniparallel::testing {

/// The distance of y from the exact value, in units of the last digit of T.
template <class T>
double error_in_ulp(double y, long double exact) {
  const T nearest = static_cast<T>(exact);
  if (!std::isfinite(nearest) || std::isnan(y)) return static_cast<T>(y) == nearest ? 0 : HUGE_VAL;
  const T next = std::nextafter(std::abs(nearest), std::numeric_limits<T>::infinity());
  return static_cast<double>(std::abs(static_cast<long double>(y) - exact) /
                             static_cast<long double>(next - std::abs(nearest)));
}

}  // namespace miniparallel::testing
