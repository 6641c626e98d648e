#include <miniparallel/parallel/device_list.h>

#include <miniparallel/cuda.h>
#include <miniparallel/log.h>

#include "engine/error.h"

namespace miniparallel {

std::vector<Device> DeviceList::resolve(const char* op, bool require_gpu) const {
  const int count = cuda_device_count();
  if (!devices_) {
    std::vector<Device> all;
    for (int i = 0; i < count; ++i) all.push_back(Device::cuda(i));
    check(!all.empty() || !require_gpu, op, ": there is no GPU to run on: ", cuda_unavailable_reason(),
          "; leave require_gpu out to run on the CPU");
    if (all.empty()) {
      log(LogLevel::info, message(op, " runs on the CPU: ", cuda_unavailable_reason()));
      all.push_back(Device::cpu());
    }
    return all;
  }
  check(!devices_->empty(), op,
        ": the list of devices is empty; name at least one, or leave it out for all GPUs");
  for (const Device device : *devices_) {
    check(device.is_cpu() == devices_->front().is_cpu(), op, ": got ", devices_->front(), " and ", device,
          "; replicas run either on GPUs or on the CPU");
    check(device.is_cpu() || (device.index >= 0 && device.index < count), op, ": there is no ", device, "; ",
          count == 0 ? cuda_unavailable_reason() : message("the last GPU is ", Device::cuda(count - 1)));
  }
  return *devices_;
}

}  // namespace miniparallel
