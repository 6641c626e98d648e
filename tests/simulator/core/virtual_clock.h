#pragma once
// When modelled operations start and end.

#include "core/operation.h"
#include "miniparallel/simulator/launch.h"
#include "miniparallel/simulator_clock.h"

#include <map>
#include <string>
#include <vector>

namespace miniparallel::simulator {

struct Simulation;

/// A link that carries one transfer at a time. Work is enqueued in another order than it runs, so a transfer
/// takes the first gap that is long enough.
class Wire {
 public:
  /// The end of a transfer that takes `seconds` and may not begin before `earliest`.
  double carry(double earliest, double seconds);

 private:
  std::map<double, double> busy_;  // ends by begins, apart from each other
};

/// Both directions of a link or bus.
struct Port {
  Wire in, out;
};

class VirtualClock {
 public:
  VirtualClock(const Speeds& speeds, const ClockOptions& options, std::size_t devices);

  bool executes() const { return executes_; }
  /// Sets the times of a new operation, whose `work.after` is whole, and moves on that of the calling thread.
  void place(const Simulation&, Operation&);
  /// The calling thread asks whether the operation has ended.
  bool has_passed(const Simulation&, const Operation&) const;
  /// The calling thread has waited for it.
  void wait_for(const Simulation&, const Operation&) const;
  /// The time of a library's function, or of a kernel, that was measured.
  std::optional<double> measured(const std::string& name) const;
  std::optional<double> measured(const void* kernel) const;

 private:
  double host_cost(const Work&) const;
  double end_of(const Simulation&, const Operation&);
  double arrival(const Simulation&, const Transfer&, double begin);

  const Speeds speeds_;
  const bool executes_;
  std::map<std::string, double> measured_;
  std::vector<Port> links_, buses_;  // by device
};

// --- demand.cpp

/// What a launch asks for, by the source of costs and by the devices that its pointers name.
Demand demand_of(const Simulation&, const KernelLaunch&);
/// What other work asks for: what it says itself, or else the memory that it touches.
Demand demand_of(const Simulation&, const Operation&);

}  // namespace miniparallel::simulator
