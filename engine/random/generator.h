#pragma once

#include <miniparallel/device.h>
#include <miniparallel/random.h>

#include "kernels/random_stream.h"

#include <cstdint>

namespace miniparallel {

/// Takes the next ordinal of the calling thread's generator. `numel`: elements that the op draws, for use on
/// `device`.
kernels::RandomKey next_random_key(std::int64_t numel, Device device);
/// The same on the host.
kernels::RandomKey next_key(std::int64_t numel);

/// Where a thread's random numbers stand, to draw the same ones again.
struct RandomPosition {
  RandomState state;
  std::int64_t first_row = 0, rows = 1;  ///< as a `RowRandomScope` has them; outside of one all rows are one
};
RandomPosition random_position();

/// While it lives, random ops of this thread draw what rows [first_row, first_row + rows) of a larger batch
/// would get: same seed and ordinals as the generator `start`, element numbers that begin at the first row's.
/// The number of elements per row is that of the op's result divided by `rows`; where this leaves a rest (the
/// batch is not the outermost dimension) the numbers are those of a stream that no other row range uses.
class RowRandomScope {
 public:
  RowRandomScope(const RandomState& start, std::int64_t first_row, std::int64_t rows);
  explicit RowRandomScope(const RandomPosition& from)
      : RowRandomScope(from.state, from.first_row, from.rows) {}
  ~RowRandomScope();
  RowRandomScope(const RowRandomScope&) = delete;
  RowRandomScope& operator=(const RowRandomScope&) = delete;

  /// The calling thread's scope; null outside of one. A scope may be in use by several threads.
  static RowRandomScope* current();
  static void set_current(RowRandomScope* scope);

  /// Where this scope's generator stands; the whole batch continues from the largest ordinal of its parts.
  const RandomState& state() const { return state_; }

 private:
  friend kernels::RandomKey next_key(std::int64_t numel);
  friend RandomState random_state();
  friend RandomPosition random_position();
  friend void set_random_state(const RandomState& state);

  RandomState state_;
  std::int64_t first_row_, rows_;
  RowRandomScope* previous_;
};

}  // namespace miniparallel
