#pragma once
// Seeded choices: a small generator and a permutation that needs no table.

#include "miniparallel/simulator.h"

#include <cstdint>
#include <numeric>

namespace miniparallel::simulator {

/// SplitMix64 (Steele, Lea, Flood 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

 private:
  std::uint64_t state_;
};

/// Visits 0 .. count-1, each once: in order, backwards, or in a seeded affine order.
class Permutation {
 public:
  Permutation(std::uint64_t count, Order order, Random& random) : count_(count) {
    if (count <= 1 || order == Order::forward) return;
    if (order == Order::reverse) {
      step_ = count - 1;
      at_ = count - 1;
      return;
    }
    do step_ = 1 + random.below(count - 1);
    while (std::gcd(step_, count) != 1);
    at_ = random.below(count);
  }

  std::uint64_t next() {
    const std::uint64_t result = at_;
    at_ += step_;
    if (at_ >= count_) at_ -= count_;
    return result;
  }

 private:
  std::uint64_t count_, step_ = 1, at_ = 0;
};

}  // namespace miniparallel::simulator
