#pragma once

#include <miniparallel/device.h>

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>

namespace miniparallel::testing {

/// The GPUs of one test: a simulated machine, which must have found nothing wrong at the end, or what the
/// real one has. A test that needs no more than this runs on both; one that includes simulated.h does not.
class Gpus {
 public:
  /// `seed` orders threads, blocks and streams of the simulated machine.
  explicit Gpus(int count = 1, std::uint64_t seed = 0);
  ~Gpus();
  Gpus(const Gpus&) = delete;
  Gpus& operator=(const Gpus&) = delete;

  /// The last of them; of a real machine that has fewer, the last there is.
  Device last() const { return Device::cuda(count_ - 1); }

 private:
  int count_;
  std::shared_ptr<void> machine_;
};

}  // namespace miniparallel::testing
