#pragma once
// Part of miniparallel::simulated: how much work the library's own kernels have, for the virtual clock.

#include <memory>

namespace miniparallel {

class Profiler;

namespace simulator {

/// While it lives, the sizes that the profiler knows of a kernel are its cost. No
/// other `Profiler` may record.
class KernelCosts {
 public:
  KernelCosts();
  ~KernelCosts();
  KernelCosts(const KernelCosts&) = delete;
  KernelCosts& operator=(const KernelCosts&) = delete;

 private:
  std::unique_ptr<Profiler> profiler_;
};

}  // namespace simulator
}  // namespace miniparallel
