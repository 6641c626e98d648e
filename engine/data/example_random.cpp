#include <miniparallel/data/example_random.h>

#include "engine/error.h"
#include "kernels/philox.h"

namespace miniparallel::data {

namespace {

__extension__ using Wide = unsigned __int128;

// A program may give one seed to `manual_seed` and to its loader: the key keeps their numbers apart.
constexpr std::uint64_t kDataKey = 0x6461746120736574;

}  // namespace

std::uint32_t RandomStream::bits() {
  const std::uint64_t place = drawn_ % block_.size();
  if (place == 0) {
    const auto block = kernels::philox(seed_ ^ kDataKey, drawn_ / block_.size(), stream_);
    for (std::size_t i = 0; i < block_.size(); ++i) block_[i] = block.word[i];
  }
  ++drawn_;
  return block_[place];
}

double RandomStream::uniform() {
  const std::uint64_t high = bits(), low = bits();
  return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
}

std::int64_t RandomStream::below(std::int64_t bound) {
  check(bound > 0, "RandomStream::below: the bound is ", bound, "; it must be at least 1");
  // The high word of a product is uniform once the draws that would favour some results are left out (Lemire:
  // "Fast random integer generation in an interval", 2019).
  const auto range = static_cast<std::uint64_t>(bound);
  const std::uint64_t unfair = -range % range;
  for (;;) {
    const std::uint64_t high = bits(), low = bits();
    const auto product = static_cast<Wide>(high << 32 | low) * range;
    if (static_cast<std::uint64_t>(product) >= unfair) return static_cast<std::int64_t>(product >> 64);
  }
}

}  // namespace miniparallel::data
