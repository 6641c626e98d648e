#pragma once

#include <cstdint>

namespace miniparallel {

/// Random numbers are Philox 4x32-10, a function of (seed, ordinal of the call, element): the same on every
/// device and for every number of threads. (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
/// 1, 2, 3", 2011.)

/// Seeds this process and restarts the ordinal of the calls.
void manual_seed(std::uint64_t seed);

/// The state that a checkpoint must keep for random numbers to continue where they were.
struct RandomState {
  std::uint64_t seed = 0;
  std::uint64_t ordinal = 0;
  friend bool operator==(const RandomState&, const RandomState&) = default;
};
RandomState random_state();
void set_random_state(const RandomState& state);

}  // namespace miniparallel
