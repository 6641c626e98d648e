#pragma once

#include <miniparallel/cuda.h>
#include <miniparallel/nested.h>
#include <miniparallel/parallel/options.h>
#include <miniparallel/parallel/scatter.h>

#include <memory>
#include <vector>

namespace miniparallel::parallel {

/// Tells the log, once each, where hardware is wasted or a number may not be what it seems.
class Hints {
 public:
  /// `placement`: the device of each replica. At once: of GPUs that differ much while
  /// rows are divided evenly.
  Hints(std::vector<Device> placement, const DataParallelOptions& options);
  ~Hints();

  /// Of a data loader for which the GPUs wait: at the beginning of each forward.
  void see_step();
  /// Of devices that get no rows, and of a batch that takes the way through the first GPU.
  void see_batch(const RowCount& count, const Division& division);
  /// Of a tensor without dimensions, at `path` of the results, one from each chunk.
  void see_scalars(const Division& division, const nested::Path& path);

 private:
  struct Pace;
  bool is_starved();

  std::vector<Device> placement_;
  std::vector<Device> devices_;                                   // each once
  bool tells_idle_, tells_detour_, tells_uneven_, tells_loader_;  // still
  std::unique_ptr<Pace> pace_;                                    // of the forwards of late
  Event idle_;
};

}  // namespace miniparallel::parallel
