#pragma once

#include <miniparallel/tensor.h>

#include "engine/error.h"

#include <cstdint>
#include <string>

namespace miniparallel::optim {

/// The count that a state holds under `key`, a whole number. Throws `Error` where it is below `least`, or so
/// large that the doubles in which schedules and bias corrections are computed would skip numbers.
inline std::int64_t checked_count(const char* name, const std::string& key, const Tensor& state,
                                  std::int64_t least) {
  constexpr std::int64_t most = std::int64_t{1} << 53;
  const double value = state.item();
  const bool in_range = value >= static_cast<double>(least) && value < static_cast<double>(most);
  const std::int64_t count = in_range ? static_cast<std::int64_t>(value) : 0;
  check(in_range && static_cast<double>(count) == value, name, "::load_state_dict: ", key, " is ", value,
        "; it must be a whole number from ", least, " to 2^53");
  return count;
}

}  // namespace miniparallel::optim
