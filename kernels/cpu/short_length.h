#pragma once

#include "kernels/macros.h"

#include <cstdint>

namespace miniparallel::kernels::cpu {

/// Calls f<length>() where the length is at least 1 and at most `most`, and tells whether it is: a loop of a
/// constant length disappears, and so does what it costs to start it.
template <int most, int n = 1, class F>
MP_INLINE bool with_short_length(std::int64_t length, const F& f) {
  if constexpr (n <= most) {
    if (length != n) return with_short_length<most, n + 1>(length, f);
    f.template operator()<n>();
    return true;
  }
  return false;
}

}  // namespace miniparallel::kernels::cpu
