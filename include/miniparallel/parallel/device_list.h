#pragma once

#include <miniparallel/device.h>

#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

namespace miniparallel {

/// GPUs by number, or devices: `{0, 1, 2}`, `{Device::cuda(1)}`. Made from nothing: every GPU, or the CPU
/// where there is no GPU. A device may be named several times, which puts several replicas on it.
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
  /// list, a GPU that does not exist, and a list that mixes CPU and GPUs; `op` is named in messages.
  std::vector<Device> resolve(const char* op, bool require_gpu = false) const;
  bool is_given() const { return devices_.has_value(); }

 private:
  std::optional<std::vector<Device>> devices_;
};

}  // namespace miniparallel
