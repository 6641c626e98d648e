#include <miniparallel/parallel/data_parallel.h>

#include "engine/error.h"
#include "engine/profiler/launch_count.h"

#include <algorithm>

namespace miniparallel::parallel {

std::vector<Device> place_replicas(const DataParallelOptions& options) {
  check(options.replicas >= 0, "DataParallel: got ", options.replicas,
        " replicas; name at least one, or 0 for one per device");
  check(options.min_rows >= 1, "DataParallel: min_rows is ", options.min_rows,
        "; a replica needs at least one row");
  check(
      options.batch_norm != BatchNormPolicy::sync || options.split.kind() != Split::Kind::by_speed,
      "DataParallel: Split::by_speed with BatchNormPolicy::sync; replicas that wait for each other cannot be "
      "timed, so name their Split::shares");
  std::vector<Device> devices = options.devices.resolve("DataParallel", options.require_gpu);
  if (options.replicas == 0) return devices;
  const std::vector<std::int64_t> runs = chunk_sizes(options.replicas, static_cast<int>(devices.size()));
  std::vector<Device> placed;
  for (std::size_t i = 0; i < runs.size(); ++i)
    placed.insert(placed.end(), static_cast<std::size_t>(runs[i]), devices[i]);
  return placed;
}

std::int64_t launches_on(const std::vector<Device>& placement) {
  std::int64_t launches = 0;
  for (auto device = placement.begin(); device != placement.end(); ++device)
    if (std::find(placement.begin(), device, *device) == device) launches += profiler::launch_count(*device);
  return launches;
}

}  // namespace miniparallel::parallel
