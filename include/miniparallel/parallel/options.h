#pragma once

#include <miniparallel/device.h>
#include <miniparallel/parallel/chunks.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

namespace miniparallel {

/// GPUs by number, or devices: `{0, 1, 2}`, `{Device::cuda(1)}`. Made from nothing: every GPU, or the CPU where
/// there is no GPU. A device may be named several times, which puts several replicas on it.
class DeviceList {
 public:
  struct Entry {
    Device device;
    Entry(int gpu) : device(Device::cuda(gpu)) {}  // NOLINT: implicit
    Entry(Device of) : device(of) {}               // NOLINT: implicit
  };
  DeviceList() = default;
  DeviceList(std::initializer_list<Entry> entries) : devices_(std::vector<Device>()) {
    for (const Entry& entry : entries) devices_->push_back(entry.device);
  }
  DeviceList(std::vector<Device> devices) : devices_(std::move(devices)) {}     // NOLINT: implicit
  DeviceList(const std::vector<int>& gpus) : devices_(std::vector<Device>()) {  // NOLINT: implicit
    for (const int gpu : gpus) devices_->push_back(Device::cuda(gpu));
  }

  /// The devices; with nothing named, every GPU, or the CPU without one. Throws `Error` for an empty
  /// list, a GPU that does not exist, and a list that mixes CPU and GPUs.
  std::vector<Device> resolve(bool require_gpu = false) const;
  bool is_given() const { return devices_.has_value(); }

 private:
  std::optional<std::vector<Device>> devices_;
};

/// The fate of the running statistics of batch normalisation, of which each replica sees a part.
enum class BatchNormPolicy {
  merge,    ///< as one device would have seen them: counts, means and squared deviations are merged
  device0,  ///< those of replica 0, as PyTorch's DataParallel keeps them
};

struct DataParallelOptions {
  DeviceList devices = {};                   ///< the first one holds the master
  std::optional<Device> output_device = {};  ///< where outputs arrive; the first of `devices` when not given
  int dim = 0;                               ///< the dimension of the batch; negative counts from the end
  Split split = Split::balanced;
  int replicas = 0;           ///< placed on the devices in equal runs; 0: one for each device
  std::int64_t min_rows = 1;  ///< of a chunk; fewer replicas run where the batch is too small
  BatchNormPolicy batch_norm = BatchNormPolicy::merge;
  bool require_gpu = false;  ///< an `Error`, which says why, where there is no GPU
};

}  // namespace miniparallel
