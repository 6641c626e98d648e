#pragma once

#include <miniparallel/simulator.h>

#include "engine/cuda/runtime.h"

#include <doctest/doctest.h>

namespace miniparallel::testing {

/// A simulated machine for one test. At the end everything is
/// given back to it, and nothing must have been found wrong.
class Simulated {
 public:
  explicit Simulated(const simulator::Machine& machine) {
    cuda::shut_down();
    simulator::reset(machine);
    static_cast<void>(simulator::take_reports());
  }
  explicit Simulated(int gpus = 1) : Simulated(simulator::machine_with(gpus)) {}
  ~Simulated() {
    cuda::shut_down();
    for (const simulator::Report& report : simulator::take_reports()) FAIL_CHECK(report.text);
    CHECK((failed_ || simulator::counters().bytes_in_use == 0));
    CHECK((failed_ || simulator::pinned_bytes_in_use() == 0));
  }
  /// After a sticky error CUDA takes no memory back.
  void expect_failure() { failed_ = true; }
  Simulated(const Simulated&) = delete;
  Simulated& operator=(const Simulated&) = delete;

 private:
  bool failed_ = false;
};

}  // namespace miniparallel::testing
