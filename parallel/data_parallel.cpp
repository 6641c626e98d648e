#include <miniparallel/parallel/data_parallel.h>

#include "engine/error.h"
#include "engine/profiler/launch_count.h"
#include "engine/threads/recorder.h"

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

Device place_outputs(const DataParallelOptions& options, Device first_replica) {
  const Device device = options.output_device.value_or(first_replica);
  if (device.is_cpu()) return device;
  const bool has_fallen_back = first_replica.is_cpu() && !options.devices.is_given();
  return has_fallen_back ? first_replica : DeviceList{device}.resolve("DataParallel: output_device")[0];
}

std::unique_lock<std::mutex> lock_for_forward(std::mutex& mutex, std::size_t replicas) {
  check(replicas == 1 || autograd::current_recorder() == nullptr,
        "DataParallel: called inside a replica of a DataParallel, whose devices would wait for one another; "
        "wrap "
        "the outer model alone");
  return std::unique_lock(mutex);
}

void check_stays(Device master, Device device) {
  check(device == master, "DataParallel: to(", device, "), but the model stays on ", master,
        ", the first of its devices; make another wrapper for other devices");
}

std::int64_t launches_on(const std::vector<Device>& placement) {
  std::int64_t launches = 0;
  for (auto device = placement.begin(); device != placement.end(); ++device)
    if (std::find(placement.begin(), device, *device) == device) launches += profiler::launch_count(*device);
  return launches;
}

}  // namespace miniparallel::parallel
