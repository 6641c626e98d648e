#pragma once
// Runs a test on many machines: every thread order, both kinds of streams, several seeds.

#include "libraries_device.h"

#include <doctest/doctest.h>

#include <string>

namespace simulator_tests {

namespace sim = miniparallel::simulator;
using sim::testing::contains;
using sim::testing::DeviceBuffer;
using sim::testing::EventHandle;
using sim::testing::only_report;
using sim::testing::StreamHandle;

/// Whether the kernels of this program are instrumented.
inline bool is_checked() { return sim::machine_with(1).checking; }

/// A fresh machine; at the end nothing may have been found that the test did not take.
class FreshMachine {
 public:
  explicit FreshMachine(const sim::Machine& machine) {
    sim::reset(machine);
    previous_ = sim::set_report_handler([](const sim::Report&) {});
  }
  ~FreshMachine() {
    static_cast<void>(cudaGetLastError());
    for (const sim::Report& report : sim::take_reports()) FAIL_CHECK(report.text);
    sim::set_report_handler(previous_);
  }
  FreshMachine(const FreshMachine&) = delete;
  FreshMachine& operator=(const FreshMachine&) = delete;

 private:
  sim::ReportHandler previous_;
};

inline sim::Machine machine(int gpus, std::uint64_t seed = 0, sim::Order order = sim::Order::shuffled,
                            sim::Streams streams = sim::Streams::lazy) {
  sim::Machine result = sim::machine_with(gpus);
  result.seed = seed;
  result.order = order;
  result.streams = streams;
  result.patience = std::chrono::milliseconds(100);
  return result;
}

template <typename Body>
void in_every_mode(int gpus, Body&& body) {
  for (const auto streams : {sim::Streams::lazy, sim::Streams::threaded}) {
    for (const auto order : {sim::Order::forward, sim::Order::reverse, sim::Order::shuffled}) {
      for (const std::uint64_t seed : {0, 1, 2}) {
        if (order != sim::Order::shuffled && seed > 0) continue;
        CAPTURE(static_cast<int>(streams));
        CAPTURE(static_cast<int>(order));
        CAPTURE(seed);
        const FreshMachine fresh(machine(gpus, seed, order, streams));
        body();
      }
    }
  }
}

}  // namespace simulator_tests
