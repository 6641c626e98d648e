#pragma once
// What a program enqueued, and what had to wait for what: for drawings of a schedule and for tests of it.

#include <cstdint>
#include <string>
#include <vector>

namespace miniparallel::simulator {

enum class StepKind { kernel, copy, library_call, host_function };

/// A kernel, a copy or a call of a library.
struct Step {
  StepKind kind;
  std::string name;
  int device;
  int stream;  ///< of the machine, in the order in which streams were made
  /// The length of the longest chain that ends here: operations of which each had to wait for the one before,
  /// as the next one of its stream, or through an event, or because the host had waited.
  std::int64_t depth;
  double start = 0, end = 0;  ///< in seconds, by the virtual clock (simulator_clock.h)
};

/// Begins to note what is enqueued. Chains begin here; all devices must have finished their work.
void start_history();
/// What was enqueued since the start, or since the last call, in order.
std::vector<Step> take_history();

/// Writes the steps of a machine with a virtual clock as a trace for https://ui.perfetto.dev or
/// chrome://tracing, a process for each device and in it a thread for each stream. Throws `Error` where the
/// file cannot be written.
void write_chrome_trace(const std::string& path, const std::vector<Step>& steps);

}  // namespace miniparallel::simulator
