#pragma once
// Vector clocks: what has happened before what, counted per stream.

#include <algorithm>
#include <cstdint>
#include <vector>

namespace miniparallel::simulator {

/// For each stream, how many of its operations are known to have finished before.
class Clock {
 public:
  std::uint32_t at(std::uint32_t stream) const { return stream < seen_.size() ? seen_[stream] : 0; }

  void set(std::uint32_t stream, std::uint32_t sequence) {
    if (stream >= seen_.size()) seen_.resize(stream + 1);
    seen_[stream] = std::max(seen_[stream], sequence);
  }

  void join(const Clock& other) {
    if (other.seen_.size() > seen_.size()) seen_.resize(other.seen_.size());
    for (std::size_t i = 0; i < other.seen_.size(); ++i) seen_[i] = std::max(seen_[i], other.seen_[i]);
  }

 private:
  std::vector<std::uint32_t> seen_;
};

}  // namespace miniparallel::simulator
