#pragma once
// A virtual clock: what a program's schedule would take on a machine of given speeds. A
// model, not a measurement.

#include "miniparallel/simulator.h"

#include <optional>
#include <string>

namespace miniparallel::simulator {

/// How fast a machine is, in seconds, bytes per second and floating-point operations per second. Links and
/// buses carry as much each way at the same time.
struct Speeds {
  double memory;           ///< of a device
  double float32;          ///< peak of ordinary arithmetic
  double tf32, half;       ///< peaks of products of matrices, in TF32 and in half types
  double float64;          ///< peak
  double link = 0;         ///< of one device to all others together; 0: they use the buses to the host
  double bus;              ///< of one device to the host
  double launch = 2.4e-6;  ///< from the start of any work on a device to that of what it does
  double node = 2e-6;      ///< the same within a graph
  double link_latency = 1e-6;
  double bus_latency = 2e-6;
  double call = 5e-6;       ///< of a host thread: to enqueue a kernel, a copy, a call of a library or a graph
  double event = 1e-6;      ///< of a host thread: to record an event, to let a stream wait for one, or to ask
  double hand_over = 7e-6;  ///< from a host thread to another that goes on with its work
};

struct ClockOptions {
  /// If not, kernels, copies and libraries take their time and do nothing: memory is reserved, not used, so
  /// that large models fit. Whatever depends on values must not be asked for.
  bool execute = true;
  /// A file of times measured on a GPU, which replace the modelled ones: lines of microseconds, a
  /// space and the name of a kernel or of a library's function, the kernel's with or without
  /// namespaces and template arguments.
  std::string kernel_times = {};
};

/// Starts at 0 and runs until the next reset, which starts it again where MINIPARALLEL_SIMULATED_CLOCK names
/// a preset, or until it is started anew. All devices must have finished their work. Throws `Error` for a
/// file that cannot be read.
///
/// An operation starts when its stream has finished the one before, when the events that it waits for have
/// happened, and not before the host has enqueued it. Each host thread has its own time, which its calls
/// advance; it waits for what it synchronises with, and for the last caller of a stream or recorder of
/// an event that it uses. cudaEventElapsedTime and cudaEventQuery answer by the clock; `Step` has the
/// times of each operation.
void start_clock(const Speeds& speeds, const ClockOptions& options = {});

/// The calling thread's time in seconds; 0 without a clock.
double host_time();

/// A machine with its speeds, from the datasheets that docs/simulated-gpu.md names.
struct Preset {
  Machine machine;
  Speeds speeds;
};

/// "h100", "a100", "rtx4090" or "t4". Throws `Error` for another name.
Preset preset(const std::string& name);

/// Which peak bounds an operation.
enum class Unit { float32, tf32, half, float64 };

/// What a kernel is about to do: floating-point operations, and arrays of `bytes` each that it reads or
/// writes once. `arrays` says how many, all in the memory of its device; with 0 there is one at each pointer
/// among the kernel's arguments, and those in the memory of other devices or of the host cross links.
struct Cost {
  double bytes = 0;
  int arrays = 0;
  double operations = 0;
  Unit unit = Unit::float32;
};

/// Is asked at each launch by the launching thread. A kernel that it does not know counts as 16 bytes
/// for each thread, spread evenly over its pointers. Libraries know their sizes. Returns the previous
/// source, at first null.
using CostSource = std::optional<Cost> (*)();
CostSource set_cost_source(CostSource source);

}  // namespace miniparallel::simulator
