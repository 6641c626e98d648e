#include <miniparallel/parallel/data_parallel.h>

#include <miniparallel/cuda.h>
#include <miniparallel/log.h>

#include "engine/error.h"

#include <algorithm>

namespace miniparallel {

std::vector<Device> DeviceList::resolve(bool require_gpu) const {
  const int count = cuda_device_count();
  if (!devices_) {
    std::vector<Device> all;
    for (int i = 0; i < count; ++i) all.push_back(Device::cuda(i));
    check(!all.empty() || !require_gpu,
          "DataParallel: there is no GPU to run on: ", cuda_unavailable_reason(),
          "; leave require_gpu out to run on the CPU");
    if (all.empty()) {
      log(LogLevel::info, "DataParallel runs on the CPU: " + cuda_unavailable_reason());
      all.push_back(Device::cpu());
    }
    return all;
  }
  check(!devices_->empty(),
        "DataParallel: the list of devices is empty; name at least one, or leave it out for all GPUs");
  for (const Device device : *devices_) {
    check(device.is_cpu() == devices_->front().is_cpu(), "DataParallel: got ", devices_->front(), " and ",
          device, "; replicas run either on GPUs or on the CPU");
    check(device.is_cpu() || (device.index >= 0 && device.index < count), "DataParallel: there is no ",
          device, "; ",
          count == 0 ? cuda_unavailable_reason() : message("the last GPU is ", Device::cuda(count - 1)));
  }
  return *devices_;
}

namespace parallel {

std::vector<Device> place_replicas(const DataParallelOptions& options) {
  check(options.replicas >= 0, "DataParallel: got ", options.replicas,
        " replicas; name at least one, or 0 for one per device");
  check(options.min_rows >= 1, "DataParallel: min_rows is ", options.min_rows,
        "; a replica needs at least one row");
  const std::vector<Device> devices = options.devices.resolve(options.require_gpu);
  if (options.replicas == 0) return devices;
  const std::vector<std::int64_t> runs = chunk_sizes(options.replicas, static_cast<int>(devices.size()));
  std::vector<Device> placed;
  for (std::size_t i = 0; i < runs.size(); ++i)
    placed.insert(placed.end(), static_cast<std::size_t>(runs[i]), devices[i]);
  return placed;
}

}  // namespace parallel
}  // namespace miniparallel
