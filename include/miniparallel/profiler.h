#pragma once

#include <miniparallel/require_cxx20.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace miniparallel {

struct ProfilerOptions {
  int table_rows = 20;                  ///< of the table that the end prints to stderr; 0: no table
  std::int64_t max_events = 1'000'000;  ///< in the trace, some 120 bytes each; the table counts all
};

/// The cost of one op. Times are in seconds.
struct OpStats {
  std::string name;
  std::int64_t calls = 0;
  double total = 0;  ///< with the ops that it called; a call within a call of the same name counts twice
  double self = 0;   ///< without them
  double average() const { return calls ? total / static_cast<double>(calls) : 0; }
};

/// Records what the program does while it lives: the launches of kernels
/// with their sizes, forward and backward, nodes of the graph, steps of
/// optimizers, waiting for data, what its threads do, and `RecordFunction`s.
///
///   {
///     Profiler profile("trace.json");
///     train_some_batches();
///   }                                  // writes the trace, prints a table of the costliest ops
///
/// The trace is for https://ui.perfetto.dev or chrome://tracing. On a GPU, where a launch returns at once,
/// the time of a kernel is that of the launch, and waiting shows in `synchronize` and in copies to the host.
/// One profiler at a time; any thread may end it, and calls still running in other threads are left out.
class Profiler {
 public:
  /// Starts. Throws `Error` where another one runs or `max_events` is negative. `trace` is the file to write;
  /// empty for none.
  explicit Profiler(std::string trace = {}, const ProfilerOptions& options = {});
  ~Profiler();  ///< stops; errors are logged
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// Ends the recording, writes the trace and prints the table. Throws `Error` where the file cannot be
  /// written. Nothing the second time.
  void stop();

  // After `stop`, before which they throw `Error`:

  /// One row per name, the highest `self` first.
  const std::vector<OpStats>& key_averages() const;
  /// The first rows as text, a line each below a line of titles.
  std::string table(int rows = 20) const;
  /// Writes a trace in the Trace Event Format, JSON, which Chrome and Perfetto open. Times are in
  /// microseconds. Throws `Error` where the file cannot be written.
  void export_chrome_trace(const std::string& path) const;

 private:
  struct Recording;
  std::unique_ptr<Recording> recording_;
};

/// A part of the program under a separate name, in the trace and the table:
///
///   RecordFunction record("augment");  // until the end of the block
class RecordFunction {
 public:
  explicit RecordFunction(const std::string& name);
  ~RecordFunction();
  RecordFunction(const RecordFunction&) = delete;
  RecordFunction& operator=(const RecordFunction&) = delete;

 private:
  struct Range;
  std::unique_ptr<Range> range_;  // null while no profiler records
};

}  // namespace miniparallel
