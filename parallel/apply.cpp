#include <miniparallel/parallel/apply.h>

#include <miniparallel/log.h>

#include "engine/error.h"
#include "engine/random/generator.h"
#include "engine/threads/recorder.h"
#include "parallel/run_on.h"
#include "parallel/statistics.h"

#include <algorithm>
#include <memory>
#include <optional>

namespace miniparallel::parallel {
namespace {

using autograd::Recorder;
using autograd::RecorderScope;

/// Recorders of the replicas that run, which name their rows.
std::vector<std::shared_ptr<const Recorder>> recorders_of(const Division& division,
                                                          const std::vector<Device>& devices) {
  std::vector<std::shared_ptr<const Recorder>> made;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < division.replicas.size(); ++i) {
    const std::size_t replica = division.replicas[i];
    std::string text = message("replica ", replica, " on ", devices[replica]);
    if (!division.rows.empty()) {
      text += message(", rows [", begin, ", ", begin + division.rows[i], ")");
      begin += division.rows[i];
    }
    made.push_back(std::make_shared<const Recorder>(Recorder{static_cast<int>(replica), std::move(text)}));
  }
  return made;
}

}  // namespace

void run_replicas(const ReplicaTensors& tensors, const Division& division, BatchNormPolicy policy,
                  const std::function<void(std::size_t)>& send,
                  const std::function<void(std::size_t)>& forward) {
  const std::size_t count = division.replicas.size();
  const auto recorders = recorders_of(division, tensors.devices());
  for (std::size_t i = count; i-- > 0;) {
    const RecorderScope scope(recorders[i]);
    send(i);
  }

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
  std::vector<CollectedStatistics> statistics(count);
  run_on(devices, [&](std::size_t i) {
    const RecorderScope recorder(recorders[i]);
    const std::int64_t rows = division.rows.empty() ? 0 : division.rows[i];
    const RowRandomScope random(start, division.rows.empty() ? static_cast<std::int64_t>(i) : first_rows[i],
                                rows);
    const StatisticsScope sink(statistics[i]);
    try {
      forward(i);
    } catch (Error& error) {
      error.add_note("in " + recorders[i]->description);
      throw;
    } catch (...) {
      log(LogLevel::warning, "an exception in " + recorders[i]->description);
      throw;
    }
    ordinals[i] = random.state().ordinal;
  });
  tensors.check_parameters_unwritten();
  set_random_state({.seed = start.seed, .ordinal = *std::ranges::max_element(ordinals)});
  if (policy == BatchNormPolicy::device0) statistics.resize(1);
  merge_statistics(tensors, division.replicas, statistics);
}

}  // namespace miniparallel::parallel
