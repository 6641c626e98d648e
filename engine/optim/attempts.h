#pragma once

#include <miniparallel/optim/optimizer.h>

#include "kernels/loss_scale.h"

#include <cstdint>

namespace miniparallel::optim {

/// Attempts of an optimizer to step for a GradScaler: a device decides which of them are skipped, and writes
/// what it has decided to memory of the host, where it is read later without waiting.
class Optimizer::Attempts {
 public:
  /// Where the flags of overflows are.
  explicit Attempts(Device home);
  ~Attempts();
  Attempts(const Attempts&) = delete;
  Attempts& operator=(const Attempts&) = delete;

  Device home() const { return history_.device(); }
  /// kernels::Attempts, on the device.
  const Tensor& history() const { return history_; }
  kernels::Attempts* seen() const;
  /// What the device has told so far.
  kernels::Attempts known() const;

  std::uint32_t made = 0;

 private:
  Tensor history_, seen_;  // the latter undefined on the CPU
};

}  // namespace miniparallel::optim
