#include <miniparallel/parallel/apply.h>

#include <miniparallel/log.h>
#include <miniparallel/profiler.h>

#include "engine/autograd/recompute.h"
#include "engine/capturing.h"
#include "engine/error.h"
#include "engine/random/generator.h"
#include "parallel/meeting.h"
#include "parallel/recorders.h"
#include "parallel/run_on.h"
#include "parallel/run_together.h"
#include "parallel/statistics.h"

#include <algorithm>
#include <memory>
#include <optional>

namespace miniparallel::parallel {

using autograd::RecorderScope;

namespace {

/// Ends the refresh whatever ends the replicas.
class RefreshEnd {
 public:
  explicit RefreshEnd(const ReplicaTensors& tensors) : tensors_(tensors) {}
  ~RefreshEnd() { tensors_.end_refresh(); }
  RefreshEnd(const RefreshEnd&) = delete;
  RefreshEnd& operator=(const RefreshEnd&) = delete;

 private:
  const ReplicaTensors& tensors_;
};

}  // namespace

void run_replicas(const ReplicaTensors& tensors, const Division& division, const RunOptions& options,
                  const std::function<void(std::size_t)>& send,
                  const std::function<void(std::size_t)>& forward, const std::function<void()>& finish) {
  if (options.speeds != nullptr)
    stop_capture("measures how fast devices are (Split::by_speed)", "use Split::balanced or shares");
  check(!autograd::Recomputation::runs_here(),
        "DataParallel: called inside of checkpoint, whose second run would send to the replicas once more in "
        "backward; call checkpoint inside of the model");
  const std::size_t count = division.replicas.size();
  const auto recorders = recorders_of(division, tensors.devices());
  send_each(recorders, send);

  std::vector<Device> devices;
  std::vector<std::int64_t> first_rows;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < count; ++i) {
    devices.push_back(tensors.devices()[division.replicas[i]]);
    first_rows.push_back(begin);
    if (!division.rows.empty()) begin += division.rows[i];
  }
  const RandomState start = random_state();
  std::vector<std::uint64_t> ordinals(count, start.ordinal);
  std::vector<CollectedStatistics> statistics =
      collect_statistics(tensors.statistics_places(), devices, begin);
  std::optional<Meeting> meeting;
  if (options.batch_norm == BatchNormPolicy::sync && count > 1) meeting.emplace(tensors, division, recorders);
  const auto run = [&](std::size_t i) {
    const BatchNormMeetingScope none(nullptr);
    std::optional<Meeting::Seat> seat;
    if (meeting) seat.emplace(*meeting, i);
    const RecorderScope recorder(recorders[i]);
    const std::int64_t rows = division.rows.empty() ? 0 : division.rows[i];
    const RowRandomScope random(start, division.rows.empty() ? static_cast<std::int64_t>(i) : first_rows[i],
                                rows);
    const StatisticsScope sink(statistics[i]);
    const RecordFunction range(name_of_replica(division.replicas[i], devices[i]));
    try {
      tensors.fetch(division.replicas[i]);
      if (options.speeds != nullptr)
        options.speeds->time(division.replicas[i], rows, [&] { forward(i); });
      else
        forward(i);
    } catch (Error& error) {
      error.add_note("in " + recorders[i]->description);
      throw;
    } catch (...) {
      log(LogLevel::warning, "an exception in " + recorders[i]->description);
      throw;
    }
    ordinals[i] = random.state().ordinal;
  };
  {
    const RefreshEnd end(tensors);
    meeting ? run_together(devices, run) : run_on(devices, run);
  }
  if (options.speeds != nullptr) options.speeds->end_step();
  tensors.check_parameters_unwritten();
  finish();
  if (options.batch_norm == BatchNormPolicy::device0)
    statistics.erase(statistics.begin() + 1, statistics.end());
  merge_statistics(tensors, division.replicas, statistics, tensors.statistics_places());
  set_random_state({.seed = start.seed, .ordinal = *std::ranges::max_element(ordinals)});
}

ChunkRows::ChunkRows(std::size_t chunks, std::size_t replicas, int dim) : dim_(dim) {
  check(chunks > 0, "parallel_apply: there are no chunks; pass at least one");
  check(chunks <= replicas, "parallel_apply: got ", chunks, " chunks for ", replicas,
        " replicas; scatter to as many devices as the model is replicated on");
}

void ChunkRows::add(std::optional<std::int64_t> rows) {
  const bool all_have_rows = rows && division_.rows.size() == division_.replicas.size();
  division_.replicas.push_back(division_.replicas.size());
  if (all_have_rows)
    division_.rows.push_back(*rows);
  else
    division_.rows.clear();
}

}  // namespace miniparallel::parallel
