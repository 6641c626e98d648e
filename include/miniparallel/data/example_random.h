#pragma once

#include <miniparallel/require_cxx20.h>

#include <array>
#include <cstdint>

namespace miniparallel::data {

/// Random numbers for data: a function of (seed, stream, how many were drawn) alone, by Philox 4x32-10, so
/// that they are the same on every platform. A loader gives each example of each epoch its own stream, which
/// makes them independent of the number of workers as well.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  std::uint32_t bits();  ///< 32 random bits
  double uniform();      ///< in [0, 1)
  /// A whole number in [0, bound), every one equally likely; `Error` for a bound below 1.
  std::int64_t below(std::int64_t bound);
  bool chance(double probability) { return uniform() < probability; }

 private:
  std::uint64_t seed_, stream_;
  std::uint64_t drawn_ = 0;
  std::array<std::uint32_t, 4> block_{};
};

}  // namespace miniparallel::data
